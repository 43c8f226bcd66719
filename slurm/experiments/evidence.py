"""What is known of a task, from everything that knows something of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slurm.experiments.events import Event
from slurm.experiments.folder import ExperimentFolder
from slurm.experiments.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Of one task's last attempt."""

    attempt: int = 0
    """From 1; 0: none."""
    job: str = ""
    """As squeue's %i; empty where it has none."""
    log: str = ""
    """Path of what the job prints."""
    events: Sequence[Event] = ()
    held: str = ""
    """Why it could not be submitted, where that was tried."""
    unmet: str = ""
    """Id of a task that it needs, and that has failed, or will never run."""


def gather(folder: ExperimentFolder, tasks: Sequence[Task]) -> Mapping[str, Evidence]:
    """By the task's id; one call of squeue and one of sacct for all."""
    found = {}
    for task in tasks:
        attempts = folder.attempts(task)
        found[task.id] = Evidence(attempt=attempts[-1].number, events=attempts[-1].events()) if attempts else Evidence()
    return found
