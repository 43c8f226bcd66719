"""What a request wants done, and who is told of what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from sandbox.errors import SandboxError
from sandbox.verdict import Verdict


class Outcome(Protocol):
    """What a task ends with: a JudgeResult or a RunResult."""

    @property
    def verdict(self) -> Verdict:
        """What became of the program."""

    @property
    def message(self) -> str:
        """Why."""

    @property
    def wall_s(self) -> float:
        """Time in a slot, s."""


Result = TypeVar("Result", bound=Outcome)
Task = Callable[[], Future[Result]]
"""Gives a submission to the sandbox."""
Keep = Callable[[int, Result | SandboxError], None]


class About(NamedTuple):
    """What a submission is, its program apart."""

    kind: Literal["judge", "run"]
    client: str
    request_id: str
    problem_id: str | None
    """None: a run."""


class Observer(Protocol):
    """Is told what becomes of submissions."""

    def finished(self, outcome: Outcome | SandboxError, about: About, *, waited_s: float, took_s: float) -> None:
        """One is done, after so long in the queue and then in the sandbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(Generic[Result]):
    """What is to be done, and how much its results are."""

    tasks: Sequence[Task[Result]]
    """Each is called when it is its turn."""
    size: Callable[[Result], int]
    """Bytes that a result holds until it is read."""
    problem_ids: Sequence[str] | None = None
    """Of the submissions; None where they are runs."""
    keep: Keep[Result] | None = None
    """Is told of each result, also when nobody waits for it any more; then what runs is not cancelled."""
