"""One HTTP connection, with bounds where uvicorn has none: heads, requests sent ahead, clients that do not read."""

from __future__ import annotations

import asyncio
import resource
from itertools import count
from typing import TYPE_CHECKING, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from sandbox.server.auth import LET_IN
from sandbox.wire import ErrorAnswer, ErrorBody

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope
    from uvicorn.config import Config
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

MOST_CONNECTIONS = 2048
_FIRST_PATIENCE_S = 75.0
"""For the first byte of all: clients open connections ahead of need."""
_HEAD_PATIENCE_S = 10.0
"""For the first line and the headers of a request, from the first byte on."""
_MOST_HEAD_BYTES = 64 << 10
_MOST_AHEAD = 32
"""Requests sent before earlier ones of the connection were answered."""
_LINGER_S = 30.0
"""For a client to read the end of an answer that is otherwise done with."""
_NUMBERS = count()


def most_connections() -> int:
    """That may be open: slots need descriptors, too, and without one left nobody can be refused or let in."""
    return min(MOST_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


class Connection(HttpToolsProtocol):
    """See uvicorn; overrides what it calls when something happens to a connection.

    Attributes:
        is_stranger: none of its requests has shown the token.
        number: grows with each connection.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_bytes = 0
        self._is_new = True
        self._is_in_head = False
        self.is_stranger = True
        self.number = next(_NUMBERS)
        self._head_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """A client has come."""
        super().connection_made(transport)
        if len(self.connections) > (most := most_connections()) and not self._displace_stranger():
            self._refuse(503, "overloaded", f"more than {most} connections are open; close some")
        else:
            self._head_timer = self.loop.call_later(_FIRST_PATIENCE_S, self.transport.close)

    def data_received(self, data: bytes) -> None:
        """Something has come."""
        if self.transport.is_closing():
            return
        if self._is_new:
            self._is_new = False
            self._forget_head_timer()
        if self._is_in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._is_served():
            return
        if self._is_in_head and self._head_bytes > _MOST_HEAD_BYTES:
            self._refuse(431, "too_large", f"the head of a request may have {_MOST_HEAD_BYTES} bytes")
        elif self._head_timer is None:
            self._expect_head()

    def on_message_begin(self) -> None:
        """The head of a request begins; what has come with its beginning does not count, as a body may have, too."""
        self._is_in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head of a request is there."""
        self._is_in_head = False
        if self.transport.is_closing():
            return
        self._forget_head_timer()
        super().on_headers_complete()
        if len(self.pipeline) > _MOST_AHEAD:
            self.transport.abort()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        async def answer(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            cast("dict[str, object]", scope)[LET_IN] = self._let_in
            try:
                await app(scope, receive, send)
            finally:
                self.loop.call_soon(self._look_closing)  # after what uvicorn does with an exception

        super()._start_asgi_task(cycle, answer)

    def timeout_keep_alive_handler(self) -> None:
        """Nothing has come for a while."""
        super().timeout_keep_alive_handler()
        self._look_closing()

    def shutdown(self) -> None:
        """The server is about to end."""
        super().shutdown()
        self._look_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or has been given up."""
        self._forget_head_timer()
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse(400, "invalid", msg)

    def _let_in(self) -> None:
        self.is_stranger = False

    def _displace_stranger(self) -> bool:
        """Ends the oldest connection that has never shown the token: another user must not hold all there are."""
        others = cast("set[Connection]", self.connections) - {self}
        strangers = [other for other in others if other.is_stranger and not other.transport.is_closing()]
        if not strangers:
            return False
        min(strangers, key=lambda other: other.number).transport.abort()
        return True

    def _unsupported_upgrade_warning(self) -> None:
        """Not worth a line: the request is answered as if it had not asked for another protocol."""

    def _is_served(self) -> bool:
        """A request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # None until the first
        return cycle is not None and not cycle.response_complete

    def _cycle_is_answered(self) -> bool:
        """There was a request, and the last one has its answer."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and cycle.response_complete

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(_HEAD_PATIENCE_S, self._give_up_head)

    def _give_up_head(self) -> None:
        self._head_timer = None
        if self._cycle_is_answered() and not self._is_in_head:
            self.transport.close()  # it sends the rest of a request that was answered, or nothing at all
        elif not self.transport.is_closing():
            self._refuse(408, "too_slow", f"no request came within {_HEAD_PATIENCE_S:g} s")

    def _forget_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _look_closing(self) -> None:
        """A connection that closes waits for the client to read what has been written, but not forever."""
        if self.transport.is_closing() and self._linger_timer is None:
            self._linger_timer = self.loop.call_later(_LINGER_S, self.transport.abort)

    def _refuse(self, status: int, kind: str, message: str) -> None:
        """Answers without looking at any request, and closes."""
        body = ErrorAnswer(error=ErrorBody(kind=kind, message=message)).model_dump_json(exclude_none=True).encode()
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()
        self._look_closing()
