"""The judge's side of a candidate's callables: every operation is a request, every answer plain or a handle.

Nothing that comes back is believed beyond its form: frames are bounded, values are rebuilt from plain data, and
an answer that breaks the protocol ends the candidate as RE.
"""

from __future__ import annotations

import builtins
import select
import time
import types
from typing import Any, Container, Dict, List, Mapping, Optional, Tuple, Type

from .callables import BUILTINS, PLAIN_TYPES, describe
from .codec import CodecError, Decoder, Encoder, pack, unpack
from .frames import FrameError, PeerGoneError, receive_frame, send_frame
from .in_place import restore
from .run import Report, Run

_PATIENCE = (0.005, 0.02)
"""How long, s, an answer may take at least and at most before the supervisor is asked to time the test; most take far
less. In between it is the hundredth part of the test's time, which is the most that its time may be wrong by."""


class CandidateEnded(BaseException):
    """The candidate's process is gone. BaseException: test code must not catch it with `except Exception`."""

    def __init__(self, report: Report, protocol: Optional[str] = None) -> None:
        self.report = report
        self.protocol = protocol
        super().__init__(protocol or "the program ended before the tests did")


class CandidateError(Exception):
    """Raised by the program, with a type that test code cannot name."""


def raise_as_test_sees_it(names: List[str], message: str, is_next: bool) -> None:
    """Raise what the program raised: the nearest builtin exception in its class's ancestry, marked as foreign.

    StopIteration only from `next`: out of a call it would end `all(map(f, cases))` early, as if all were well.
    """
    for name in names:
        cls = getattr(builtins, name, None)
        if isinstance(cls, type) and issubclass(cls, BaseException):
            is_usual = issubclass(cls, Exception) and (is_next or not issubclass(cls, StopIteration))
            found: Type[BaseException] = cls if is_usual else CandidateError
            try:
                error = found(message)
            except TypeError:  # UnicodeDecodeError and its like take more arguments
                error = CandidateError(message)
            break
    else:
        error = CandidateError(message)
    error.candidate_class = names[0]  # type: ignore[attr-defined]
    raise error


class Remote:
    """The program's names and objects, usable from test code.

    Args:
        run: a run in mode `callables`.
        classes: known helper classes by name.
        frame_limit: bytes of one answer; more ends the run with reason `output`.
        cpu_s: for one test. idle_s: likewise.
    """

    def __init__(self, run: Run, classes: Mapping[str, type], frame_limit: int, cpu_s: float, idle_s: float) -> None:
        self._run = run
        self._classes = classes
        self._class_names = {cls: name for name, cls in classes.items()}
        self._frame_limit = frame_limit
        self._limits = (cpu_s, idle_s)
        self._patience_ms = 1000 * min(max(cpu_s / 100, _PATIENCE[0]), _PATIENCE[1])
        self._callbacks: List[Any] = []
        self._test_started_ns = 0
        self._armed = False
        self._paused = False
        self._handles: Dict[int, "Handle"] = {}
        self._passes_own_function = False
        self.failed_assertion: Optional[str] = None
        """Of a function that the test gave the program, which may have caught it; None since the test started."""
        self._ended: Optional[CandidateEnded] = None

    @property
    def ended(self) -> Optional[CandidateEnded]:
        """How the candidate ended, once the tests have noticed."""
        return self._ended

    def start_test(self) -> None:
        """Time from now on counts for a new test."""
        if self._armed and self._ended is None:
            self._run.disarm()
        self._armed = False
        self.failed_assertion = None
        self._test_started_ns = time.monotonic_ns()

    def bindings(self, answer: Dict[str, Any], body: bytes, wanted: Container[str]) -> Tuple[Any, Dict[str, Any]]:
        """The entry point's value, and those of the wanted names that the program defines.

        Args:
            answer: to the first request, which came with the program. body: likewise.
        """
        found = self._value(answer, body, self._encoder(), [[], {}])
        if type(found) is not list or len(found) != 2 or type(found[1]) is not dict:
            self._break_off("the program's names are malformed")
        # The answer is the program's: it may name what was not asked for.
        return found[0], {name: value for name, value in found[1].items() if name in wanted}

    def operate(self, operation: str, handle: "Handle", /, *args: Any, **kwargs: Any) -> Any:
        """Do something to an object of the program."""
        token = object.__getattribute__(handle, "_token")
        return self._request({"op": operation, "target": token}, [list(args), kwargs])

    def _request(self, header: Dict[str, Any], arguments: List[Any]) -> Any:
        encoder = self._encoder()
        classes, body = encoder.encode(arguments if arguments[1] else arguments[:1])
        header["classes"] = classes
        self._send(pack(header, body))
        while True:
            answer, answer_body = self._receive()
            if "callback" not in answer:
                break
            self._answer_callback(answer, answer_body)
        if "raised" in answer:
            names = [str(name) for name in answer["raised"]] or ["Exception"]
            raise_as_test_sees_it(names, str(answer["message"]), header["op"] == "next")
        return self._value(answer, answer_body, encoder, arguments)

    def _value(self, answer: Dict[str, Any], body: bytes, encoder: Encoder, arguments: List[Any]) -> Any:
        """What an answer holds, once what it did to the arguments is done to them."""
        try:
            existing = {int(row): encoder.rows[origin] for row, origin in answer["same"].items()}
            decoder = Decoder(self._classes, self._resolve, existing)
            value = decoder.decode(answer["classes"], body)
            if len(value) > 1:
                _bring_back(arguments, value[1], value[2])
            return value[0]
        except (CodecError, KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
            self._break_off("an answer is malformed: %s" % error)

    def _answer_callback(self, request: Dict[str, Any], body: bytes) -> None:
        try:
            function = self._callbacks[request["callback"]]
            self._passes_own_function = False
            args, kwargs = Decoder(self._classes, self._resolve).decode(request["classes"], body)
        except (CodecError, KeyError, TypeError, IndexError, ValueError) as error:
            self._break_off("a callback is malformed: %s" % error)
        try:
            if self._passes_own_function and not isinstance(function, (types.FunctionType, types.MethodType)):
                # str.format or operator.attrgetter would look into the function for the program.
                raise TypeError("a function of the test cannot be passed to %s" % type(function).__name__)
            outcome = ["value", function(*args, **kwargs)]
        except Exception as error:  # the test's own function raised: the program may catch it
            words = describe(error)
            if isinstance(error, AssertionError):
                self.failed_assertion = words["message"]
            outcome = ["raise", [words["raised"][0], words["message"]]]
        classes, encoded = self._encoder().encode(outcome)
        self._send(pack({"op": "return", "classes": classes}, encoded))

    def _send(self, frame: bytes) -> None:
        if self._ended is not None:
            raise self._ended
        try:
            send_frame(self._run.control, frame, self._wait)
        except (OSError, FrameError):
            self._break_off(None)

    def _receive(self) -> Tuple[Dict[str, Any], bytes]:
        try:
            self._wait(select.POLLIN)
            frame = receive_frame(self._run.control, self._frame_limit, self._wait)
            if frame is not None:
                self._pause()
                return unpack(frame)
        except (PeerGoneError, ConnectionError):
            self._break_off(None)
        except FrameError as error:
            self._break_off(str(error), "output" if "announces" in str(error) else "protocol")
        except (OSError, CodecError) as error:
            self._break_off(str(error))
        self._break_off(None)
        raise AssertionError  # not reached: _break_off raises

    def _wait(self, event: int) -> None:
        """Until the candidate has written or read something, or is gone; slow answers are timed by the supervisor."""
        waited_ns = time.monotonic_ns() - self._test_started_ns
        if waited_ns < self._patience_ms * 1_000_000 and self._run.wait(event, self._patience_ms):
            return
        self._arm()
        self._run.wait(event)

    def _arm(self) -> None:
        """Have the supervisor time the test, because the candidate may keep us waiting for ever."""
        if not self._armed:
            self._armed = True
            self._run.arm(self._test_started_ns, *self._limits)
        elif self._paused:
            self._run.resume()
        self._paused = False

    def _pause(self) -> None:
        """While the judge computes, or waits for a core to do so, the candidate is idle through no fault of its own."""
        if self._armed:
            self._paused = True
            self._run.pause()

    def _break_off(self, protocol: Optional[str], reason: str = "protocol") -> Any:
        if protocol is not None:
            self._run.kill(reason)
        self._arm()  # it may have hung up and live on
        self._run.control.close()
        report = self._run.report()
        if protocol is not None and report.reason is None:
            report = report._replace(reason=reason)  # hung up on, it ended before it could be ended
        self._ended = CandidateEnded(report, protocol)
        raise self._ended

    def _encoder(self) -> Encoder:
        return Encoder(self._class_names, self._refer)

    def _refer(self, value: Any) -> Dict[str, Any]:
        if type(value) in (Handle, CallableHandle):
            if object.__getattribute__(value, "_remote") is not self:
                raise self._ended or CandidateError("the object belongs to a process that has ended")
            return {"h": object.__getattribute__(value, "_token")}
        if callable(value):
            if type(value) in (type, type(len)) and value in BUILTINS:
                return {"bi": BUILTINS[value]}
            self._callbacks.append(value)
            return {"cb": len(self._callbacks) - 1}
        raise CodecError("a test passes a %s, which cannot cross to the program" % type(value).__name__)

    def _resolve(self, tag: str, token: Any) -> Any:
        if type(token) is int and tag == "h":
            return self._handles.setdefault(token, Handle(self, token))
        if type(token) is int and tag == "k":
            return self._handles.setdefault(token, CallableHandle(self, token))
        if type(token) is int and tag == "cb" and 0 <= token < len(self._callbacks):
            self._passes_own_function = True
            return self._callbacks[token]
        if tag == "bi" and token in PLAIN_TYPES.values():
            return getattr(builtins, token)
        raise CodecError("unknown reference %r" % tag)


def _bring_back(arguments: List[Any], args: Any, kwargs: Any) -> None:
    """In-place changes of the arguments: the caller's own objects get the contents they have over there."""
    for before, after in zip(arguments[0], args):
        restore(before, after)
    for name, before in arguments[1].items():
        restore(before, kwargs.get(name))


_BUFFER_PROTOCOLS = ("__array", "__cuda_array", "__dlpack", "__buffer")
"""numpy asks objects for these, and would read the judge's memory at whatever address the program names."""


class Handle:
    """An object that stays in the candidate. Equal to itself only: the program has no say in a comparison."""

    __slots__ = ("_remote", "_token")

    def __init__(self, remote: Remote, token: int) -> None:
        object.__setattr__(self, "_remote", remote)
        object.__setattr__(self, "_token", token)

    def __getattr__(self, name: str) -> Any:
        if name.startswith(_BUFFER_PROTOCOLS):
            raise AttributeError(name)
        return _operate(self, "getattr", name)

    def __setattr__(self, name: str, value: Any) -> None:
        _operate(self, "setattr", name, value)

    def __delattr__(self, name: str) -> None:
        _operate(self, "delattr", name)

    def __getitem__(self, key: Any) -> Any:
        return _operate(self, "getitem", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        _operate(self, "setitem", key, value)

    def __delitem__(self, key: Any) -> None:
        _operate(self, "delitem", key)

    def __contains__(self, item: Any) -> bool:
        # By what it yields: an object asked "do you contain 5?" would be told the answer by the question.
        return any(mine is item or mine == item for mine in self)

    def __len__(self) -> int:
        length = _operate(self, "len")
        return length if type(length) is int and length >= 0 else 0

    def __iter__(self) -> Any:
        return _operate(self, "iter")

    def __next__(self) -> Any:
        return _operate(self, "next")

    def __bool__(self) -> bool:
        return _operate(self, "bool") is True

    def __str__(self) -> str:
        return _text(_operate(self, "str"))

    def __repr__(self) -> str:
        return _text(_operate(self, "repr"))

    def __enter__(self) -> Any:
        return _operate(self, "enter")

    def __exit__(self, *exc_info: object) -> None:
        _operate(self, "exit")


class CallableHandle(Handle):
    """An object of the program that says it can be called."""

    __slots__ = ()

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 - Python's
        return _operate(self, "call", *args, **kwargs)


def _operate(handle: Handle, operation: str, /, *args: Any, **kwargs: Any) -> Any:
    return object.__getattribute__(handle, "_remote").operate(operation, handle, *args, **kwargs)


def _text(value: Any) -> str:
    return value if type(value) is str else "<object of the program>"
