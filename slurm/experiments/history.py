"""What a list of events amounts to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from slurm.experiments.events import Ended, Event, Requeued, Started, Stopped, Submitted


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Of one attempt."""

    job: str = ""
    log: str = ""
    host: str = ""
    pid: int | None = None
    started_s: float | None = None
    """When it began, the last time; None: never."""
    is_running: bool = False
    """It has begun, and neither ended nor queued itself again."""
    stops: frozenset[str] = frozenset()
    """Why it was told to end since then."""
    ended: Ended | None = None
    requeues: int = 0

    @property
    def has_succeeded(self) -> bool:
        """It has said so."""
        return self.ended is not None and self.ended.has_succeeded


def history_of(events: Iterable[Event]) -> History:
    """Of events, oldest first; whatever is missing among them."""
    job = log = host = ""
    pid = None
    started_s = ended = None
    is_running = False
    stops: set[str] = set()
    starts = requeues = 0
    for event in events:
        if isinstance(event, Submitted):
            job, log = event.job, event.log
        elif isinstance(event, Started):
            job, host, pid, started_s = job or event.job, event.host, event.pid, event.time
            ended, is_running = None, True
            stops.clear()
            starts += 1
        elif isinstance(event, Stopped):
            stops.add(event.why)
        elif isinstance(event, Requeued):
            is_running = False
            requeues += 1
            stops.discard("limit")
        else:
            ended, is_running = event, False
    return History(
        job=job,
        log=log,
        host=host,
        pid=pid,
        started_s=started_s,
        is_running=is_running,
        stops=frozenset(stops),
        ended=ended,
        requeues=max(requeues, starts - 1),
    )
