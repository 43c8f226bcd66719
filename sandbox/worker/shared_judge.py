"""Judge `shared` tests: program and tests run in one candidate, which says how each test ended.

What it says cannot be proved: see docs/security.md. It can end no test that was not asked for, nor one twice, and what
it does not say is RE.
"""

from __future__ import annotations

import marshal
import os
import select
import socket
import time
from typing import Any, Dict, List, Optional

from .codec import CodecError, unpack
from .frames import FrameError, PeerGoneError, receive_frame, send_frame
from .outcome import Judging, Outcome, Task, TestResult, ended_early
from .run import Report, Run
from .shared_plan import CASE, Plan, Step, plan_tests
from .shared_result import MAX_MESSAGE, VERDICTS
from .shared_tests import ANSWER, LAST_OF_CLASS, LAST_OF_PIECE, REQUEST, SECRET_BYTES
from .spending import Spending
from .tests import TestCodeError

_FIRST_FRAME = 1 << 20
_PATIENCE_MS = 5
"""How long an answer may take before the supervisor is asked to time the test."""


def prepare(problem: Dict[str, Any]) -> Task:
    """The task of a problem's plain form. Raises TestCodeError."""
    try:
        prelude = compile(problem["prelude"], "<prelude>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise TestCodeError("the prelude does not compile: %s" % error) from None
    is_wanted = any("candidate" in piece for piece in problem["tests"])
    plan = plan_tests(problem["tests"], problem["prelude"])
    return _SharedTask(prelude, plan, problem["entry_point"] if is_wanted else None)


class _SharedTask(Task):
    """Args: prelude, its code object; the tests; the expression that tests know as `candidate`, where they use it."""

    def __init__(self, prelude: Any, plan: Plan, entry_point: Optional[str]) -> None:
        self.prelude = prelude
        self.plan = plan
        self.entry_point = entry_point
        self.steps = marshal.dumps([tuple(step) for step in plan.steps])
        self.total = plan.total

    def judge(self, zygote: socket.socket, request: Dict[str, Any]) -> Judging:
        judge = _SharedJudge(zygote, self, request["code"], request["limits"], request["isolate_tests"])
        return judge.judge(request["stop_on_first_failure"])


class _UnusableError(Exception):
    """The program could not be loaded: no test can be run."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


class _Session:
    """One candidate with the program loaded."""

    def __init__(self, zygote: socket.socket, task: _SharedTask, code: str, limits: Dict[str, Any]) -> None:
        payload = {
            "mode": "shared",
            "prelude": task.prelude,
            "code": code,
            "modules": task.plan.modules,
            "entry_point": task.entry_point,
        }
        self._limits = limits
        self._run = Run(zygote, limits, payload, {})
        self._started_ns = time.monotonic_ns()
        self._is_armed = True  # a run is timed from its start
        self.is_alive = True

    def load(self, steps: bytes) -> None:
        """Wait for the program to be loaded and give it the tests. Raises _UnusableError."""
        try:
            frame = self._run.receive(_FIRST_FRAME)
            header = unpack(frame)[0] if frame else {}
        except (OSError, FrameError, CodecError):
            header = {}
        if header.get("ok") is not True:
            raise _UnusableError(self._why_not(header))
        self._run.disarm()
        self._is_armed = False
        self._started_ns = time.monotonic_ns()
        try:
            send_frame(self._run.control, steps, self._wait)
        except (OSError, FrameError):
            raise _UnusableError(self.gone()) from None

    def _why_not(self, header: Dict[str, Any]) -> Outcome:
        if "compile_error" in header:
            return Outcome("CE", _text(header["compile_error"]).strip())
        if "tampered" in header:
            return Outcome("RE", _text(header["tampered"]))
        if "raised" in header:
            names, line = header["raised"], header.get("line")
            name = _text(names[0]) if type(names) is list and names else "an exception"
            if name == "MemoryError":
                return Outcome("MLE", "MemoryError while loading the program")
            place = " (line %d)" % line if type(line) is int else ""
            words = "loading the program: %s: %s" % (name, _text(header.get("message")))
            return Outcome("RE", words[:MAX_MESSAGE] + place)
        return self.gone()

    def test(self, index: int, then: int) -> Outcome:
        """Run a test. The candidate may be gone after it."""
        if self._is_armed:
            self._run.disarm()
        self._is_armed = False
        self._started_ns = time.monotonic_ns()
        secret = os.urandom(SECRET_BYTES)
        control = self._run.control
        try:
            send_frame(control, REQUEST.pack(index, then) + secret, self._wait)
            self._wait(select.POLLIN)
            answer = receive_frame(control, ANSWER.size + MAX_MESSAGE, self._wait)
        except (OSError, PeerGoneError):
            answer = None
        except FrameError as error:
            return self._break_off(str(error))
        if answer is None:
            return self.gone()
        if len(answer) < ANSWER.size:
            return self._break_off("an answer is too short")
        told, verdict = ANSWER.unpack_from(answer)
        if told != secret or verdict >= len(VERDICTS):
            return self._break_off("an answer is not that of its test")
        return Outcome(VERDICTS[verdict], answer[ANSWER.size :].decode("utf-8", "ignore"))

    def _wait(self, event: int) -> None:
        """Until the candidate has written or read something, or is gone; slow tests are timed by the supervisor."""
        waited_ns = time.monotonic_ns() - self._started_ns
        if waited_ns < _PATIENCE_MS * 1_000_000 and self._run.wait(event, _PATIENCE_MS):
            return
        self._arm()
        self._run.wait(event)

    def _arm(self) -> None:
        if not self._is_armed:
            self._is_armed = True
            self._run.arm(self._started_ns, self._limits["cpu_s"], self._limits["idle_s"])

    def gone(self) -> Outcome:
        """The outcome where the candidate ended, or hung up and may live on."""
        self._arm()
        return ended_early(self._let_go())

    def _break_off(self, protocol: str) -> Outcome:
        self._run.kill("protocol")
        outcome = ended_early(self._let_go())
        return Outcome("RE", "broke the protocol: %s" % protocol) if outcome.verdict == "RE" else outcome

    def end(self) -> Report:
        """End the candidate, which may not want to.

        Its report has no reason, or an exit status, where it was about to end before.
        """
        if self.is_alive:
            self._run.kill("over")
            self._run.report()  # before it is hung up on, which it would end on as well
        return self._let_go()

    def _let_go(self) -> Report:
        """Hang up, and wait until nothing of it is left."""
        self.is_alive = False
        self._run.control.close()
        report = self._run.report()
        self._run.close()
        return report


class _SharedJudge:
    """All tests of one submission, in order, with a fresh candidate after each that died."""

    def __init__(
        self, zygote: socket.socket, task: _SharedTask, code: str, limits: Dict[str, Any], isolate_tests: bool
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
        self._spending = Spending(limits)

    def judge(self, stop_on_first_failure: bool) -> Judging:
        """All tests. Raises InfrastructureFailure."""
        places = [place for place, step in enumerate(self._task.plan.steps) if step.is_test]
        failed = False
        for place, after in zip(places, [*places[1:], None]):
            if failed and stop_on_first_failure:
                self._results.append(("SKIPPED", "an earlier test failed", 0.0))
                continue
            started = time.monotonic()
            step = self._task.plan.steps[place]
            outcome = self._test(place, self._what_ends(step, after))
            if step.name and outcome.message:
                outcome = outcome._replace(message="%s: %s" % (step.name, outcome.message))
            self._results.append(outcome.as_result(time.monotonic() - started))
            failed = failed or outcome.verdict not in ("AC", "SKIPPED")
            if self._isolate_tests:
                self._finish()
        self._finish()
        return self._spending.judging(self._results)

    def _what_ends(self, step: Step, after: Optional[int]) -> int:
        """Which fixtures are to be torn down after a test."""
        following = self._task.plan.steps[after] if after is not None else None
        if following is None or self._isolate_tests or (following.piece, following.kind) != (step.piece, CASE):
            return LAST_OF_PIECE
        return LAST_OF_CLASS if following.group != step.group else 0

    def _test(self, place: int, then: int) -> Outcome:
        if self._unusable is not None:
            return self._unusable
        if self._session is None or not self._session.is_alive:
            self._finish()
            try:
                self._session = self._begin()
            except _UnusableError as error:
                self._unusable = error.outcome
                return error.outcome
        return self._session.test(place, then)

    def _begin(self) -> _Session:
        """A fresh candidate. Raises _UnusableError."""
        left = {limit: self._spending.left_s(limit) for limit in ("total_cpu_s", "due_total_cpu_s")}
        if left["total_cpu_s"] <= 0:
            raise _UnusableError(Outcome("TLE", "time limit over all tests exceeded"))
        self._session_from = len(self._results)
        session = _Session(self._zygote, self._task, self._code, {**self._limits, **left})
        self._session = session  # whose time counts even where the program cannot be loaded
        session.load(self._task.steps)
        return session

    def _finish(self) -> None:
        """End the candidate after its last test. One that had ended before has let another process answer for it."""
        if self._session is None:
            return
        was_alive = self._session.is_alive
        report = self._session.end()
        self._session = None
        self._spending.add(report)
        if not was_alive or (report.reason is not None and report.exit_code is None):
            return
        outcome = ended_early(report._replace(reason=None))
        for index in range(self._session_from, len(self._results)):
            if self._results[index][0] == "AC":
                self._results[index] = outcome.as_result(self._results[index][2])


def _text(value: Any) -> str:
    """A word of the candidate's, which may be the program's and anything."""
    return value if type(value) is str else "?"
