"""The candidate's side of `shared` tests: program and tests in one module, executed one at a time as the judge asks.

The judge sends a frame with the marshalled steps, then a frame for each test: the step's index, what to tear down after
it, and a secret, which stays unread in the socket until the test is over and must come back with its outcome. What is
used after the program was loaded is bound before.
"""

from __future__ import annotations

import builtins
import fcntl
import importlib
import os
import resource
import signal
import socket
import struct
import sys
import types
from marshal import loads
from typing import Any, Dict, List, Optional

from .callables import describe
from .codec import pack
from .frames import send_frame
from .program import compile_program
from .shared_guard import Liars, Snapshot
from .shared_plan import CASE, FUNCTION, SETUP
from .shared_result import MAX_MESSAGE, VERDICTS, Outcome, Result, outcome_of

MODULE_NAMES = ("__test__", "__main__", "solution")
"""What tests and programs may import the one module as; its `__name__` is the first."""
SECRET_BYTES = 16
LAST_OF_CLASS, LAST_OF_PIECE = 1, 2
REQUEST = struct.Struct("=IB")
ANSWER = struct.Struct("=%dsB" % SECRET_BYTES)
_LENGTH = struct.Struct("=I")


def serve(payload: Dict[str, Any], control: socket.socket) -> None:
    """Load the program, say how that went, and run tests until the judge closes."""
    code = compile_program(payload["code"], control)
    if code is None:
        return
    for name in payload["modules"]:
        try:
            importlib.import_module(name)
        except ImportError:
            pass  # the tests will tell it better
    package = __name__.rpartition(".")[0] + "."
    for name in [name for name in sys.modules if name.startswith(package)]:
        del sys.modules[name]  # where the program would find all of this by name
    module = types.ModuleType(MODULE_NAMES[0])
    module.__dict__.update(__builtins__=builtins, __file__="main.py")
    sys.modules.update(dict.fromkeys(MODULE_NAMES, module))
    liars = Liars()
    snapshot = Snapshot([*MODULE_NAMES, *payload["modules"]])
    control = _hidden(control)
    runner = _Runner(control.fileno(), snapshot, liars, module)
    answer = _load(payload["prelude"], code, module.__dict__)
    runner.stop_watchers()
    changed = snapshot.restore()
    if changed:
        answer = {"tampered": _changed(changed)}
    send_frame(control, pack(answer))
    if "ok" in answer:
        runner.serve(payload["entry_point"])


def _hidden(control: socket.socket) -> socket.socket:
    """The same socket by a number that no program knows beforehand."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    number = fcntl.fcntl(control, fcntl.F_DUPFD_CLOEXEC, 8 + int.from_bytes(os.urandom(4), "big") % max(1, most - 8))
    control.close()
    return socket.socket(fileno=number)


def _load(prelude: Any, code: Any, names: Dict[str, Any]) -> Dict[str, Any]:
    try:
        exec(prelude, names)
        exec(code, names)
    except BaseException as error:  # the program's: told to the judge, which calls it RE
        return describe(error)
    return {"ok": True}


class _Runner:
    """Tests of one program, in one process.

    Args:
        control: descriptor of the socket to the judge.
        module: that the program has been loaded into, or will be.
    """

    def __init__(self, control: int, snapshot: Snapshot, liars: Liars, module: types.ModuleType) -> None:
        self._control = control
        self._module = module
        self._snapshot = snapshot
        self._liars = liars
        self._process = os.getpid()
        self._broken: Dict[int, Outcome] = {}
        self._callables: Dict[str, Any] = {}
        self._bound: Dict[str, Dict[str, Any]] = {}
        self._done = 0
        self._is_bound = False
        self._read, self._write, self._exit, self._getpid = os.read, os.write, os._exit, os.getpid
        self._set_trace, self._set_profile = sys.settrace, sys.setprofile
        self._mask, self._all_signals = signal.pthread_sigmask, signal.valid_signals()
        self._result = Result()
        self._asserts: Dict[str, Any] = {}
        unittest: Any = sys.modules.get("unittest")
        if unittest is not None:
            self._suite = unittest.TestSuite
            self._asserts = {
                name: function
                for name, function in vars(unittest.TestCase).items()
                if type(function) is types.FunctionType and not name.startswith("__")
            }

    def stop_watchers(self) -> None:
        """No function of the program is called for each line of ours."""
        self._set_trace(None)
        self._set_profile(None)

    def serve(self, entry_point: Optional[str]) -> None:
        """Until the judge closes."""
        names = self._module.__dict__
        steps = loads(self._receive(_LENGTH.unpack(self._receive(_LENGTH.size))[0]))  # noqa: S302 - trusted
        self._liars.look_at_classes()
        if entry_point is not None:
            try:
                names["candidate"] = eval(entry_point, names)  # noqa: S307 - the problem's
            except BaseException as error:
                self._broken = {step[1]: outcome_of(error, "RE") for step in steps}
        while True:
            self._receive(_LENGTH.size)  # of the request with its secret
            index, then = REQUEST.unpack(self._receive(REQUEST.size))
            verdict, message = self._judge(steps, index, then, names)
            self.stop_watchers()
            changed = self._snapshot.restore()
            if changed:
                verdict, message = "RE", _changed(changed)
            elif self._liars.found:
                verdict, message = "RE", "the program's %s is true of everything" % self._liars.found.pop()
                self._liars.found.clear()
            if self._getpid() != self._process:
                self._exit(0)  # a child that the program started and let return
            words = message.encode("utf-8", "backslashreplace")[:MAX_MESSAGE]
            before = self._mask(signal.SIG_BLOCK, self._all_signals)
            answer = ANSWER.pack(self._receive(SECRET_BYTES), VERDICTS.index(verdict)) + words
            self._write(self._control, _LENGTH.pack(len(answer)) + answer)
            self._mask(signal.SIG_SETMASK, before)

    def _receive(self, size: int) -> bytes:
        """No byte more than is asked for: a secret is to stay where it is until its test is over."""
        data = b""
        while len(data) < size:
            chunk = self._read(self._control, size - len(data))
            if not chunk:
                self._exit(0)
            data += chunk
        return data

    def _judge(self, steps: List[Any], index: int, then: int, names: Dict[str, Any]) -> Outcome:
        """Run a test, after the set-up before it that this process has not seen."""
        kind, piece, name, code, fails_on_purpose = steps[index]
        for step in steps[self._done : index]:
            if step[0] == SETUP and step[1] not in self._broken:
                self._set_up(steps, step[1], step[3], names)
        self._done = index
        if piece in self._broken:
            return self._broken[piece]
        self._bind([step for step in steps if step[1] == piece], names)
        if kind == CASE:
            return self._run_case(name, then, fails_on_purpose)
        try:
            if kind == FUNCTION:
                self._run_function(name)
            else:
                exec(loads(code), names)  # noqa: S302 - trusted
        except BaseException as error:
            return outcome_of(error, "WA" if isinstance(error, AssertionError) else "RE")
        return "AC", ""

    def _set_up(self, steps: List[Any], piece: int, code: bytes, names: Dict[str, Any]) -> None:
        """Where it fails, so do the tests of its piece, or all later ones where it has none."""
        self._is_bound = False
        try:
            exec(loads(code), names)  # noqa: S302 - trusted
        except BaseException as error:
            outcome = outcome_of(error, "WA" if isinstance(error, AssertionError) else "RE")
            tests = [step[1] for step in steps if step[0] != SETUP]
            for other in [piece] if piece in tests else [other for other in tests if other > piece]:
                self._broken[other] = outcome

    def _bind(self, steps: List[Any], names: Dict[str, Any]) -> None:
        """Keep what a piece has defined, which the program may redefine from now on."""
        if self._is_bound:
            return
        self._is_bound = True
        kinds = {step[2].partition(".")[0]: step[0] for step in steps if step[0] in (CASE, FUNCTION)}
        self._callables = {name: names[name] for name in kinds if name in names}
        classes = {name: value for name, value in self._callables.items() if kinds[name] == CASE}
        self._snapshot.watch_tests([self._module, *classes.values()])
        self._bound = {
            name: {method: value for method, value in self._asserts.items() if getattr(cls, method, None) is value}
            for name, cls in classes.items()
        }

    def _run_case(self, name: str, then: int, fails_on_purpose: bool) -> Outcome:
        class_name, _, method = name.partition(".")
        result = self._result
        result.clear()
        try:
            case = self._callables[class_name](method)
            # In the object itself, so that what the program makes of their class does not matter.
            vars(case).update({name: types.MethodType(value, case) for name, value in self._bound[class_name].items()})
            suite = self._suite([case])
            suite.run(result)
            if then:
                suite._tearDownPreviousClass(None, result)
                result._previousTestClass = _Closed
            if then == LAST_OF_PIECE:
                suite._handleModuleTearDown(result)
                result._previousTestClass = None
        except BaseException as error:
            return outcome_of(error, "RE")
        return result.outcome(fails_on_purpose)

    def _run_function(self, name: str) -> None:
        answer = self._callables[name]()
        if isinstance(answer, types.CoroutineType):
            importlib.import_module("asyncio").run(answer)


class _Closed:
    """Stands for a class whose tests are over: it has nothing to tear down, and the module's fixtures are not over."""


_Closed.__module__ = MODULE_NAMES[0]


def _changed(names: List[str]) -> str:
    return "the program changed %s, which tests rely on" % names[0]
