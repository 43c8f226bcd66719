"""What runs tasks: Slurm, or this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from slurm.experiments.task import Task


@dataclass(frozen=True, slots=True)
class Submission:
    """A task that was given to an executor."""

    task_id: str
    job: str
    """As `Submitted.job`."""
    log: Path
    """Where the job prints."""


class Executor(Protocol):
    """Gives tasks to whatever runs them."""

    def submit(
        self, tasks: Sequence[Task], attempts: Mapping[str, int], jobs: Mapping[str, str]
    ) -> Iterator[Submission]:
        """Yields each task as soon as it has a job; the caller then writes `Submitted`.

        Args:
            tasks: those that others wait for first.
            attempts: the number of the attempt, by the task's id; the attempt's folder is there.
            jobs: the job of each needed task that is in the queue already, by the task's id. What is needed, and is
                neither there nor in `tasks`, has succeeded.
        """
        ...
