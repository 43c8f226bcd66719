"""One per slot: takes requests from the pool one at a time, forks the judges.

Requests and answers are marshal dicts; both ends are trusted, and no byte of a program is ever in them but as
a string. Problems come once, by key, and stay compiled, and so do programs in languages that are. A request that cannot
be answered for a reason of the host answers `{"infrastructure": why}`; for a reason of the problem `{"problem": why}`;
for want of a language `{"unsupported_language": why}`.
"""

from __future__ import annotations

import collections
import gc
import marshal
import os
import random
import resource
import select
import signal
import socket
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

from . import function_judge, linux, root, shared_judge, stdio_judge
from .codec import unpack
from .compiler import CompileError, Compiler, Program, Surroundings, UnsupportedLanguage
from .frames import MAX_TRUSTED, FrameError, receive_frame, send_frame
from .languages import NAMES, PYTHON
from .outcome import Judging, Outcome, Task, outcome_of
from .run import Abandoned, DeathFailure, InfrastructureFailure, Report, Run, run_script
from .tests import TestCodeError

_MAX_PROBLEM_BYTES = 64 << 20
"""Source text of the problems kept; more would make every fork slower."""
_MAX_JUDGE_BYTES = 4 << 30
"""Private memory of a judge: what a program returns must not fill the host through it."""
_MOST_LEFT_BYTES = 32 << 20
"""By so much a judge may have grown if it is to go on to the next submission."""
_PROBE_LIMITS = {
    "cpu_s": 5.0, "total_cpu_s": 10.0, "due_cpu_s": 5.0, "due_total_cpu_s": 10.0, "idle_s": 5.0,
    "memory_bytes": 256 << 20, "output_bytes": 1 << 20,
    "processes": 8, "disk_bytes": 1 << 20, "open_files": 256,
}  # fmt: skip

_PREPARE: Dict[str, Callable[[Dict[str, Any]], Task]] = {
    "function": function_judge.prepare,
    "shared": shared_judge.prepare,
    "stdio": stdio_judge.prepare,
}
"""By kind: what makes a problem ready to judge by; raises TestCodeError."""
_NOTHING_RAN = {
    **Report(None, 1, None, 0, 0, 0, 0, is_late=False)._asdict(), "verdict": "CE", "stdout": b"", "files": {},
}  # fmt: skip
_TOO_MUCH = "what the program returned took too much of the judge's memory"
_DEATHS: Dict[int, Tuple[str, str]] = {
    signal.SIGXCPU: ("TLE", "what the program returned kept the judge busy for too long"),
    signal.SIGSEGV: ("RE", "the test code crashed on what the program returned"),
    signal.SIGBUS: ("RE", "the test code crashed on what the program returned"),
    signal.SIGABRT: ("RE", "the test code crashed on what the program returned"),
    signal.SIGFPE: ("RE", "the test code crashed on what the program returned"),
}


def _bound_memory(memory_bytes: int) -> None:
    """A judge is as large as what a program returns makes it."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    most = min(_MAX_JUDGE_BYTES, 2 * memory_bytes + (512 << 20))
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _all_tests(verdict: str, message: str, task: Task) -> Dict[str, Any]:
    return Judging([Outcome(verdict, message).as_result(0.0)] * task.total, 0, 0)._asdict()


class _Judge(NamedTuple):
    """A process that judges submissions to one problem."""

    key: str
    pid: int
    sock: socket.socket


class Broker:
    """The slot's side of the conversation with the pool."""

    def __init__(self, pool: socket.socket, zygote: socket.socket, is_single: bool) -> None:
        self._last: Optional[_Judge] = None
        self._pool = pool
        self._zygote = zygote
        self._compiler = Compiler(zygote, pool, is_single)
        self._problems: "collections.OrderedDict[str, Task]" = collections.OrderedDict()
        self._sizes: Dict[str, int] = {}

    def measure_guards(self, spec: Dict[str, Any], probed: socket.socket) -> Dict[str, Any]:
        """Run our own probe in a candidate's place; see probe.py. Raises InfrastructureFailure.

        Args:
            probed: an abstract socket that it must not be able to reach.
        """
        words = self._zygote.recv(4096)
        if not words:
            raise DeathFailure("the zygote died")
        zygote = marshal.loads(words)  # noqa: S302 - from the zygote
        if "failed" in zygote:
            raise InfrastructureFailure(zygote["failed"])
        facts = {
            "level": spec["level"],
            "host": spec["namespaces"],
            "zygote": zygote,
            "slot": linux.namespaces(),
            "root": root.entries(spec),
            "broker": os.getpid(),
            "socket": os.fsdecode(probed.getsockname()),
            "limits": _PROBE_LIMITS,
            "has_group": spec["group"] is not None,
            "hidden": spec["hidden"],
        }
        run = Run(self._zygote, _PROBE_LIMITS, {"mode": "probe", "facts": facts}, {})
        try:
            report = run.report()
            frame = run.receive(MAX_TRUSTED)
        except FrameError as error:
            raise InfrastructureFailure("the probe ended without an answer: %s" % error) from None
        finally:
            run.close()
        if frame is None:
            raise InfrastructureFailure("the probe ended without an answer: %s" % (report,))
        found = unpack(frame)[0]
        return {"guards": dict(found["guards"]), "absent": dict(found["absent"])}

    def serve(self) -> None:
        """Until the pool closes."""
        random.seed()  # what tests draw is no program's to know
        gc.freeze()
        try:
            while True:
                frame = receive_frame(self._pool)
                if frame is None:
                    return
                self._serve_one(marshal.loads(frame))  # noqa: S302 - from the pool
        except (OSError, FrameError, Abandoned):
            pass  # the pool is gone
        finally:
            if self._last is not None:
                self._end_judge(self._last)

    def _serve_one(self, request: Dict[str, Any]) -> None:
        """Raises OSError, FrameError or Abandoned where the pool is gone."""
        try:
            answer = self._answer(request)
        except (InfrastructureFailure, OSError, MemoryError) as error:  # no process, descriptor or memory is left
            answer = {"infrastructure": str(error) or type(error).__name__}
        except TestCodeError as error:
            answer = {"problem": str(error)}
        except UnsupportedLanguage as error:
            answer = {"unsupported_language": str(error)}
        goes_on = answer.pop("goes_on", False)
        send_frame(self._pool, marshal.dumps(answer, 2))
        if self._last is not None and not goes_on:
            self._end_judge(self._last)

    def _answer(self, request: Dict[str, Any]) -> Dict[str, Any]:
        if request["op"] == "run":
            return self._run(request)
        if request["op"] == "languages":
            return {"languages": {name: self._compiler.fault(name) for name in NAMES}, "is_late": False}
        key = request["key"]
        if "problem" in request:
            self._keep(key, request["problem"])
        elif key not in self._problems:
            return {"need": key}
        self._problems.move_to_end(key)
        task = self._problems[key]
        try:
            program = self._compiled(request)
        except CompileError as error:
            return _all_tests("CE", str(error), task)
        return self._judge({**request, **program._asdict()}, task)

    def _run(self, request: Dict[str, Any]) -> Dict[str, Any]:
        try:
            program = self._compiled(request)
        except CompileError as error:
            return {**_NOTHING_RAN, "message": str(error), "stderr": str(error).encode("utf-8")}
        limits = program.limits
        output = run_script(
            self._zygote, limits, program.payload, request["stdin"], self._pool, request.get("fetch", ())
        )
        outcome = outcome_of(output.report, output.notice)
        report = output.report._asdict()
        return {
            **report,
            "verdict": outcome.verdict if outcome else "AC",
            "message": outcome.message if outcome else "",
            "stdout": output.stdout[: limits["output_bytes"]],
            "stderr": output.stderr[: limits["output_bytes"]],
            "files": output.files,
        }

    def _compiled(self, request: Dict[str, Any]) -> Program:
        """Raises as Compiler.program."""
        surroundings = Surroundings(request.get("arguments", ()), request.get("files", {}))
        return self._compiler.program(request.get("language", PYTHON), request["code"], request["limits"], surroundings)

    def _keep(self, key: str, problem: Dict[str, Any]) -> None:
        self._problems[key] = _PREPARE[problem["kind"]](problem)
        self._sizes[key] = len(repr(problem["tests"]))
        while sum(self._sizes.values()) > _MAX_PROBLEM_BYTES and len(self._problems) > 1:
            oldest, _ = self._problems.popitem(last=False)
            del self._sizes[oldest]

    def _judge(self, request: Dict[str, Any], task: Task) -> Dict[str, Any]:
        """In another process, so that test code leaves nothing behind."""
        key = request["key"]
        if self._last is not None and self._last.key != key:
            self._end_judge(self._last)
        judge = self._last = self._last or self._start_judge(key, task)
        poller = select.poll()
        poller.register(judge.sock, select.POLLIN)
        poller.register(self._pool, select.POLLHUP)

        def wait(event: int) -> None:
            poller.modify(judge.sock, event)
            if judge.sock.fileno() not in dict(poller.poll()):
                raise Abandoned

        try:
            send_frame(judge.sock, marshal.dumps(request, 2), wait)
            answer = receive_frame(judge.sock, wait=wait)
        except (OSError, FrameError):
            answer = None  # it died in the midst of it
        if answer is not None:
            return dict(marshal.loads(answer))  # noqa: S302 - from our own fork
        status = self._end_judge(judge)
        if task.runs_test_code and os.WIFSIGNALED(status):
            # Only test code that meets what a program returned can bring the judge down so; a program must
            # not be able to make that an infrastructure failure.
            death = _DEATHS.get(os.WTERMSIG(status))
            if death is not None:
                return _all_tests(*death, task)
        raise InfrastructureFailure("the judge process died")

    def _start_judge(self, key: str, task: Task) -> _Judge:
        ours, theirs = socket.socketpair()
        pid = linux.clone(0)
        if pid == 0:
            try:
                ours.close()
                self._pool.close()
                linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
                self._be_judge(task, theirs)
            finally:
                os._exit(0)
        theirs.close()
        return _Judge(key, pid, ours)

    def _be_judge(self, task: Task, broker: socket.socket) -> None:
        """Judge submissions until one may have left something behind."""
        goes_on = task.leaves_nothing
        most_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + (_MOST_LEFT_BYTES >> 10)
        while True:
            frame = receive_frame(broker)
            if frame is None:
                return
            request = marshal.loads(frame)  # noqa: S302 - from the broker
            _bound_memory(request["limits"]["memory_bytes"])
            try:
                answer = self._judged(request, task)
                # What a program returned may have left memory in pieces, or unreachable circles.
                goes_on = goes_on and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < most_kib
                frame = marshal.dumps({**answer, "goes_on": goes_on}, 2)
            except MemoryError:  # what the program returned was too much: never the host's fault
                goes_on = False
                frame = marshal.dumps(_all_tests("MLE", _TOO_MUCH, task), 2)
            send_frame(broker, frame)
            if not goes_on:
                return

    def _end_judge(self, judge: _Judge) -> int:
        """Its wait status. Its end takes a while: who waits for its answer has it first."""
        self._last = None
        judge.sock.close()
        os.kill(judge.pid, signal.SIGKILL)
        return os.waitpid(judge.pid, 0)[1]

    def _judged(self, request: Dict[str, Any], task: Task) -> Dict[str, Any]:
        try:
            return task.judge(self._zygote, request)._asdict()
        except (InfrastructureFailure, OSError) as error:
            return {"infrastructure": str(error)}
        except TestCodeError as error:
            return {"problem": str(error)}
