import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from sandbox.server.body import BodyLimit
from sandbox.server.settings import Settings


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


class Server:
    """The middleware before an application that says how much it got."""

    def __init__(self, **settings: Any) -> None:
        self.app = BodyLimit(echo, Settings(**settings))

    def ask(self, parts: Iterator[bytes | None], client: str = "a", length: str | None = None) -> int | None:
        """The status of the answer; a part that is None never comes."""
        return asyncio.run(self._ask(parts, client, length))

    async def _ask(self, parts: Iterator[bytes | None], client: str, length: str | None) -> int | None:
        headers = [(b"x-client", client.encode())] + ([(b"content-length", length.encode())] if length else [])
        sent: list[Message] = []

        async def receive() -> Message:
            part = next(parts, b"")
            if part is None:
                await asyncio.sleep(60)
            return {"type": "http.request", "body": part, "more_body": part != b""}

        async def send(message: Message) -> None:
            sent.append(message)

        await self.app({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive, send)
        return sent[0]["status"] if sent else None


@pytest.fixture
def server() -> Server:
    return Server(body_bytes=100, bodies_bytes=400, read_patience_s=0.2)


def held(server: Server) -> int:
    return server.app._share.total


@pytest.mark.parametrize(("parts", "status"), [([b"x" * 100], 200), ([b"x" * 60, b"x" * 40], 200), ([], 200),
                                               ([b"x" * 101], 413), ([b"x" * 60, b"x" * 41], 413)])  # fmt: skip
def test_a_body_has_a_largest_size(server: Server, parts: list[bytes], status: int) -> None:
    assert server.ask(iter(parts)) == status
    assert held(server) == 0


def test_what_is_announced_too_large_is_not_read(server: Server) -> None:
    assert server.ask(iter([None]), length="101") == 413
    assert server.ask(iter([b"x" * 10]), length="wrong") == 200
    assert held(server) == 0


def test_a_body_that_does_not_come_is_given_up(server: Server) -> None:
    assert server.ask(iter([b"x", None])) == 408
    assert held(server) == 0


def test_bodies_being_served_share_the_memory_there_is(server: Server) -> None:
    server.app._share.take("a", 150)
    assert server.ask(iter([b"x" * 100]), "a") == 429
    assert server.ask(iter([b"x" * 100]), "b") == 200
    assert held(server) == 150


def test_a_client_that_goes_leaves_nothing(server: Server) -> None:
    async def ask() -> list[Message]:
        sent: list[Message] = []
        messages = iter([{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}])

        async def receive() -> Message:
            return next(messages)

        async def send(message: Message) -> None:
            sent.append(message)

        await server.app({"type": "http", "method": "POST", "path": "/", "headers": []}, receive, send)
        return sent

    assert asyncio.run(ask()) == []
    assert held(server) == 0
