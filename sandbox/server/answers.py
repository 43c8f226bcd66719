"""How answers are written: errors, and rows as they come or in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Send

from sandbox.errors import SandboxError
from sandbox.server.dispatch import Outcome, Request
from sandbox.server.errors import ServerError, UnknownProblemsError
from sandbox.wire import NDJSON, ErrorAnswer, ErrorBody

log = logging.getLogger(__name__)
Result = TypeVar("Result", bound=Outcome)
ToRow = Callable[[int, Result | SandboxError], BaseModel]


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
    content = ErrorAnswer(error=body).model_dump_json(exclude_none=True)
    return Response(content, status, headers, media_type="application/json")


def rows_response(request: Request[Result], to_row: ToRow[Result], *, is_streamed: bool, patience_s: float) -> Response:
    """All rows of a request: one a line as they finish, or one object with all in order.

    Args:
        request: not yet entered; it is left when the answer has been sent or the client has gone.
        to_row: makes a row of a place and what came of it.
        is_streamed: as they finish.
        patience_s: for a client that does not read.
    """
    rows = _lines(request, to_row) if is_streamed else _ordered(request, to_row)
    return _PatientResponse(rows, patience_s, NDJSON if is_streamed else "application/json")


class _PatientResponse(StreamingResponse):
    """Gives up a client that has not read for too long."""

    def __init__(self, content: AsyncIterator[bytes], patience_s: float, media_type: str) -> None:
        super().__init__(content, media_type=media_type)
        self._patience_s = patience_s

    async def stream_response(self, send: Send) -> None:
        """Sends the parts."""

        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(self._patience_s):
                    await send(message)
            except TimeoutError:
                log.warning("a client has not read its answer for %g s: given up", self._patience_s)
                raise ClientDisconnect from None

        await super().stream_response(send_in_time)


async def _lines(request: Request[Result], to_row: ToRow[Result]) -> AsyncIterator[bytes]:
    with request:
        async for finished in request:
            yield b"".join(_line(to_row(place, outcome)) + b"\n" for place, outcome in finished)


async def _ordered(request: Request[Result], to_row: ToRow[Result]) -> AsyncIterator[bytes]:
    with request:
        early: dict[int, bytes] = {}
        place = 0
        yield b'{"results":['
        async for finished in request:
            early.update((index, _line(to_row(index, outcome))) for index, outcome in finished)
            while (line := early.pop(place, None)) is not None:
                yield b"," + line if place else line
                place += 1
        yield b"]}"


def _line(row: BaseModel) -> bytes:
    return row.model_dump_json(exclude_none=True).encode()
