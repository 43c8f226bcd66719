"""One candidate with the program loaded, and the names of the test code that talks to it."""

from __future__ import annotations

import enum
import importlib
import socket
import sys
import types
from typing import Any, Dict, NamedTuple, Optional, Tuple

from .codec import CodecError, unpack
from .frames import FrameError
from .outcome import Outcome, ended_early
from .remote import CandidateEnded, Remote
from .run import Report, Run
from .tests import DIFFERENT, EQUAL, TestCode, TestCodeError
from .value_checker import ValueChecker


class FunctionTests(NamedTuple):
    """What a `function` problem is judged by."""

    prelude: Any
    """Its code object."""
    code: TestCode
    entry_point: Optional[str]
    """The expression that `check` receives."""
    checker: Optional[Dict[str, Any]]
    """Options of a ValueChecker."""


class TestTimeout(BaseException):
    """The test code itself, not the candidate, ran for too long."""


class UnusableError(Exception):
    """The program could not be loaded, or a set-up statement failed: no test can be run."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


class Session:
    """One candidate with the program loaded, and the judge's namespace of test code that talks to it."""

    def __init__(self, zygote: socket.socket, tests: FunctionTests, code: str, limits: Dict[str, Any]) -> None:
        module = types.ModuleType("tests")
        sys.modules["tests"] = module
        self.names = module.__dict__
        try:
            exec(tests.prelude, self.names)
        except TestTimeout:
            raise TestCodeError("the prelude runs for too long") from None
        except MemoryError:
            raise  # perhaps for what the candidates before left in the judge
        except BaseException as error:  # trusted code of the problem's author, who may call sys.exit: theirs to mend
            raise TestCodeError("the prelude raises %s: %s" % (type(error).__name__, error)) from None
        if tests.checker is not None:
            checker = ValueChecker(tests.checker)
            self.names.update({EQUAL: checker.equal, DIFFERENT: checker.different})
        classes = {name: value for name, value in self.names.items() if _crosses(value)}
        self._entry_point = entry = tests.entry_point
        for name, module_name in tests.code.modules.items():
            if name not in self.names and name != entry:
                self.names[name] = importlib.import_module(module_name)
        self._wanted = [name for name in tests.code.free_names if name not in self.names and name != entry]
        payload = {
            "mode": "callables",
            "prelude": tests.prelude,
            "code": code,
            "classes": list(classes),
            "bind": {"entry_point": entry, "names": self._wanted},
        }
        self.run = Run(zygote, limits, payload, {})
        self._most_bytes = limits["output_bytes"]
        self.remote = Remote(self.run, classes, self._most_bytes, limits["cpu_s"], limits["idle_s"])
        self.is_alive = True

    def load(self) -> None:
        """Wait for the program to be loaded and bind the names the tests take from it. Raises UnusableError."""
        header, body = self._await_program()
        self.run.disarm()
        self.remote.start_test()
        try:
            entry, names = self.remote.bindings(header, body, self._wanted)
        except CandidateEnded as ended:
            self.is_alive = False
            raise UnusableError(ended_early(ended.report)) from None
        except TestTimeout:
            self.end()
            raise UnusableError(Outcome("TLE", "what the program defines kept the judge busy for too long")) from None
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
            raise UnusableError(Outcome("CE", str(header["compile_error"]).strip()))
        if "raised" in header:
            words = _words(header)
            if words.startswith("MemoryError"):
                raise UnusableError(Outcome("MLE", "MemoryError while loading the program"))
            where = "loading the program" if header.get("is_loading") else "entry point %s" % self._entry_point
            raise UnusableError(Outcome("RE", "%s: %s" % (where, words)))
        if header.get("ok") is not True:
            raise UnusableError(ended_early(self.report()))
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


def outcome_of_statement(code: Any, names: Dict[str, Any]) -> Outcome:
    """What a statement of the tests says; whether the candidate lived through it is asked elsewhere."""
    try:
        exec(code, names)
        return Outcome("AC", "")
    except TestTimeout:
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
    except TestTimeout:
        raise
    except BaseException:
        return "(its message cannot be shown)"
