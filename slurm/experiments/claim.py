"""Who runs a task: of two jobs for the same one, one."""

from __future__ import annotations

import os

from slurm.experiments.events import Ended, Started
from slurm.experiments.folder import Attempt, ExperimentFolder
from slurm.experiments.heartbeat import is_fresh
from slurm.experiments.task import Task


def holder(attempt: Attempt, job: str) -> str:
    """The job that runs this attempt: this one, if no other was here before.

    A job that has claimed an attempt and died keeps it: it may be queued again. Whoever knows that it is gone starts
    another attempt.

    Raises:
        OSError: the claim can neither be written nor read.
    """
    try:
        descriptor = os.open(attempt.claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return attempt.claim.read_text() or "another job"  # empty: it has died, or is about to write it
    try:
        os.write(descriptor, job.encode())
        os.fsync(descriptor)
    except OSError:
        attempt.claim.unlink()
        raise
    finally:
        os.close(descriptor)
    return job


def running_attempts(folder: ExperimentFolder, task: Task, but: int) -> list[tuple[Attempt, Started]]:
    """Other attempts of a task that have started, have not ended, and give signs of life."""
    found = []
    for attempt in folder.attempts(task):
        events = attempt.events() if attempt.number != but and is_fresh(attempt.heartbeat) else []
        last = next((event for event in reversed(events) if isinstance(event, Started | Ended)), None)
        if isinstance(last, Started):
            found.append((attempt, last))
    return found
