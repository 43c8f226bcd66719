"""Judge `stdio` tests: one fresh candidate per test, its output compared here."""

from __future__ import annotations

import socket
from typing import Any, Dict, List, Sequence, Tuple

from .checkers import CHECKERS
from .outcome import Outcome, outcome_of
from .run import run_program

_LAST_WORDS = 4096


class StdioJudge:
    """All tests of one submission."""

    def __init__(
        self, zygote: socket.socket, tests: Sequence[Tuple[str, str]], checker: str, code: str, limits: Dict[str, Any]
    ) -> None:
        self._zygote = zygote
        self._tests = tests
        self._check = CHECKERS[checker]
        self._code = code
        self._limits = limits
        self._idle_s = 0.0
        self.cpu_ns = 0
        self.peak_bytes = 0

    def judge(self, stop_on_first_failure: bool) -> List[Tuple[str, str, float]]:
        """Verdict, message and wall seconds of each test. Raises InfrastructureFailure."""
        results: List[Tuple[str, str, float]] = []
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
            elif self.cpu_ns / 1e9 + self._idle_s > self._limits["total_cpu_s"]:
                same_for_all = Outcome("TLE", "time limit over all tests exceeded")
            results.append(outcome.as_result(wall_s))
            failed = failed or outcome.verdict != "AC"
        return results

    def _run(self, stdin: str, expected: str) -> Tuple[Outcome, float]:
        output = run_program(self._zygote, self._limits, self._code, stdin.encode("utf-8", "surrogatepass"))
        report = output.report
        self.cpu_ns += report.cpu_ns
        self._idle_s += (
            report.idle_ns / 1e9
        )  # or a hundred sleeping tests would hold the slot for a hundred idle guards
        self.peak_bytes = max(self.peak_bytes, report.peak_bytes)
        outcome = outcome_of(report, output.notice)
        if outcome is None:
            try:
                right = self._check(output.stdout.decode("utf-8"), expected)
            except UnicodeDecodeError:
                right = False
            outcome = Outcome("AC", "") if right else Outcome("WA", "the output differs from what is expected")
        elif outcome.verdict == "RE" and output.stderr:
            last = output.stderr[-_LAST_WORDS:].decode("utf-8", "replace").strip().splitlines()[-1:]
            outcome = Outcome("RE", "%s: %s" % (outcome.message, "".join(last)[:500]))
        return outcome, report.wall_ns / 1e9
