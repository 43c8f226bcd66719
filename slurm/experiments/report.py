"""What an experiment has done and what it took."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slurm.experiments.diagnosis import state_of
from slurm.experiments.evidence import earlier_evidence
from slurm.experiments.failures import Group, grouped
from slurm.experiments.standing import Standing
from slurm.experiments.state import Kind, State
from slurm.experiments.usage import Outcome, Run, Usage, runs_of, usage_of, wasted


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """A stage, or all of them."""

    name: str
    tasks: int
    succeeded: int
    requeues: int
    queued_median_s: float | None
    """How long runs waited for their turn; None: none has started."""
    queued_longest_s: float | None
    ran_median_s: float | None
    """Of runs that have succeeded."""
    used: Usage
    wasted: Usage
    """Of attempts that came to nothing."""
    start: float | None
    """Seconds since 1970, as `end`."""
    end: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierFailure:
    """An attempt that another has followed."""

    task_id: str
    attempt: int
    job: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything but results, which are `slurm.experiments.results`."""

    standing: Standing
    made: float
    """When, seconds since 1970."""
    stages: Sequence[StageReport]
    total: StageReport
    hosts: Sequence[tuple[str, Usage]]
    """By the host of a job's batch step."""
    failures: Sequence[Group]
    """Of today."""
    earlier: Sequence[EarlierFailure]
    runs: Sequence[Run]
    """As they started."""


def report_of(standing: Standing, now: float) -> Report:
    """Reads what the jobs have written."""
    states = [*standing.states, *standing.left]
    runs = runs_of(standing.experiment.folder, states, now)
    names = list(dict.fromkeys(state.task.stage for state in states))
    hosts = sorted({run.host for run in runs})
    return Report(
        standing=standing,
        made=now,
        stages=[_stage(name, states, runs) for name in names],
        total=_stage(None, states, runs),
        hosts=[(host, usage_of(run for run in runs if run.host == host)) for host in hosts],
        failures=grouped(standing.states),
        earlier=list(_earlier(standing, states)),
        runs=runs,
    )


def _stage(name: str | None, states: Sequence[State], runs: Sequence[Run]) -> StageReport:
    mine = [state for state in states if name in {None, state.task.stage}]
    ran = [run for run in runs if name in {None, run.task.stage}]
    waits = [run.queued_s for run in ran]
    times = [run.end - run.start for run in ran if run.outcome is Outcome.SUCCEEDED]
    return StageReport(
        name="in all" if name is None else name,
        tasks=len(mine),
        succeeded=sum(state.kind is Kind.SUCCEEDED for state in mine),
        requeues=sum(run.outcome is Outcome.REQUEUED for run in ran),
        queued_median_s=statistics.median(waits) if waits else None,
        queued_longest_s=max(waits, default=None),
        ran_median_s=statistics.median(times) if times else None,
        used=usage_of(ran),
        wasted=usage_of(wasted(ran)),
        start=min((run.start for run in ran), default=None),
        end=max((run.end for run in ran), default=None),
    )


def _earlier(standing: Standing, states: Sequence[State]) -> Iterable[EarlierFailure]:
    folder = standing.experiment.folder
    for state in states:
        for attempt in folder.attempts(state.task):
            if attempt.number >= state.attempt:
                break
            then = state_of(state.task, earlier_evidence(folder, attempt))
            if then.kind is Kind.SUCCEEDED:
                continue
            why = "it never started: what it needed had failed, or it was cancelled"
            if attempt.has_begun or then.last_words:
                why = then.what
            yield EarlierFailure(task_id=state.task.id, attempt=attempt.number, job=then.job, why=why)
