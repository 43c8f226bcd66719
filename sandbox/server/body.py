"""Bodies of requests: how large each may be, all may be together, and how long a client may take to send one."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.server.answers import error_response
from sandbox.server.errors import OverloadedError, ServerError, TooLargeError, TooSlowError
from sandbox.server.settings import Settings
from sandbox.server.share import Share
from sandbox.wire import CLIENT_HEADER


def client_of(connection: HTTPConnection) -> str:
    """Who asks: the name that it gives, or its address."""
    named = connection.headers.get(CLIENT_HEADER)
    if named:
        return named[:100]
    return connection.client.host if connection.client else "local"


class BodyLimit:
    """Middleware that reads a request's body before anything looks at it.

    A body is its client's share of the server's memory from its first byte to the last one of the answer.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._share = Share(settings.bodies_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request. Source: the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        holding = _Holding(client_of(HTTPConnection(scope)), self._settings.body_bytes, self._share)
        try:
            announced = Headers(scope=scope).get("content-length", "")
            holding.grow_to(int(announced) if announced.isdecimal() else 0)
            body = await self._read(receive, holding)
        except ServerError as error:
            holding.let_go()
            await error_response(error)(scope, receive, send)
        except ClientDisconnect:
            holding.let_go()  # nobody is there to be answered
        else:
            try:
                await self._app(scope, _after(body, receive), send)
            finally:
                holding.let_go()

    async def _read(self, receive: Receive, holding: _Holding) -> bytes:
        patience_s = self._settings.read_patience_s
        try:
            async with asyncio.timeout(patience_s):
                return await _whole(receive, holding)
        except TimeoutError:
            raise TooSlowError(patience_s) from None


class _Holding:
    """What one request holds of its client's share."""

    def __init__(self, client: str, most: int, share: Share) -> None:
        self._client = client
        self._most = most
        self._share = share
        self._held = 0

    def grow_to(self, size: int) -> None:
        """Raises TooLargeError or OverloadedError where it may not."""
        if size > self._most:
            raise TooLargeError("bytes of a request", size, self._most)
        if size > self._held:
            if not self._share.take(self._client, size - self._held):
                raise OverloadedError(1.0)
            self._held = size

    def let_go(self) -> None:
        """Gives it back."""
        self._share.give_back(self._client, self._held)


async def _whole(receive: Receive, holding: _Holding) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        holding.grow_to(len(body))
        if not message.get("more_body", False):
            return bytes(body)


def _after(body: bytes, receive: Receive) -> Receive:
    """What is received: the body, and then what comes after it."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def following() -> Message:
        return first.pop() if first else await receive()

    return following
