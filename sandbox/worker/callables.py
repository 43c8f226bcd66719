"""The candidate's side of `function` tests: answer the judge's operations on the program's names and objects.

One request at a time: an operation on a target. The first, `bind`, comes with the program: the entry point's value and
the names that tests take from it. A reply carries a value, or the
exception's class names. The arguments' contents after the call come back when the call changed them. Inside a
call the program may call a function of the judge; then this side sends `callback` and answers requests until
`return` comes.
"""

from __future__ import annotations

import builtins
import operator
import os
import socket
import sys
import types
from typing import Any, Callable, Dict, List, Optional, Tuple

from .codec import SCALARS, CodecError, Decoder, Encoder, pack, unpack
from .frames import receive_frame, send_frame
from .program import compile_program

# Exactly these cross by name to the program, so that `f(int)` or `f(len)` work.
BUILTINS = {value: name for name, value in vars(builtins).items() if not name.startswith("_") and callable(value)}
# And these back: called by the judge they make plain values. With a function as well, `decode = eval` would have
# the judge evaluate, in `decode(encode(x))`, what the program's `encode` returned.
PLAIN_TYPES = {
    cls: cls.__name__ for cls in (bool, bytes, bytearray, complex, dict, float, frozenset, int, list, set, str, tuple)
}

NO_ARGUMENTS = Encoder({}, dict).encode([[]])[1]
_OPERATIONS: Dict[str, Callable[..., Any]] = {
    "call": lambda target, /, *args, **kwargs: target(*args, **kwargs),
    "getattr": getattr,
    "setattr": setattr,
    "delattr": delattr,
    "getitem": operator.getitem,
    "setitem": operator.setitem,
    "delitem": operator.delitem,
    "len": len,
    "iter": iter,
    "next": next,
    "bool": bool,
    "str": str,
    "repr": repr,
    "enter": lambda target: target.__enter__(),
    "exit": lambda target: target.__exit__(None, None, None),
}


class _Server:
    def __init__(self, namespace: Dict[str, Any], known: List[str], control: socket.socket) -> None:
        self._namespace = namespace
        self._control = control
        classes = {name: namespace.get(name) for name in known}
        self._classes = {name: cls for name, cls in classes.items() if isinstance(cls, type)}
        self._class_names = {cls: name for name, cls in self._classes.items()}
        self._handles: Dict[int, Any] = {}
        self._handle_of: Dict[int, int] = {}
        self._callbacks: Dict[int, Any] = {}

    def answer_until_return(self) -> Any:
        """Answer requests; the value of `return`, or exit when the judge closes."""
        while True:
            frame = receive_frame(self._control)
            if frame is None:
                os._exit(0)
            header, body = unpack(frame)
            if header["op"] == "return":
                return self._decoder().decode(header["classes"], body)
            self.answer(header, body)

    def answer(self, header: Dict[str, Any], body: bytes) -> None:
        """Answer one request."""
        try:
            reply = self._perform(header, body)
        except BaseException as error:  # whatever the program raises, SystemExit too, is the test's to see
            reply = pack(describe(error))
        send_frame(self._control, reply)

    def _perform(self, header: Dict[str, Any], body: bytes) -> bytes:
        decoder = self._decoder()
        args, *rest = decoder.decode(header["classes"], body)
        kwargs = rest[0] if rest else {}
        name = header["op"]
        if name == "bind":
            result = self._bindings(header["entry_point"], header["names"])
        else:
            result = _OPERATIONS[name](self._handles[header["target"]], *args, **kwargs)
        encoder = self._encoder()
        is_unchanged = (not kwargs and SCALARS.issuperset(map(type, args))) or (
            self._encoder().encode([args, *rest])[1] == body
        )
        value = [result] if is_unchanged else [result, args, kwargs, decoder.rows]
        classes, encoded = encoder.encode(value)
        origin = {id(row): index for index, row in enumerate(decoder.rows)}
        same = {str(index): origin[id(row)] for index, row in enumerate(encoder.rows) if id(row) in origin}
        return pack({"ok": True, "classes": classes, "same": same}, encoded)

    def _bindings(self, entry_point: Optional[str], names: List[str]) -> List[Any]:
        # Where the program may do all it can.
        value = None if entry_point is None else eval(entry_point, self._namespace)  # noqa: S307
        return [value, {name: self._namespace[name] for name in names if name in self._namespace}]

    def _encoder(self) -> Encoder:
        return Encoder(self._class_names, self._refer)

    def _decoder(self) -> Decoder:
        return Decoder(self._classes, self._resolve)

    def _refer(self, value: Any) -> Dict[str, Any]:
        callback = getattr(value, "_callback_token", None)
        if type(callback) is int and self._callbacks.get(callback) is value:
            return {"cb": callback}
        if type(value) is type and value in PLAIN_TYPES:
            return {"bi": PLAIN_TYPES[value]}
        token = self._handle_of.get(id(value))
        if token is None:
            token = self._handle_of[id(value)] = len(self._handles)
            self._handles[token] = value
        return {"k": token} if callable(value) else {"h": token}

    def _resolve(self, tag: str, token: Any) -> Any:
        if tag in ("h", "k"):
            return self._handles[token]
        if tag == "bi":
            return getattr(builtins, token)
        if tag == "cb":
            return self._callback(token)
        raise CodecError("unknown tag %r" % tag)

    def _callback(self, token: int) -> Any:
        known = self._callbacks.get(token)
        if known is not None:
            return known

        def call_the_judge(*args: Any, **kwargs: Any) -> Any:
            classes, body = self._encoder().encode([args, kwargs])
            send_frame(self._control, pack({"callback": token, "classes": classes}, body))
            outcome, value = self.answer_until_return()
            if outcome == "raise":
                raise getattr(builtins, value[0], Exception)(value[1])
            return value

        call_the_judge._callback_token = token  # type: ignore[attr-defined]
        self._callbacks[token] = call_the_judge
        return call_the_judge


def describe(error: BaseException) -> Dict[str, Any]:
    """An exception as plain words: its class names from the most derived on, and its message."""
    try:
        message = str(error)[:2000]
    except BaseException:
        message = "(its message cannot be shown)"
    line: Optional[int] = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "main.py":
            line = trace.tb_lineno
        trace = trace.tb_next
    return {"raised": [cls.__name__ for cls in type(error).__mro__], "message": message, "line": line}


def load(payload: Dict[str, Any], code: Any) -> Tuple[Dict[str, Any], Optional[BaseException]]:
    """Execute prelude and program as an imported module would be; its names, and what it raised."""
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    namespace = module.__dict__
    try:
        exec(payload["prelude"], namespace)
        exec(code, namespace)
    except BaseException as error:  # the program's: told to the judge, which calls it RE
        return namespace, error
    return namespace, None


def serve(payload: Dict[str, Any], control: socket.socket) -> None:
    """Load the program, say how that went, and answer the judge until it closes."""
    code = compile_program(payload["code"], control)
    if code is None:
        return
    namespace, error = load(payload, code)
    if error is not None:
        send_frame(control, pack({**describe(error), "is_loading": True}))
        return
    server = _Server(namespace, payload["classes"], control)
    server.answer({**payload["bind"], "op": "bind", "classes": []}, NO_ARGUMENTS)
    server.answer_until_return()
