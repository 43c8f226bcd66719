"""Judge `function` tests: the test code runs here, every call of the program's names runs in the candidate."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # without the enums of `signal`; see zygote.py
import enum
import gc
import importlib
import resource
import socket
import sys
import time
import types
from typing import Any, Dict, List, Optional, Tuple

from .codec import CodecError, unpack
from .frames import FrameError
from .outcome import Judging, Outcome, Task, TestResult, ended_early
from .remote import CandidateEnded, Remote
from .run import Report, Run
from .tests import DIFFERENT, EQUAL, TestCode, TestCodeError, Unit, compile_tests
from .value_checker import ValueChecker

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
    return _FunctionTask(prelude, tests, problem["entry_point"], checker)


class _FunctionTask(Task):
    """Args: prelude, its code object; the tests; the expression that `check` receives; options of a ValueChecker."""

    runs_test_code = True

    def __init__(
        self, prelude: Any, tests: TestCode, entry_point: Optional[str], checker: Optional[Dict[str, Any]]
    ) -> None:
        self.prelude = prelude
        self.tests = tests
        self.entry_point = entry_point
        self.checker = checker
        self.total = tests.total
        self.leaves_nothing = tests.leaves_nothing

    def judge(self, zygote: socket.socket, request: Dict[str, Any]) -> Judging:
        judge = _FunctionJudge(zygote, self, request["code"], request["limits"], request["isolate_tests"])
        tests = judge.judge(request["stop_on_first_failure"])
        return Judging(tests, judge.cpu_ns, judge.peak_bytes, judge.is_late)


class _TestTimeout(BaseException):
    """The test code itself, not the candidate, ran for too long."""


class _UnusableError(Exception):
    """The program could not be loaded, or a set-up statement failed: no test can be run."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


class _Session:
    """One candidate with the program loaded, and the judge's namespace of test code that talks to it."""

    def __init__(self, zygote: socket.socket, task: _FunctionTask, code: str, limits: Dict[str, Any]) -> None:
        module = types.ModuleType("tests")
        sys.modules["tests"] = module
        self.names = module.__dict__
        try:
            exec(task.prelude, self.names)
        except _TestTimeout:
            raise TestCodeError("the prelude runs for too long") from None
        except MemoryError:
            raise  # perhaps for what the candidates before left in the judge
        except BaseException as error:  # trusted code of the problem's author, who may call sys.exit: theirs to mend
            raise TestCodeError("the prelude raises %s: %s" % (type(error).__name__, error)) from None
        if task.checker is not None:
            checker = ValueChecker(task.checker)
            self.names.update({EQUAL: checker.equal, DIFFERENT: checker.different})
        classes = {name: value for name, value in self.names.items() if _crosses(value)}
        self._entry_point = entry = task.entry_point
        for name, module_name in task.tests.modules.items():
            if name not in self.names and name != entry:
                self.names[name] = importlib.import_module(module_name)
        self._wanted = [name for name in task.tests.free_names if name not in self.names and name != entry]
        payload = {
            "mode": "callables",
            "prelude": task.prelude,
            "code": code,
            "classes": list(classes),
            "bind": {"entry_point": entry, "names": self._wanted},
        }
        self.run = Run(zygote, limits, payload, {})
        self._most_bytes = limits["output_bytes"]
        self.remote = Remote(self.run, classes, self._most_bytes, limits["cpu_s"], limits["idle_s"])
        self.is_alive = True

    def load(self) -> None:
        """Wait for the program to be loaded and bind the names the tests take from it. Raises _UnusableError."""
        header, body = self._await_program()
        self.run.disarm()
        self.remote.start_test()
        try:
            entry, names = self.remote.bindings(header, body, self._wanted)
        except CandidateEnded as ended:
            self.is_alive = False
            raise _UnusableError(ended_early(ended.report)) from None
        except _TestTimeout:
            self.end()
            raise _UnusableError(Outcome("TLE", "what the program defines kept the judge busy for too long")) from None
        self.names.update(names)
        if self._entry_point is not None:
            self.names["candidate"] = entry
            if self._entry_point.isidentifier():  # even where it is a builtin's name, or a stub's in the prelude
                self.names[self._entry_point] = entry

    def _await_program(self) -> Tuple[Dict[str, Any], bytes]:
        header: Dict[str, Any] = {}
        body = b""
        try:
            frame = self.run.receive(self._most_bytes)
            header, body = unpack(frame) if frame else (header, body)
        except FrameError as error:
            if "announces" in str(error):
                self.run.kill("output")
        except (OSError, CodecError):
            pass  # an answer that is none: it ended too early
        if "compile_error" in header:
            raise _UnusableError(Outcome("CE", str(header["compile_error"]).strip()))
        if "raised" in header:
            words = _words(header)
            if words.startswith("MemoryError"):
                raise _UnusableError(Outcome("MLE", "MemoryError while loading the program"))
            where = "loading the program" if header.get("is_loading") else "entry point %s" % self._entry_point
            raise _UnusableError(Outcome("RE", "%s: %s" % (where, words)))
        if header.get("ok") is not True:
            raise _UnusableError(ended_early(self.report()))
        return header, body

    def end(self) -> Report:
        """End the candidate, which may not want to.

        Its report has no reason, or an exit status, where it was about to end before.
        """
        if self.is_alive:
            self.run.kill("over")
            self.run.report()  # before it is hung up on, which it would end on as well
        return self.report()

    def report(self) -> Report:
        """Let the candidate go, and wait until nothing of it is left."""
        self.is_alive = False
        self.run.control.close()
        report = self.run.report()
        self.run.close()
        return report


class _FunctionJudge:
    """All tests of one submission, in order, with a fresh candidate after each that died."""

    def __init__(
        self, zygote: socket.socket, task: _FunctionTask, code: str, limits: Dict[str, Any], isolate_tests: bool
    ) -> None:
        self._zygote = zygote
        self._task = task
        self._code = code
        self._limits = limits
        self._isolate_tests = isolate_tests
        self._results: List[TestResult] = []
        self._session: Optional[_Session] = None
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
        # Time that the program's CPU time does not show: asleep, or spent here on what it returned.
        self._lost_s = 0.0
        self.cpu_ns = 0
        self.peak_bytes = 0
        self.is_late = False

    def judge(self, stop_on_first_failure: bool) -> List[TestResult]:
        """Verdict, message and wall seconds of each test. Raises InfrastructureFailure."""
        _signal.signal(_signal.SIGPROF, self._time_out)
        failed = False
        for index, unit in enumerate(self._task.tests.units):
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
        self.is_late = self.is_late or self._left_s("due_total_cpu_s") < 0
        return self._results

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
        if self._left_s() <= 0:
            self._unusable = Outcome("TLE", "time limit over all tests exceeded")
        if self._session is None or not self._session.is_alive:
            self._end_session()
            self._begin(index)
        if self._unusable is not None or self._session is None:
            return self._unusable or Outcome("RE", "the program could not be loaded")
        broken = self._broken or self._broken_pieces.get(self._task.tests.units[index].piece)
        return broken or self._execute(self._session, index)

    def _left_s(self, limit: str = "total_cpu_s") -> float:
        """Of the time over all tests; what the live candidate uses is watched by its supervisor."""
        return float(self._limits[limit]) - self.cpu_ns / 1e9 - self._lost_s

    def _begin(self, index: int) -> None:
        """A fresh candidate, with the set-up statements before `index` executed."""
        if self._unusable is not None:
            return
        left = self._left_s()
        self._limit_own_cpu()
        if self._results:
            # Test code and prelude refer to each other in circles, with all that programs returned to them.
            sys.modules.pop("tests", None)
            gc.collect()
        self._session_from = len(self._results)
        limits = {**self._limits, "total_cpu_s": left, "due_total_cpu_s": self._left_s("due_total_cpu_s")}
        self._session = session = _Session(self._zygote, self._task, self._code, limits)
        try:
            session.load()
        except _UnusableError as error:
            self._unusable = error.outcome
            return
        for position, unit in enumerate(self._task.tests.units[:index]):
            if not unit.is_test and session.is_alive:
                self._set_up(session, unit, position)

    def _set_up(self, session: _Session, unit: Unit, index: int) -> None:
        """A statement that is no test; where it fails, so do those that need it: see _broken_pieces and _broken."""
        if self._broken is not None or unit.piece in self._broken_pieces:
            return
        outcome = self._execute(session, index)
        if outcome.verdict == "AC":
            return
        self._broken_pieces[unit.piece] = outcome
        if not any(other.is_test and other.piece == unit.piece for other in self._task.tests.units[index:]):
            self._broken = outcome

    def _execute(self, session: _Session, index: int) -> Outcome:
        session.remote.start_test()
        self._has_timed_out = False
        self._limit_own_cpu()
        began_s = time.process_time()
        try:
            outcome = _outcome_of_statement(self._task.tests.units[index].code, session.names)
            _signal.setitimer(_signal.ITIMER_PROF, 0)
        except _TestTimeout:
            pass  # as below
        # Test code may have caught either of these two with a bare `except`.
        self._lost_s += max(0.0, time.process_time() - began_s - _FREE_CPU_S)
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
        raise _TestTimeout

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
        self.cpu_ns += report.cpu_ns
        self.is_late = self.is_late or report.is_late
        self._lost_s += (
            report.idle_ns / 1e9
        )  # or a hundred sleeping tests would hold the slot for a hundred idle guards
        self.peak_bytes = max(self.peak_bytes, report.peak_bytes)
        self._session.names.clear()
        self._session = None
        return report


def _outcome_of_statement(code: Any, names: Dict[str, Any]) -> Outcome:
    """What a statement of the tests says; whether the candidate lived through it is asked elsewhere."""
    try:
        exec(code, names)
        return Outcome("AC", "")
    except _TestTimeout:
        raise
    except AssertionError as error:
        if hasattr(error, "candidate_class"):
            return Outcome("RE", _sentence(error))
        return Outcome("WA", _message(error)[:500] or "the assertion failed")
    except MemoryError as error:
        return Outcome("MLE", _sentence(error))  # the program's, or the judge's on what the program returned
    except BaseException as error:  # test code may raise anything, SystemExit too
        return Outcome("RE", _sentence(error))


def _crosses(value: Any) -> bool:
    """A class of the prelude: one whose instances are made of their fields alone, a named tuple, or an enum."""
    if not isinstance(value, type) or value.__module__ != "tests":
        return False
    make: Any = value.__new__
    is_named = issubclass(value, tuple) and hasattr(value, "_fields")
    return make is object.__new__ or is_named or issubclass(value, enum.Enum)


def _words(header: Dict[str, Any]) -> str:
    line, names = header.get("line"), header["raised"]
    place = " (line %d)" % line if type(line) is int else ""
    name = names[0] if type(names) is list and names else "an exception"  # the program may have sent the header
    return "%s: %s%s" % (name, header.get("message"), place)


def _sentence(error: BaseException) -> str:
    name = getattr(error, "candidate_class", type(error).__name__)
    return ("%s: %s" % (name, _message(error))).rstrip(": ")[:500]


def _message(error: BaseException) -> str:
    """Its text, which may hold an object of the program, whose `__str__` may do anything."""
    try:
        return str(error)
    except _TestTimeout:
        raise
    except BaseException:
        return "(its message cannot be shown)"
