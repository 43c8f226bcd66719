"""Answers a client at once with what a server has once said: no program runs. One line of JSON in, its port out.

The line has `info`, of /v1/info, and `rows`, by problem key, of /v1/judge. It serves until its stdin is closed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

from sandbox.wire import NDJSON, ProblemsBody, key_of

_HEAD = f"HTTP/1.1 200 OK\r\ncontent-type: {NDJSON}\r\ntransfer-encoding: chunked\r\n\r\n".encode()


async def main() -> None:
    """Serve."""
    said = json.loads(sys.stdin.readline())
    server = await asyncio.start_server(
        lambda reader, writer: _serve(said, reader, writer), "127.0.0.1", 0, limit=1 << 20
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


async def _serve(said: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        except (asyncio.IncompleteReadError, ConnectionError):
            break
        sizes = [line.partition(":")[2] for line in head.split("\r\n") if line.startswith("content-length:")]
        body = await reader.readexactly(int(sizes[0])) if sizes else b""
        writer.write(_HEAD)
        for row in _answer(said, head.split()[1], body):
            writer.write(b"%x\r\n%s\r\n" % (len(row), row))  # a chunk each, as the server sends them
        writer.write(b"0\r\n\r\n")
        await writer.drain()
    writer.close()


def _answer(said: dict[str, Any], path: str, body: bytes) -> Iterator[bytes]:
    if path == "/v1/problems":
        keys = [key_of(problem) for problem in ProblemsBody.model_validate_json(body).problems]
        yield json.dumps({"keys": keys}).encode()
    elif path == "/v1/judge":
        for index, submission in enumerate(json.loads(body)["submissions"]):
            yield b'{"index":%d,"result":%s}\n' % (index, said["rows"][submission["problem"]].encode())
    else:
        yield json.dumps(said["info"]).encode()


if __name__ == "__main__":
    asyncio.run(main())
