"""From what is known of tasks to where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from slurm.experiments.events import Ended, Started, Submitted
from slurm.experiments.evidence import Evidence, gather
from slurm.experiments.folder import ExperimentFolder
from slurm.experiments.state import Cause, Kind, State
from slurm.experiments.task import Task

_UNMET = (Kind.FAILED, Kind.BLOCKED, Kind.CANCELLED)


def states_of(folder: ExperimentFolder, tasks: Sequence[Task]) -> list[State]:
    """Where tasks stand, in their order: those that others wait for come first."""
    evidence = gather(folder, tasks)
    found: dict[str, State] = {}
    for task in tasks:
        unmet = next((name for name in task.needs if name in found and found[name].kind in _UNMET), "")
        found[task.id] = state_of(task, replace(evidence[task.id], unmet=unmet))
    return list(found.values())


def state_of(task: Task, evidence: Evidence) -> State:
    """Where a task stands. Any one source of the evidence may be missing."""
    kind, cause = Kind.BLOCKED if evidence.unmet else Kind.NOT_SUBMITTED, None
    for event in evidence.events:
        if isinstance(event, Submitted):
            kind = Kind.QUEUED
        elif isinstance(event, Started):
            kind = Kind.RUNNING
        elif isinstance(event, Ended):
            kind = Kind.SUCCEEDED if event.has_succeeded else Kind.FAILED
            cause = None if event.has_succeeded else Cause.EXIT_CODE
    return State(task=task, kind=kind, cause=cause, attempt=evidence.attempt)
