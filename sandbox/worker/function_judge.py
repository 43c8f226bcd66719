"""Judge `function` tests: the test code runs here, every call of the program's names runs in the candidate."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # without the enums of `signal`; see zygote.py
import gc
import resource
import socket
import sys
import time
from typing import Any, Dict, List, Optional

from .outcome import Judging, Outcome, Task, TestResult, ended_early
from .run import Report
from .session import FunctionTests, Session, TestTimeout, UnusableError, outcome_of_statement
from .spending import Spending
from .tests import TestCodeError, Unit, compile_tests

_MIN_CPU_S = 10.0
"""CPU time of the judge itself for one statement; more where a test may use more."""
_FREE_CPU_S = 0.1
"""Of which so much is not charged to the submission."""


def prepare(problem: Dict[str, Any]) -> Task:
    """The task of a problem's plain form. Raises TestCodeError."""
    try:
        prelude = compile(problem["prelude"], "<prelude>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise TestCodeError("the prelude does not compile: %s" % error) from None
    checker = problem["checker"]
    tests = compile_tests(problem["tests"], problem["prelude"], has_checker=checker is not None)
    return _FunctionTask(FunctionTests(prelude, tests, problem["entry_point"], checker))


class _FunctionTask(Task):
    runs_test_code = True

    def __init__(self, tests: FunctionTests) -> None:
        self.tests = tests
        self.total = tests.code.total
        self.leaves_nothing = tests.code.leaves_nothing

    def judge(self, zygote: socket.socket, request: Dict[str, Any]) -> Judging:
        judge = _FunctionJudge(zygote, self.tests, request["code"], request["limits"], request["isolate_tests"])
        return judge.judge(request["stop_on_first_failure"])


class _FunctionJudge:
    """All tests of one submission, in order, with a fresh candidate after each that died."""

    def __init__(
        self, zygote: socket.socket, tests: FunctionTests, code: str, limits: Dict[str, Any], isolate_tests: bool
    ) -> None:
        self._zygote = zygote
        self._tests = tests
        self._code = code
        self._limits = limits
        self._isolate_tests = isolate_tests
        self._results: List[TestResult] = []
        self._session: Optional[Session] = None
        self._session_from = 0
        """Place of the session's first result."""
        self._unusable: Optional[Outcome] = None
        self._broken_pieces: Dict[int, Outcome] = {}
        self._broken: Optional[Outcome] = None
        """What a piece failed with that is set-up for those after it, and has no test of its own."""
        self._has_timed_out = False
        self._own_cpu_s = max(_MIN_CPU_S, limits["cpu_s"])
        self._killed_after_s = 0
        """CPU time of this process."""
        self._spending = Spending(limits)

    def judge(self, stop_on_first_failure: bool) -> Judging:
        """All tests. Raises InfrastructureFailure."""
        _signal.signal(_signal.SIGPROF, self._time_out)
        failed = False
        for index, unit in enumerate(self._tests.code.units):
            if not unit.is_test:
                if self._session is not None and self._session.is_alive and self._unusable is None:
                    self._set_up(self._session, unit, index)
                continue
            if failed and stop_on_first_failure:
                self._results.append(("SKIPPED", "an earlier test failed", 0.0))
                continue
            started = time.monotonic()
            outcome = self._test(index)
            self._results.append(outcome.as_result(time.monotonic() - started))
            failed = failed or outcome.verdict != "AC"
            if self._isolate_tests:
                self._finish()
        self._finish()
        _signal.setitimer(_signal.ITIMER_PROF, 0)
        return self._spending.judging(self._results)

    def _finish(self) -> None:
        """End the candidate after its last test. One that had ended before has let another process answer for it."""
        was_alive = self._session is not None and self._session.is_alive
        report = self._end_session()
        if not was_alive or report is None or (report.reason is not None and report.exit_code is None):
            return
        outcome = ended_early(report._replace(reason=None))
        for place in range(self._session_from, len(self._results)):
            if self._results[place][0] == "AC":
                self._results[place] = outcome.as_result(self._results[place][2])

    def _test(self, index: int) -> Outcome:
        if self._spending.left_s() <= 0:
            self._unusable = Outcome("TLE", "time limit over all tests exceeded")
        if self._session is None or not self._session.is_alive:
            self._end_session()
            self._begin(index)
        if self._unusable is not None or self._session is None:
            return self._unusable or Outcome("RE", "the program could not be loaded")
        broken = self._broken or self._broken_pieces.get(self._tests.code.units[index].piece)
        return broken or self._execute(self._session, index)

    def _begin(self, index: int) -> None:
        """A fresh candidate, with the set-up statements before `index` executed."""
        if self._unusable is not None:
            return
        left = self._spending.left_s()
        self._limit_own_cpu()
        if self._results:
            # Test code and prelude refer to each other in circles, with all that programs returned to them.
            sys.modules.pop("tests", None)
            gc.collect()
        self._session_from = len(self._results)
        limits = {**self._limits, "total_cpu_s": left, "due_total_cpu_s": self._spending.left_s("due_total_cpu_s")}
        self._session = session = Session(self._zygote, self._tests, self._code, limits)
        try:
            session.load()
        except UnusableError as error:
            self._unusable = error.outcome
            return
        for position, unit in enumerate(self._tests.code.units[:index]):
            if not unit.is_test and session.is_alive:
                self._set_up(session, unit, position)

    def _set_up(self, session: Session, unit: Unit, index: int) -> None:
        """A statement that is no test; where it fails, so do those that need it: see _broken_pieces and _broken."""
        if self._broken is not None or unit.piece in self._broken_pieces:
            return
        outcome = self._execute(session, index)
        if outcome.verdict == "AC":
            return
        self._broken_pieces[unit.piece] = outcome
        if not any(other.is_test and other.piece == unit.piece for other in self._tests.code.units[index:]):
            self._broken = outcome

    def _execute(self, session: Session, index: int) -> Outcome:
        session.remote.start_test()
        self._has_timed_out = False
        self._limit_own_cpu()
        began_s = time.process_time()
        try:
            outcome = outcome_of_statement(self._tests.code.units[index].code, session.names)
            _signal.setitimer(_signal.ITIMER_PROF, 0)
        except TestTimeout:
            pass  # as below
        # Test code may have caught either of these two with a bare `except`.
        self._spending.lose(max(0.0, time.process_time() - began_s - _FREE_CPU_S))
        if self._has_timed_out:
            session.end()  # half of an exchange may have been done: what comes next would not be what was asked
            return Outcome("TLE", "the test code ran for too long on what the program returned")
        ended = session.remote.ended
        if ended is not None:
            session.is_alive = False
            outcome = ended_early(ended.report)
            return outcome if ended.protocol is None or outcome.verdict != "RE" else Outcome("RE", ended.protocol)
        swallowed = session.remote.failed_assertion
        if outcome.verdict == "AC" and swallowed is not None:
            return Outcome("WA", swallowed or "an assertion in a function that the program was given failed")
        return outcome

    def _time_out(self, *_: object) -> None:
        self._has_timed_out = True
        raise TestTimeout

    def _limit_own_cpu(self) -> None:
        """For one statement. What a program returns can keep the judge busy: a huge int, keys that collide.

        A signal's handler stops Python code; one long operation in C is stopped by the kernel, with the judge.
        """
        _signal.setitimer(_signal.ITIMER_PROF, self._own_cpu_s)
        least_s = time.process_time() + self._own_cpu_s + 1
        if self._killed_after_s < least_s:
            hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
            self._killed_after_s = soft = int(least_s) + 3
            resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))

    def _end_session(self) -> Optional[Report]:
        if self._session is None:
            return None
        report = self._session.end()
        self._spending.add(report)
        self._session.names.clear()
        self._session = None
        return report
