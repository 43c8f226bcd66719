"""A client of HTTP/1.1 that costs little, to load a server on the cores that it shares with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        """The body; raises RuntimeError where the status is not 200."""
        if self.status != 200:
            raise RuntimeError(f"the server answered {self.status}: {self.body[:500]!r}")
        return json.loads(self.body)

    def rows(self) -> list[Any]:
        """The lines of the body; raises as `json`."""
        return Answer(self.status, self.headers, b"[" + b",".join(self.body.splitlines()) + b"]").json()


class Connection:
    """One connection, one request at a time.

    Args:
        url: of the server.
        headers: sent with each request.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._address = urlsplit(url)
        self._head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(
            self._address.hostname, self._address.port, limit=1 << 20
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    @property
    def is_closed(self) -> bool:
        """By the server."""
        return self._reader.at_eof()

    async def post(self, path: str, body: bytes, method: str = "POST") -> Answer:
        """Send a body of JSON.

        Raises:
            OSError, asyncio.IncompleteReadError: the connection broke.
        """
        head = f"{method} {path} HTTP/1.1\r\nhost: {self._address.netloc}\r\n{self._head}"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        if headers.get("transfer-encoding") == "chunked":
            content = await self._chunks()
        else:
            content = await self._reader.readexactly(int(headers["content-length"]))
        return Answer(int(lines[0].split()[1]), headers, content)

    async def _chunks(self) -> bytes:
        content = bytearray()
        while size := int(await self._reader.readline(), 16):
            content += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readline()
        return bytes(content)
