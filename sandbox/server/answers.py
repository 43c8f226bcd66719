"""How answers are written: errors, and rows as they come or in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from sandbox.errors import ClosedError, SandboxError
from sandbox.server.dispatch import Request
from sandbox.server.errors import ServerError, UnknownProblemsError
from sandbox.server.work import Outcome
from sandbox.wire import NDJSON, ErrorAnswer, ErrorBody

log = logging.getLogger(__name__)
Result = TypeVar("Result", bound=Outcome)
_PART_BYTES = 1 << 20
"""Of an answer, given to a connection at a time."""


class Line(NamedTuple):
    """A row as it is sent."""

    place: int
    text: bytes


ToLine = Callable[[int, Result | SandboxError], Line]
"""Makes a row of what came of a task, given by its place in the request."""


def error_response(error: ServerError) -> Response:
    """The answer to a request that cannot be served."""
    problems = error.keys if isinstance(error, UnknownProblemsError) else None
    return plain_error(error.status, ErrorBody(kind=error.kind, message=str(error), problems=problems), error)


def plain_error(status: int, body: ErrorBody, error: ServerError | None = None) -> Response:
    """The same, of which only the body is known."""
    headers = {}
    if error is not None and error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after_s)))
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if status == 408:
        headers["connection"] = "close"  # what else comes on it is the rest of a request
    content = ErrorAnswer(error=body).model_dump_json(exclude_none=True)
    return Response(content, status, headers, media_type="application/json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows(Generic[Result]):
    """All rows of an answer: those there are already, and those that a request brings."""

    request: Request[Result] | None
    """Not yet entered; left when the answer has been sent or the client has gone. None: there is nothing to do."""
    to_line: ToLine[Result]
    ready: Mapping[int, bytes] = field(default_factory=dict)
    """By place."""

    async def __aiter__(self) -> AsyncIterator[list[Line]]:
        """As they finish."""
        if self.ready:
            yield [Line(place, text) for place, text in self.ready.items()]
        if self.request is not None:
            async for finished in self.request:
                yield [self.to_line(index, outcome) for index, outcome in finished]

    def sent(self) -> None:
        """All that has come so far is no longer held."""
        if self.request is not None:
            self.request.sent()


def rows_response(rows: Rows[Result], *, is_streamed: bool, patience_s: float) -> Response:
    """All rows: one a line as they finish, or one object with all in order.

    Args:
        is_streamed: as they finish.
        patience_s: for a client that does not read.
    """
    return _RowsResponse(rows, patience_s, is_streamed=is_streamed)


def encoded(row: BaseModel) -> bytes:
    """A row as it is sent."""
    return row.model_dump_json(exclude_none=True).encode()


class _RowsResponse(StreamingResponse):
    """Gives up a client that has not read for too long, or has gone, and with it what has not been done."""

    def __init__(self, rows: Rows[Result], patience_s: float, *, is_streamed: bool) -> None:
        super().__init__(
            _as_lines(rows) if is_streamed else _in_order(rows),
            media_type=NDJSON if is_streamed else "application/json",
        )
        self._request = rows.request
        self._patience_s = patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # as ASGI has it
        """Sends the answer. Source: the ASGI specification."""
        # Here and not where rows are read: a client that is gone at once ends this before the first is asked for.
        with self._request or nullcontext():
            try:
                async with asyncio.timeout(None) as presence:  # Starlette's task group costs 60 us more
                    watcher = asyncio.create_task(self._watch(receive, presence))
                    try:
                        await self.stream_response(send)
                    finally:
                        watcher.cancel()
            except TimeoutError:
                pass  # nobody is there to be answered

    async def _watch(self, receive: Receive, presence: asyncio.Timeout) -> None:
        await self.listen_for_disconnect(receive)
        presence.reschedule(0)

    async def stream_response(self, send: Send) -> None:
        """Sends the parts."""

        async def send_in_time(message: Message) -> None:
            try:
                for part in _parts(message):
                    async with asyncio.timeout(self._patience_s):
                        await send(part)
            except TimeoutError:
                log.warning("a client has not read its answer for %g s: given up", self._patience_s)
                raise ClientDisconnect from None

        try:
            await super().stream_response(send_in_time)
        except ClosedError:
            raise ClientDisconnect from None  # another request has taken this one's place


def _parts(message: Message) -> Iterator[Message]:
    """Those that it is given in: uvicorn takes each into a connection's buffer, and waits only before it takes more."""
    body: bytes = message.get("body", b"")
    if len(body) <= _PART_BYTES:
        yield message
        return
    for start in range(0, len(body), _PART_BYTES):
        is_last = start + _PART_BYTES >= len(body)
        part = body[start : start + _PART_BYTES]
        yield {**message, "body": part, "more_body": message.get("more_body", False) or not is_last}


async def _as_lines(rows: Rows[Result]) -> AsyncIterator[bytes]:
    async for lines in rows:
        yield b"".join(line.text + b"\n" for line in lines)
        rows.sent()


async def _in_order(rows: Rows[Result]) -> AsyncIterator[bytes]:
    early: dict[int, bytes] = {}
    place = 0
    yield b'{"results":['
    async for lines in rows:
        early.update(lines)
        ready: list[bytes] = []
        while (text := early.pop(place, None)) is not None:
            ready.append(b"," + text if place else text)
            place += 1
        if ready:
            yield b"".join(ready)
        if not early:  # that which it waits for has been started before all that is held: it comes in any case
            rows.sent()
    yield b"]}"
