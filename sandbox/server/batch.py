"""The answer to a request for many results, which may be the repetition of one that was not read to its end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import ref

from pydantic import BaseModel
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from sandbox.errors import SandboxError
from sandbox.server.answers import Line, Rows, encoded, rows_response
from sandbox.server.dispatch import Request
from sandbox.server.errors import DrainingError
from sandbox.server.retained import Kept, Retained
from sandbox.server.service import service_of
from sandbox.server.work import Keep, Outcome
from sandbox.wire import NDJSON

Result = TypeVar("Result", bound=Outcome)


@dataclass(frozen=True, slots=True)
class Batch(Generic[Result]):
    """What a request asks for."""

    count: int
    start: Callable[[Sequence[int], Keep[Result] | None], Request[Result]]
    """Queues what is at some places; its results are told to the other argument, by their place among these."""
    to_row: Callable[[int, Result | SandboxError], BaseModel]
    """Makes a row of a place and what came of it."""


async def answer(http: HttpRequest, batch: Batch[Result], key: str | None) -> Response:
    """Its rows.

    Args:
        key: rows that a request with this key has had already are not made again.

    Raises:
        ConflictError, InvalidError: see `Retained.claim`.
        ServerError: see `Dispatcher.open`.
    """
    service = service_of(http)
    if key is None:
        rows = Rows(
            request=batch.start(range(batch.count), None),
            to_line=lambda place, outcome: Line(place, encoded(batch.to_row(place, outcome))),
        )
    elif service.dispatcher.is_draining:  # before it ends the request that it would take the place of
        raise DrainingError
    else:
        digest = hashlib.sha256(http.url.path.encode() + b"\0" + await http.body()).digest()
        rows = _missing(service.retained, await service.retained.claim(key, digest), batch)
    return rows_response(
        rows,
        is_streamed=NDJSON in http.headers.get("accept", ""),
        patience_s=service.settings.read_patience_s,
    )


def _missing(retained: Retained, kept: Kept, batch: Batch[Result]) -> Rows[Result]:
    """All rows, of which those that are not there are made, and kept."""
    ready = dict(kept.rows)
    places = [place for place in range(batch.count) if place not in ready]

    def keep(index: int, outcome: Result | SandboxError) -> None:
        if not isinstance(outcome, SandboxError):  # an error may be over when the request comes again
            retained.keep(kept, places[index], encoded(batch.to_row(places[index], outcome)))

    def to_line(index: int, outcome: Result | SandboxError) -> Line:
        place = places[index]
        return Line(place, kept.rows.get(place) or encoded(batch.to_row(place, outcome)))

    request = batch.start(places, keep) if places else None
    kept.newest = None if request is None else ref(request)
    return Rows(request=request, to_line=to_line, ready=ready)
