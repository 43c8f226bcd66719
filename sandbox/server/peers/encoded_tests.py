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
        "SETITEMS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
        "BINUNICODE8", "INT", "BININT", "BININT1", "BININT2",
        "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "NONE", "NEWTRUE",
        "NEWFALSE", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET",
    }
)  # fmt: skip
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})


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
        _check_size(found, most)
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
        for step, argument, _ in pickletools.genops(data):
            if step.name not in _PLAIN:
                raise ValueError(f"a pickle with {step.name}, which is not plain data")
            if step.name in _PUTS and int(argument or 0) > len(data):
                raise ValueError("a pickle that numbers more values than it has")
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


def _check_size(value: object, most: int) -> None:
    """Raises ValueError where values and characters are too many: a pickle can hold one a thousand times, or itself."""
    size = 0
    rest = [value]
    while rest:
        inner = rest.pop()
        size += len(inner) if isinstance(inner, str) else 1
        if isinstance(inner, dict):
            rest += [*inner.keys(), *inner.values()]
        elif isinstance(inner, list | tuple):
            rest += inner
        if size + len(rest) > most:
            raise ValueError(f"more than {most} values and characters when written out")
