"""Where a task stands, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from slurm.experiments.task import Task


class Kind(StrEnum):
    """What can be done about a task depends on this alone."""

    NOT_SUBMITTED = "not submitted"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    BLOCKED = "blocked"
    """A task that it needs has failed or was cancelled, so that its job will never start."""
    CANCELLED = "cancelled"


class Cause(StrEnum):
    """Why a task has failed."""

    TIME_LIMIT = "time limit"
    OUT_OF_MEMORY = "out of memory"
    NODE_FAILURE = "node failure"
    PREEMPTED = "preempted"
    PYTHON_ERROR = "Python error"
    EXIT_CODE = "exit code"
    SIGNAL = "signal"
    INPUT = "missing input"
    OUTPUT = "missing or invalid output"
    LOST = "lost"
    """There is no trace of how it has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Of one task, from everything that is known."""

    task: Task
    kind: Kind
    cause: Cause | None = None
    """Where it has failed."""
    detail: str = ""
    """On one line: why it waits, which output is invalid, the error's last line, the exit code."""
    last_words: str = ""
    """The end of what a failed job has printed; of a Python error its traceback's end."""
    attempt: int = 0
    """From 1; 0: none."""
    job: str = ""
    node: str = ""
    log: str = ""
    elapsed_s: float | None = None
    """How long it runs, or ran the last time."""
    requeues: int = 0
    """How often this attempt was queued again."""

    @property
    def what(self) -> str:
        """Cause or kind, and the detail."""
        words = str(self.cause or self.kind)
        return f"{words}: {self.detail}" if self.detail else words
