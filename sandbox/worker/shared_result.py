# ruff: noqa: ARG002, N802  (the names are unittest's)
"""What became of one test, as unittest tells it."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

VERDICTS = ("AC", "WA", "RE", "MLE", "SKIPPED")
MAX_MESSAGE = 500
Outcome = Tuple[str, str]
"""Verdict and message."""


class Result:
    """What unittest tells of a test; it has no place for a method of the program's."""

    __slots__ = (
        "_moduleSetUpFailed", "_previousTestClass", "_testRunEntered", "failfast", "fixture", "problems", "shouldStop",
        "successes",
    )  # fmt: skip

    def __init__(self) -> None:
        self.shouldStop = self.failfast = self._moduleSetUpFailed = False
        self._testRunEntered = True  # or a suite would end the class after its first test
        self._previousTestClass: Any = None
        self.fixture: Optional[Outcome] = None
        """Why no test of the class, or module, can be run."""
        self.clear()

    def clear(self) -> None:
        """Forget the last test, but not a fixture that failed."""
        self.problems: List[Outcome] = []
        self.successes = 0

    def startTest(self, test: Any) -> None:
        """The fixtures before it are done."""
        self.fixture = None

    def stopTest(self, test: Any) -> None:
        """Its clean-ups are done."""

    def addDuration(self, test: Any, elapsed: float) -> None:
        """The judge measures it."""

    def addSuccess(self, test: Any) -> None:
        """All of it went well."""
        self.successes += 1

    def addError(self, test: Any, error: Any) -> None:
        """It, or a fixture, raised."""
        self._add(outcome_of(error[1], "RE"))

    def addFailure(self, test: Any, error: Any) -> None:
        """An assertion failed."""
        self._add(outcome_of(error[1], "WA"))

    def addSubTest(self, test: Any, subtest: Any, error: Any) -> None:
        """A part of it is over."""
        if error is not None:
            self._add(outcome_of(error[1], "WA" if issubclass(error[0], test.failureException) else "RE"))

    def addSkip(self, test: Any, reason: str) -> None:
        """It was not run to its end."""
        self._add(("SKIPPED", "skipped: %s" % (reason,)))

    def addExpectedFailure(self, test: Any, error: Any) -> None:
        """It is marked, and failed."""
        self._add(("XFAIL", ""))

    def addUnexpectedSuccess(self, test: Any) -> None:
        """It is marked, and did not fail."""
        self._add(("WA", "succeeded, but is expected to fail"))

    def _add(self, outcome: Outcome) -> None:
        self.fixture = outcome
        self.problems.append(outcome)

    def outcome(self, fails_on_purpose: bool) -> Outcome:
        """Of the test that was run since `clear`, with its fixtures."""
        if fails_on_purpose and self.problems == [("XFAIL", "")]:
            return "AC", ""
        if self.problems:
            verdict, message = self.problems[0]
            return (verdict, message) if verdict in VERDICTS else ("RE", "failed as only a test that is marked may")
        if self.successes == 1:
            return "AC", ""
        return self.fixture or ("RE", "the test was not run")


def outcome_of(error: BaseException, verdict: str) -> Outcome:
    """What a test ended with, as a verdict of this name where nothing stronger follows from its class."""
    if type(error) is MemoryError:
        return "MLE", "MemoryError"
    try:
        words = " ".join(str(error)[: 4 * MAX_MESSAGE].split())
    except BaseException:
        words = "(its message cannot be shown)"
    if type(error).__name__ == "SkipTest":
        return "SKIPPED", ("skipped: %s" % words)[:MAX_MESSAGE]
    return verdict, ("%s: %s" % (type(error).__name__, words)).rstrip(": ")[:MAX_MESSAGE]
