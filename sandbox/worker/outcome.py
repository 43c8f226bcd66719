"""From a run's report to a verdict and a sentence that says why."""

from __future__ import annotations

import signal
import socket
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from .run import Report

_REASONS = {
    "cpu": ("TLE", "CPU time limit exceeded"),
    "total_cpu": ("TLE", "time limit over all tests exceeded"),
    "idle": ("TLE", "idle for longer than the limit"),
    "wall": ("TLE", "wall time guard: 10 times the CPU time limit"),
    "memory": ("MLE", "memory limit exceeded"),
    "locks": ("MLE", "more record locks than a program may hold"),
    "threads": ("RE", "more threads than the limit allows"),
    "output": ("OLE", "output limit exceeded"),
    "protocol": ("RE", "broke the protocol between program and judge"),
}
_MAX_MESSAGE = 2000
TestResult = Tuple[str, str, float]
"""Verdict, message and wall seconds."""


class Judging(NamedTuple):
    """What became of a submission."""

    tests: List[TestResult]
    cpu_ns: int
    peak_bytes: int
    is_late: bool = False
    """See run.Report."""


class Task:
    """A problem as the slot keeps it: one subclass per kind.

    Attributes:
        total: number of its tests.
        runs_test_code: whether code of the tests runs in the judge, which what a program returns may then bring down.
        leaves_nothing: whether a judge can go on to the next submission as if there had been none before.
    """

    total: int
    runs_test_code = False
    leaves_nothing = True

    def judge(self, zygote: socket.socket, request: Dict[str, Any]) -> Judging:
        """Judge a submission, in the judge's process.

        Args:
            request: of the pool; see sandbox.messages.judge_request.

        Raises:
            InfrastructureFailure: the host could not do it.
            TestCodeError: the problem is of no use.
        """
        raise NotImplementedError


class Outcome(NamedTuple):
    """A verdict by name, and why it is not AC."""

    verdict: str
    message: str

    def as_result(self, wall_s: float) -> TestResult:
        """As a test's result. The message may be the program's and is repeated for each test: it is cut."""
        return self.verdict, self.message[:_MAX_MESSAGE], wall_s


def outcome_of(report: Report, notice: Dict[str, Any]) -> Optional[Outcome]:
    """None for a script that ended with status 0 within its limits.

    Args:
        notice: what the candidate's side said last. The program could have said it as well, but only a
            failing verdict follows from it, so that saying it gains nothing.
    """
    if report.reason is not None:
        return Outcome(*_REASONS.get(report.reason, ("RE", report.reason)))
    if "compile_error" in notice:
        return Outcome("CE", str(notice["compile_error"]).strip())
    if notice.get("memory_error"):
        return Outcome("MLE", "more memory was asked for than the limit allows")
    if report.signal is not None:
        return Outcome("RE", "killed by %s" % _signal_name(report.signal))
    if report.exit_code != 0:
        return Outcome("RE", "exited with status %s" % report.exit_code)
    return None


def ended_early(report: Report) -> Outcome:
    """The outcome where any end is too early."""
    return outcome_of(report, {}) or Outcome("RE", "exited before the tests were over")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal %d" % number
