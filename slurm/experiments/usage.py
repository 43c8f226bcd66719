"""What tasks have used, from what the jobs have written: when each ran, where, and how that ended."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from slurm.experiments.events import Ended, Event, Requeued, Started, Stopped, Submitted
from slurm.experiments.folder import Attempt, ExperimentFolder
from slurm.experiments.plan import LIVE
from slurm.experiments.state import State
from slurm.experiments.task import Task


class Outcome(StrEnum):
    """How a run of a job has ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REQUEUED = "requeued"
    """Its limit, or a preemption, was ahead; it goes on in the next."""
    CANCELLED = "cancelled"
    RUNNING = "running"
    LOST = "lost"
    """Nothing says when it has ended: until its last sign of life, where one is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A job from a start to the end that followed; one that was queued again has several."""

    task: Task
    attempt: int
    job: str
    host: str
    queued_s: float
    """How long it could have started and did not: since it was submitted and all that it needs had succeeded, s."""
    start: float
    """Seconds since 1970, as `end`."""
    end: float
    outcome: Outcome

    @property
    def hours(self) -> float:
        """On the clock, h."""
        return max(0.0, self.end - self.start) / 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Of some runs, h."""

    runs: int = 0
    node_hours: float = 0.0
    core_hours: float | None = 0.0
    """None: some task does not say how many cores it has."""
    gpu_hours: float = 0.0


def runs_of(folder: ExperimentFolder, states: Sequence[State], now: float) -> list[Run]:
    """All runs, as they started."""
    attempts = {state.task.id: folder.attempts(state.task) for state in states}
    events = {name: [(attempt, attempt.events()) for attempt in found] for name, found in attempts.items()}
    done = {name: _succeeded(found) for name, found in events.items()}
    found: list[Run] = []
    for state in states:
        ready = [at for need in state.task.needs if (at := done.get(need)) is not None]
        is_live = state.kind in LIVE
        for number, (attempt, lines) in enumerate(events[state.task.id], start=1):
            is_last = number == len(events[state.task.id])
            found += _runs(state.task, attempt, lines, max(ready, default=0.0), now if is_live and is_last else None)
    return sorted(found, key=lambda run: run.start)


def usage_of(runs: Iterable[Run]) -> Usage:
    """Their sum."""
    count, nodes, cores, gpus = 0, 0.0, 0.0, 0.0
    is_known = True
    for run in runs:
        asked = run.task.resources
        count += 1
        hours = run.hours * asked.nodes
        nodes += hours
        gpus += hours * (asked.gpus_per_node or 0)
        if asked.cpus_per_task is None:
            is_known = False
        else:
            cores += hours * asked.cpus_per_task
    return Usage(runs=count, node_hours=nodes, core_hours=cores if is_known else None, gpu_hours=gpus)


def wasted(runs: Sequence[Run]) -> list[Run]:
    """Those of attempts that have failed, were lost or cancelled, with all their runs before."""
    last: Mapping[tuple[str, int], Run] = {(run.task.id, run.attempt): run for run in runs}
    bad = {Outcome.FAILED, Outcome.LOST, Outcome.CANCELLED}
    return [run for run in runs if last[run.task.id, run.attempt].outcome in bad]


def _succeeded(attempts: Sequence[tuple[Attempt, Sequence[Event]]]) -> float | None:
    """When a task first had."""
    ends = (event for _, events in attempts for event in events if isinstance(event, Ended))
    return next((event.time for event in ends if event.has_succeeded), None)


def _runs(task: Task, attempt: Attempt, events: Sequence[Event], ready: float, now: float | None) -> Iterator[Run]:
    ordered = sorted(events, key=lambda event: event.time)
    waiting = min((event.time for event in ordered if isinstance(event, Submitted)), default=None)
    starts = [place for place, event in enumerate(ordered) if isinstance(event, Started)]
    for place, following in itertools.pairwise([*starts, len(ordered)]):
        event = ordered[place]
        assert isinstance(event, Started)
        after = ordered[place + 1 : following]
        last = _last_sign(attempt) if place == starts[-1] else event.time  # of an earlier run it was written over
        end, outcome = _end(after, now if place == starts[-1] else None) or (last, Outcome.LOST)
        since = event.time if waiting is None else max(waiting, ready)
        yield Run(
            task=task,
            attempt=attempt.number,
            job=event.job,
            host=event.host,
            queued_s=max(0.0, event.time - since),
            start=event.time,
            end=max(end, event.time),
            outcome=outcome,
        )
        waiting = end


def _end(after: Sequence[Event], now: float | None) -> tuple[float, Outcome] | None:
    """When and how a run has ended; None where nothing says so."""
    for event in after:
        if isinstance(event, Ended):
            is_cancelled = any(isinstance(other, Stopped) and other.why == "cancelled" for other in after)
            if event.has_succeeded:
                return event.time, Outcome.SUCCEEDED
            return event.time, Outcome.CANCELLED if is_cancelled else Outcome.FAILED
        if isinstance(event, Requeued):
            return event.time, Outcome.REQUEUED
    return None if now is None else (now, Outcome.RUNNING)


def _last_sign(attempt: Attempt) -> float:
    try:
        return attempt.heartbeat.stat().st_mtime
    except OSError:
        return 0.0
