"""Servers that do what real ones should not."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvicorn

INFO = {
    "api": 1, "version": "0", "workers": 2, "enforcement": "userns", "guards": [], "absent": {}, "python": "3",
    "languages": ["python"], "max_limits": {}, "max_submissions": 1000, "max_body_bytes": 1 << 20,
}  # fmt: skip
RUN = {"verdict": "AC", "stdout": "", "stderr": "", "message": "", "cpu_s": 0.0, "wall_s": 0.0}
RUN |= {"peak_memory_bytes": 0, "enforcement": "userns"}
JUDGED = {"problem_id": "p", "verdict": "AC", "passed": 1, "total": 1, "pass_rate": 1.0, "tests": [], "message": ""}
JUDGED |= {"cpu_s": 0.0, "wall_s": 0.0, "peak_memory_bytes": 0, "enforcement": "userns", "tamper_proof": True}


class Call:
    """A request to a fake server, and the ways to answer it."""

    def __init__(self, scope: dict[str, object], body: bytes, send: Callable[..., Awaitable[None]]) -> None:
        self.path = scope["path"]
        self.headers = {name.decode(): value.decode() for name, value in scope["headers"]}  # type: ignore[attr-defined]
        self.body = json.loads(body) if body else None
        self._send = send

    @property
    def size(self) -> int:
        """Submissions of it."""
        return len(self.body.get("programs") or self.body["submissions"])

    async def json(self, content: object, status: int = 200, **headers: str) -> None:
        """Answers with an object."""
        await self.begin(status, **headers)
        await self._send({"type": "http.response.body", "body": json.dumps(content).encode()})

    async def error(self, status: int, kind: str, **headers: str) -> None:
        """Answers with an error."""
        await self.json({"error": {"kind": kind, "message": f"this is {kind}"}}, status, **headers)

    async def begin(self, status: int = 200, **headers: str) -> None:
        """Begins an answer."""
        pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def rows(self, places: range | list[int], **fields: object) -> None:
        """Sends a row for each place; all that is left is to end the answer."""
        result = {} if "error" in fields else {"result": JUDGED if self.path == "/v1/judge" else RUN}
        lines = [json.dumps({"index": place, **result, **fields}) + "\n" for place in places]
        await self.part("".join(lines).encode())

    async def part(self, content: bytes) -> None:
        """Sends a part of an answer."""
        await self._send({"type": "http.response.body", "body": content, "more_body": True})

    async def end(self) -> None:
        """Ends an answer."""
        await self._send({"type": "http.response.body", "body": b""})

    async def answer(self) -> None:
        """Does what a good server would."""
        if self.path == "/v1/info":
            await self.json(INFO)
        else:
            await self.begin()
            await self.rows(range(self.size))
            await self.end()


Behaviour = Callable[[Call], Awaitable[None]]


class Fake:
    """A server that does as it is told."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.calls: list[Call] = []
        self._behaviour = behaviour
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        # An application that raises is how a connection is broken off; that is no news.
        self._server = uvicorn.Server(uvicorn.Config(self._serve, interface="asgi3", log_level="critical"))
        self._thread = threading.Thread(target=self._server.run, args=([listener],))
        self._thread.start()

    async def _serve(self, scope: dict[str, object], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] != "http":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        call = Call(scope, body, send)
        self.calls.append(call)
        await self._behaviour(call)

    def count(self, path: str) -> int:
        """Requests for a path so far."""
        return sum(call.path == path for call in self.calls)

    def stop(self) -> None:
        """Ends it."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()


@pytest.fixture
def fake() -> Iterator[Callable[[Behaviour], Fake]]:
    """Starts a server with a behaviour: a function of a `Call`."""
    started: list[Fake] = []

    def start(behaviour: Behaviour) -> Fake:
        started.append(Fake(behaviour))
        return started[-1]

    yield start
    for server in started:
        server.stop()
