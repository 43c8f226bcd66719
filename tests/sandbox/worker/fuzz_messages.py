"""Coverage-guided fuzzing of all that a program can send: frames, headers, values. For atheris, which pytest calls.

By hand: python tests/sandbox/worker/fuzz_messages.py [libFuzzer's options, folders of inputs]

An input is the bytes of a channel. Only FrameError and CodecError may come of it, nothing may be executed or opened on
the way, and what is decoded is plain and no larger than a bounded multiple of the input.
"""

import enum
import importlib
import json
import socket
import sys
import zoneinfo
from typing import Any, NamedTuple

import atheris

with atheris.instrument_imports(
    include=[
        "sandbox.worker.codec",
        "sandbox.worker.plain",
        "sandbox.worker.arrays",
        "sandbox.worker.times",
        "sandbox.worker.frames",
        "json.decoder",
    ]
):
    from sandbox.worker.codec import CodecError, Decoder, unpack
    from sandbox.worker.frames import FrameError, receive_frame

LIMIT = 1 << 16
# Bytes of memory that one byte of input may become: an array may have 64 MiB, a range ten million numbers in no memory.
MOST_BYTES = 1 << 28


class Node:
    """A helper class of a problem's prelude."""

    val: Any


class Pair(NamedTuple):
    """Likewise."""

    left: Any
    right: Any


class Colour(enum.Flag):
    """Likewise."""

    RED = 1
    BLUE = 2


KNOWN = {"Node": Node, "Pair": Pair, "Colour": Colour}


class Done(Exception):  # noqa: N818 - no error
    """There is no more to read."""


PLAIN = {"NoneType", "bool", "int", "float", "str", "list", "tuple", "dict", "set", "frozenset", "bytes", "bytearray",
         "complex", "range", "deque", "Counter", "OrderedDict", "Decimal", "Fraction", "datetime", "date", "time",
         "timedelta", "timezone", "ZoneInfo", "ndarray", "array", "defaultdict", "Named", "Node",
         "Pair", "Colour"}  # fmt: skip
FORBIDDEN = ("exec", "compile", "import", "open", "os.", "subprocess", "ctypes", "pickle", "marshal", "shutil", "code.")
_armed = False


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and str(arguments[0]).startswith(tuple(zoneinfo.TZPATH)):
        return
    if _armed and event.startswith(FORBIDDEN):
        raise SystemError(f"decoding led to {event} {arguments!r}")


def _refuse(tag: str, token: object) -> object:
    raise CodecError(f"{tag} {token!r}")


def _no_more(_event: int) -> None:
    raise Done


def decode(data: bytes) -> None:
    """What the judge does with an answer, one frame after the other."""
    global _armed  # noqa: PLW0603 - the audit hook has no other way to know
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        theirs.send(data[: 1 << 15])
        _armed = True
        try:
            while True:
                frame = receive_frame(ours, LIMIT, _no_more)
                if frame is None:
                    return
                assert len(frame) <= LIMIT
                header, body = unpack(frame)
                assert type(header) is dict
                names = header.get("classes", [])
                value = Decoder(KNOWN, _refuse).decode(names if type(names) is list else [], body)
                assert type(value).__name__ in PLAIN or type(value).__module__ == "numpy", type(value)
                assert sys.getsizeof(value) <= MOST_BYTES
        except (FrameError, CodecError, Done):
            pass
        finally:
            _armed = False


def seeds() -> list[bytes]:
    """A frame of each kind of value, for the fuzzer to begin with."""
    bodies = [
        '[[],{"t":[1,2]}]', '[[],{"s":[1]}]', '[[],{"f":[1]}]', '[[],{"d":[[1,2]]}]', '[[],{"b":"YQ=="}]',
        '[[],{"i":"0xff"}]', '[[],{"c":[1.0,2.0]}]', '[[],{"r":[0,9,2]}]', '[[],{"q":[3,[1]]}]', '[[],{"C":[["a",1]]}]',
        '[[],{"D":"1e5"}]', '[[],{"F":[1,2]}]', '[[],{"td":[1,2,3]}]',
        '[[],{"np":["<U2",[2],["a","b"]]}]', '[[],{"nb":["<i2",[1],"AAA="]}]', '[[],{"nb":["<f2",null,"AAA="]}]',
        '[[],{"no":[[1],[null]]}]', '[[],{"nv":[[1],[["a",{"nb":["|i1",[1],"AA=="]}]]]}]', '[[],{"a":["b",[1]]}]',
        '[[],{"nt":["P",["x"],[1]]}]', '[[],{"dd":["list",{"d":[]}]}]', '[[],{"da":[2020,1,1]}]',
        '[[],{"ti":[1,2,3,4,0,["Europe/Berlin",null,null]]}]', '[[],{"tz":[null,"A",[0,60,0]]}]',
        '[[],{"dt":[[2020,1,1],[1,2,3,4,1,[null,null,[0,1,0]]]]}]', '[[],{"ot":["Pair",[1,2]]}]',
        '[[],{"e":["Colour","RED",null]}]', '[[],{"e":["Colour",null,3]}]',
        '[[],{"h":1}]', "[[],NaN]", "[[],1e999]",
    ]  # fmt: skip
    nodes = (json.dumps({"ok": True, "classes": ["Node"], "same": {"0": 0}}), '[[[["val",{"o":0}]]],{"o":0}]')
    pairs = [('{"ok":true,"classes":[],"same":{}}', body) for body in bodies] + [nodes]
    frames = [f"{header}\n{body}".encode() for header, body in pairs]
    return [len(frame).to_bytes(4, sys.byteorder) + frame for frame in frames]


if __name__ == "__main__":
    importlib.import_module("numpy")  # an import while decoding would be told

    sys.addaudithook(_audit)
    atheris.Setup(sys.argv, decode)
    atheris.Fuzz()
