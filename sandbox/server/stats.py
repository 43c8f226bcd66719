"""`GET /v1/stats`: a server now and in the last minutes, for its page and for whoever has no Prometheus."""

from __future__ import annotations

import asyncio
import time
from importlib.metadata import version
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request

from sandbox.records import StrictRecord
from sandbox.server.recent import KEPT_S, POINTS, Failure, Recent, Window
from sandbox.server.service import Service

router = APIRouter(prefix="/v1")


class StatsAnswer(StrictRecord):
    """A server now, and in the last minutes."""

    time: float
    """Unix time, s."""
    started: float
    """Likewise."""
    state: Literal["ready", "overloaded", "draining"]
    """`overloaded`: it refused a request for want of room in the last ten seconds."""
    version: str
    enforcement: str
    workers: int
    busy: int
    """Slots with a program."""
    depth: int
    """Submissions that wait or run."""
    capacity: int
    """Most of them."""
    oldest_s: float
    """Age of the oldest request of which something waits."""
    clients: int
    per_s: float
    """Submissions done per second, over the last ten."""
    host_failures: int
    """Times, since the start, that the host failed a submission."""
    slots_replaced: int
    """Since the start."""
    window: Window
    failures: list[Failure]
    """The newest of each verdict and kind of error, in order."""


async def sample_forever(recent: Recent, service: Service) -> None:
    """Notes each half second what the service does, until it is cancelled."""
    while True:
        recent.sample(service.dispatcher.depth, service.sandbox.activity.busy)
        await asyncio.sleep(0.5)


@router.get("/stats")
async def stats(
    request: Request,
    window_s: Annotated[
        int, Query(ge=POINTS, le=KEPT_S, multiple_of=POINTS, description="How far back `window` goes, s.")
    ] = 60,
    after: Annotated[int, Query(ge=0, description="Only failures with a higher number.")] = 0,
) -> StatsAnswer:
    """What the server does, and has done in the last minutes."""
    service: Service = request.app.state.service
    recent: Recent = request.app.state.observation.recent
    dispatcher, activity = service.dispatcher, service.sandbox.activity
    state: Literal["ready", "overloaded", "draining"] = "ready"
    if dispatcher.is_draining:
        state = "draining"
    elif recent.refused_lately(429):
        state = "overloaded"
    return StatsAnswer(
        time=time.time(),
        started=recent.started,
        state=state,
        version=version("qrpo-sandbox"),
        enforcement=service.sandbox.enforcement.level,
        workers=service.sandbox.workers,
        busy=activity.busy,
        depth=dispatcher.depth,
        capacity=service.settings.queued,
        oldest_s=dispatcher.oldest_s,
        clients=dispatcher.clients,
        per_s=recent.rate(),
        host_failures=activity.failures,
        slots_replaced=activity.replaced,
        window=recent.window(window_s),
        failures=recent.failures(after),
    )
