"""Judge `stdio` tests: one fresh candidate per test, its output compared here."""

from __future__ import annotations

import socket
from typing import Any, Dict, List, Protocol, Sequence, Tuple

from .checker_program import CheckerProgram
from .checkers import DEFAULT, text_checker
from .matching import TooCloseError
from .outcome import Judging, Outcome, Task, TestResult, outcome_of
from .run import run_script
from .spending import Spending
from .tests import TestCodeError

_LAST_WORDS = 4096


def prepare(problem: Dict[str, Any]) -> Task:
    """The task of a problem's plain form. Raises TestCodeError."""
    checker = problem["checker"] or DEFAULT
    if checker["program"] is not None:
        try:
            compile(checker["program"], "checker.py", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
            raise TestCodeError("the checker program does not compile: %s" % error) from None
    return _StdioTask(problem["tests"], checker)


class _Judgment(Protocol):
    """What decides about an output."""

    def judge(self, stdin: str, output: bytes, expected: str) -> Outcome:
        """AC or WA."""


class _TextJudgment:
    def __init__(self, checker: Dict[str, Any]) -> None:
        self._is_right = text_checker(checker)

    def judge(self, stdin: str, output: bytes, expected: str) -> Outcome:  # noqa: ARG002 - programs ask for it
        try:
            if self._is_right(output.decode("utf-8"), expected):
                return Outcome("AC", "")
        except UnicodeDecodeError:
            pass
        except TooCloseError as error:
            return Outcome("WA", str(error))
        return Outcome("WA", "the output differs from what is expected")


class _StdioTask(Task):
    def __init__(self, tests: Sequence[Tuple[str, str]], checker: Dict[str, Any]) -> None:
        self._tests = tests
        self._checker = checker
        self.total = len(tests)

    def judge(self, zygote: socket.socket, request: Dict[str, Any]) -> Judging:
        source = self._checker["program"]
        judgment = _TextJudgment(self._checker) if source is None else CheckerProgram(zygote, source)
        judge = _StdioJudge(zygote, self._tests, judgment, request["payload"], request["limits"])
        return judge.judge(request["stop_on_first_failure"])


class _StdioJudge:
    """All tests of one submission.

    Args:
        payload: what the candidate is to run.
    """

    def __init__(
        self,
        zygote: socket.socket,
        tests: Sequence[Tuple[str, str]],
        judgment: _Judgment,
        payload: Dict[str, Any],
        limits: Dict[str, Any],
    ) -> None:
        self._zygote = zygote
        self._tests = tests
        self._judgment = judgment
        self._payload = payload
        self._limits = limits
        self._spending = Spending(limits)

    def judge(self, stop_on_first_failure: bool) -> Judging:
        """All tests. Raises InfrastructureFailure, TestCodeError."""
        results: List[TestResult] = []
        same_for_all = None
        failed = False
        for stdin, expected in self._tests:
            if failed and stop_on_first_failure:
                results.append(("SKIPPED", "an earlier test failed", 0.0))
                continue
            if same_for_all is not None:
                results.append(same_for_all.as_result(0.0))
                continue
            outcome, wall_s = self._run(stdin, expected)
            if outcome.verdict == "CE":
                same_for_all = outcome
            elif self._spending.left_s() < 0:
                same_for_all = Outcome("TLE", "time limit over all tests exceeded")
            results.append(outcome.as_result(wall_s))
            failed = failed or outcome.verdict != "AC"
        return self._spending.judging(results)

    def _run(self, stdin: str, expected: str) -> Tuple[Outcome, float]:
        output = run_script(self._zygote, self._limits, self._payload, stdin.encode("utf-8", "surrogatepass"))
        report = output.report
        self._spending.add(report)
        outcome = outcome_of(report, output.notice)
        if outcome is None:
            outcome = self._judgment.judge(stdin, output.stdout, expected)
        elif outcome.verdict == "RE" and output.stderr:
            last = output.stderr[-_LAST_WORDS:].decode("utf-8", "replace").strip().splitlines()[-1:]
            outcome = Outcome("RE", "%s: %s" % (outcome.message, "".join(last)[:500]))
        return outcome, report.wall_ns / 1e9
