"""Tests as open-instruct's data sets hold them: as JSON, or pickled, compressed and in base64.

A pickle is a program. Only those are loaded whose every step makes plain data.
"""

from __future__ import annotations

import base64
import binascii
import json
import pickle
import pickletools
import zlib

_PLAIN = frozenset(
    {
        "PROTO", "FRAME", "MARK", "STOP", "EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM",
        "SETITEMS", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
        "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "NONE", "NEWTRUE",
        "NEWFALSE", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET",
    }
)  # fmt: skip
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_MOST_STEPS = 1_000_000
"""Of a pickle: each is some bytes of memory and a microsecond, and compressed a thousand of them are one byte."""
_VALUE_BYTES = 32
"""Charged for each value, whatever it is."""
_DEEPEST = 100


def decode(text: str, most: int) -> list[object]:
    """The list of tests.

    Args:
        most: bytes of it once decompressed.

    Raises:
        ValueError: it is neither JSON nor such a pickle, no list, or too large.
    """
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    except ValueError:
        found = _unpickled(_decompressed(text, most))
        _left_of(most, found)
    if not isinstance(found, list):
        raise ValueError(f"a {type(found).__name__} where a list of tests should be")
    return found


def _decompressed(text: str, most: int) -> bytes:
    try:
        decompressor = zlib.decompressobj()
        data = decompressor.decompress(base64.b64decode(text, validate=True), most)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise ValueError(f"neither JSON nor compressed and in base64: {error}") from None
    if decompressor.unconsumed_tail:
        raise ValueError(f"more than {most} bytes when decompressed")
    return data


def _unpickled(data: bytes) -> object:
    try:
        for count, (step, argument, _) in enumerate(pickletools.genops(data)):
            if step.name not in _PLAIN:
                raise ValueError(f"a pickle with {step.name}, which is not plain data")
            if step.name in _PUTS and int(argument or 0) > count:
                raise ValueError("a pickle that numbers more values than it has")
            if count >= _MOST_STEPS:
                raise ValueError(f"a pickle of more than {_MOST_STEPS} steps")
        return pickle.loads(data)  # noqa: S301 - of steps that make plain data alone
    except (
        pickle.UnpicklingError,
        RecursionError,
        EOFError,
        IndexError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
    ) as error:
        raise ValueError(f"no pickle: {error}") from None


def _left_of(most: int, value: object, depth: int = 0) -> int:
    """How many of so many bytes a value leaves when it is written out: a pickle can hold one many times, or in itself.

    Raises:
        ValueError: it is more, or what JSON does not have.
    """
    left = most - _VALUE_BYTES
    if left < 0 or depth > _DEEPEST:
        raise ValueError("too much, or nested too deep, when written out")
    match value:
        case str():
            left -= len(value)
        case int() if not isinstance(value, bool):
            left -= len(str(value))  # ValueError where that is too long
        case list():
            for item in value:
                left = _left_of(left, item, depth + 1)
        case dict():
            for name, item in value.items():
                if not isinstance(name, str):
                    raise ValueError(f"a {type(name).__name__} where a name should be")
                left = _left_of(left - len(name), item, depth + 1)
        case _:
            pass  # None, a truth value or a number
    return left
