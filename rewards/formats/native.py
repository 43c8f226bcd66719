"""Our own format: the fields of `sandbox.problem.Problem`, and optionally a solution."""

from __future__ import annotations

from rewards.entry import Entry
from sandbox.records import ProblemRecord


class NativeRow(ProblemRecord):
    """A problem of `qrpo-sandbox judge`, with a program that solves it if there is one."""

    solution: str | None = None

    def to_entry(self) -> Entry:
        """The problem as it stands.

        Raises:
            ValueError: the fields contradict each other.
        """
        return Entry(self.to_problem(), self.solution)
