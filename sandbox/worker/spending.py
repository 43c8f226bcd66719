"""What the runs of one submission have used together, and whether it is to be judged again."""

from __future__ import annotations

from typing import Any, Dict, List

from .outcome import Judging, TestResult
from .run import TIME_REASONS, Report


class Spending:
    """Of one submission.

    Args:
        limits: see sandbox.limits.
    """

    def __init__(self, limits: Dict[str, Any]) -> None:
        self._limits = limits
        self._cpu_ns = 0
        self._peak_bytes = 0
        self._lost_s = 0.0
        self._is_late = False
        self._was_ended = False
        """Some test for its time, which no other time will tell."""

    def add(self, report: Report) -> None:
        """A run that is over."""
        self._cpu_ns += report.cpu_ns
        self._peak_bytes = max(self._peak_bytes, report.peak_bytes)
        self._is_late = self._is_late or report.is_late
        self._was_ended = self._was_ended or report.reason in TIME_REASONS
        self.lose(report.idle_ns / 1e9)  # or a hundred sleeping tests would hold the slot for a hundred idle guards

    def lose(self, seconds: float) -> None:
        """Time that the program's CPU time does not show: asleep, or spent in the judge on what it returned."""
        self._lost_s += seconds

    def left_s(self, limit: str = "total_cpu_s") -> float:
        """Of the time over all tests; what a live candidate uses is watched by its supervisor."""
        return float(self._limits[limit]) - self._cpu_ns / 1e9 - self._lost_s

    def judging(self, tests: List[TestResult]) -> Judging:
        """Once all tests have their results."""
        is_late = self._is_late or (not self._was_ended and self.left_s("due_total_cpu_s") < 0)
        return Judging(tests, self._cpu_ns, self._peak_bytes, is_late)
