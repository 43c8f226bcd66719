"""Plain values between judge and candidate, as JSON that nothing executes.

None, bool, int, float, str and lists of them are themselves. Everything else is an object with one key, its
tag: tuples, sets, dicts with any keys, bytes, big ints, Decimal, ... Instances of known classes (the helper
classes of a problem's prelude) cross by their fields through a flat table, so that long or cyclic linked
structures need no recursion. What is none of this is left to the two sides: the `reference` hooks, which turn
it into a handle on the side it lives on.

A frame's body is `[table, value]`, its header names the class of each table row. Decoding makes only plain
values and instances of known classes, whatever the bytes say; anything else raises CodecError.
"""

from __future__ import annotations

import base64
import collections
import datetime as dt
import decimal
import fractions
import functools
import json
import sys
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

SCALARS = frozenset((type(None), bool, int, float, str))
"""Types that are themselves in JSON."""
_MAX_DEPTH = 200  # times four frames: below the interpreter's own recursion limit
# A few bytes must not become gigabytes or hours on the judge's side.
_MAX_RANGE = 10_000_000
_MAX_ARRAY_BYTES = 1 << 26
_MAX_FRACTION_BITS = 1 << 16
_BIG_INT_BITS = 8192  # beyond it decimal text is slow and Python >= 3.11 refuses it; hexadecimal is linear


class CodecError(Exception):
    """A value that cannot cross, or bytes that are no value."""


Refer = Callable[[Any], Dict[str, Any]]
Resolve = Callable[[str, Any], Any]


class Encoder:
    """One value graph to JSON.

    Args:
        class_names: the known classes; their instances cross by fields.
        refer: turns any other object into `{tag: token}`, or raises CodecError.
    """

    def __init__(self, class_names: Mapping[type, str], refer: Refer) -> None:
        self._class_names = class_names
        self._refer = refer
        self._rows: List[Any] = []
        self._row_of: Dict[int, int] = {}
        self._depth = 0
        self._has_big_ints = False

    @property
    def rows(self) -> List[Any]:
        """The instances in the table, in its order, after `encode`."""
        return self._rows

    def encode(self, value: Any) -> Tuple[List[str], bytes]:
        """The class names of the table's rows, and the body. Raises CodecError."""
        try:
            try:
                return self._encode(value)
            except ValueError:  # an int of more digits than Python turns into text: look at every int
                self._rows, self._row_of, self._depth, self._has_big_ints = [], {}, 0, True
                return self._encode(value)
        except (ValueError, RecursionError) as error:
            raise CodecError(str(error)) from None

    def _encode(self, value: Any) -> Tuple[List[str], bytes]:
        body = self._value(value)
        table: List[Any] = []
        while len(table) < len(self._rows):  # rows are found while rows are encoded
            table.append([[name, self._value(field)] for name, field in _fields(self._rows[len(table)])])
        names = [self._class_names[type(row)] for row in self._rows]
        # Not ASCII: as escapes, two lone surrogates in a row would come back as one character.
        text = json.dumps([table, body], separators=(",", ":"), check_circular=False, ensure_ascii=False)
        return names, text.encode("utf-8", "surrogatepass")

    def _value(self, value: Any) -> Any:
        kind = type(value)
        if kind in SCALARS:
            if kind is int and value.bit_length() > _BIG_INT_BITS:
                return {"i": hex(value)}
            return value
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise CodecError("the value is cyclic or nested more than %d deep" % _MAX_DEPTH)
        try:
            return self._composite(kind, value)
        finally:
            self._depth -= 1

    def _composite(self, kind: type, value: Any) -> Any:
        if kind is list:
            return self._items(value)
        if kind is tuple:
            return {"t": self._items(value)}
        if kind is dict:
            return {"d": [[self._value(key), self._value(item)] for key, item in value.items()]}
        if kind in self._class_names:
            row = self._row_of.get(id(value))
            if row is None:
                row = self._row_of[id(value)] = len(self._rows)
                self._rows.append(value)
            return {"o": row}
        encode = _ENCODERS.get(kind)
        if encode is not None:
            return encode(self, value)
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            if isinstance(value, numpy.ndarray) and value.dtype.kind in "biufcUS":
                return {"np": [value.dtype.str, list(value.shape), self._value(value.reshape(-1).tolist())]}
            if isinstance(value, numpy.generic) and value.dtype.kind in "biufcUS":
                return {"np": [value.dtype.str, None, self._value(value.item())]}
        for base in kind.__mro__[1:]:  # a subclass crosses as the plain value it holds
            plain = _PLAIN.get(base)
            if plain is not None:
                return self._value(plain(value))
        return self._refer(value)

    def _items(self, items: Any) -> List[Any]:
        if not self._has_big_ints and SCALARS.issuperset(map(type, items)):
            plain: List[Any] = items
            return plain
        return [self._value(item) for item in items]


def _fields(instance: Any) -> List[Tuple[str, Any]]:
    fields = list(getattr(instance, "__dict__", {}).items())
    for base in type(instance).__mro__:
        slots = base.__dict__.get("__slots__", ())
        names = (slots,) if isinstance(slots, str) else slots
        present = [name for name in names if name not in ("__dict__", "__weakref__") and hasattr(instance, name)]
        fields += [(name, getattr(instance, name)) for name in present]
    return fields


_ENCODERS: Dict[type, Callable[[Encoder, Any], Any]] = {
    set: lambda enc, v: {"s": enc._items(list(v))},
    frozenset: lambda enc, v: {"f": enc._items(list(v))},
    bytes: lambda enc, v: {"b": base64.b64encode(v).decode("ascii")},
    bytearray: lambda enc, v: {"B": base64.b64encode(v).decode("ascii")},
    complex: lambda enc, v: {"c": [v.real, v.imag]},
    range: lambda enc, v: {"r": [v.start, v.stop, v.step]},
    collections.deque: lambda enc, v: {"q": [v.maxlen, enc._items(list(v))]},
    collections.Counter: lambda enc, v: {"C": [[enc._value(k), enc._value(n)] for k, n in dict.items(v)]},
    collections.OrderedDict: lambda enc, v: {"O": [[enc._value(k), enc._value(n)] for k, n in v.items()]},
    decimal.Decimal: lambda enc, v: {"D": str(v)},
    fractions.Fraction: lambda enc, v: {"F": [enc._value(v.numerator), enc._value(v.denominator)]},
    dt.datetime: lambda enc, v: {"dt": ["datetime", v.isoformat()]},
    dt.date: lambda enc, v: {"dt": ["date", v.isoformat()]},
    dt.time: lambda enc, v: {"dt": ["time", v.isoformat()]},
    dt.timedelta: lambda enc, v: {"td": [v.days, v.seconds, v.microseconds]},
}
# How a subclass of a plain type becomes that type, by the type's own C code, whatever the subclass overrides.
_PLAIN: Dict[type, Callable[[Any], Any]] = {
    int: lambda v: int.__add__(v, 0),
    float: lambda v: float.__mul__(v, 1.0),
    str: str.__str__,
    bytes: lambda v: bytes.__getitem__(v, slice(None)),
    tuple: lambda v: tuple(tuple.__iter__(v)),
    list: lambda v: list(list.__iter__(v)),
    dict: lambda v: dict(dict.items(v)),
    set: lambda v: set(set.__iter__(v)),
    frozenset: lambda v: frozenset(frozenset.__iter__(v)),
    collections.deque: lambda v: collections.deque(collections.deque.__iter__(v)),
}


class Decoder:
    """JSON to one value graph.

    Args:
        classes: the known classes by name.
        resolve: turns the (tag, token) of a reference into what it stands for, or raises CodecError.
        existing: instances that table rows stand for: they get the row's fields, in place of a new instance.
    """

    def __init__(
        self, classes: Mapping[str, type], resolve: Resolve, existing: Optional[Mapping[int, Any]] = None
    ) -> None:
        self._classes = classes
        self._resolve = resolve
        self._existing = existing or {}
        self.rows: List[Any] = []

    def decode(self, class_names: List[str], body: bytes) -> Any:
        """Raises CodecError for anything that Encoder would not have written."""
        try:
            for index, name in enumerate(class_names):
                row = self._existing.get(index)
                self.rows.append(self._blank(name) if row is None else row)
            # Decoded here: given bytes, json would guess among encodings, and import the one it guessed.
            table, value = json.loads(body.decode("utf-8", "surrogatepass"), object_hook=self._tagged)
            for row, fields in zip(self.rows, table):
                for name, field in fields:
                    if not isinstance(name, str) or (name.startswith("__") and name.endswith("__")):
                        raise CodecError("field name %r" % (name,))
                    if isinstance(getattr(type(row), name, None), functools.cached_property):
                        continue  # what the program has found is not believed; it is found again here
                    if callable(getattr(type(row), name, None)):  # the class's own method must be what tests call
                        raise CodecError("field %r would hide a method" % name)
                    object.__setattr__(row, name, field)
            return value
        except CodecError:
            raise
        except (
            ValueError,
            TypeError,
            KeyError,
            IndexError,
            AttributeError,
            OverflowError,
            ArithmeticError,
            RecursionError,
        ) as error:
            raise CodecError("%s: %s" % (type(error).__name__, error)) from None

    def _blank(self, name: str) -> Any:
        cls: Any = self._classes[name]
        return cls.__new__(cls)

    def _tagged(self, pair: Dict[str, Any]) -> Any:
        ((tag, token),) = pair.items()
        if tag == "o":
            return self.rows[token]
        decode = _DECODERS.get(tag)
        return decode(token) if decode is not None else self._resolve(tag, token)


def _typed(value: Any, *kinds: Any) -> Any:
    """`value`, of one of these types exactly: a decoder must not iterate what merely looks like its token."""
    if type(value) not in kinds:
        raise CodecError("a %s where %s belongs" % (type(value).__name__, kinds[0].__name__))
    return value


def _dict(token: Any) -> Dict[Any, Any]:
    return {key: value for key, value in _typed(token, list)}  # noqa: C416 - dict() would unroll a range as a pair


def _decode_numpy(token: Any) -> Any:
    import numpy as np  # only where a program returned an array; the judge may be without numpy otherwise

    dtype, shape, items = token
    kind = np.dtype(_typed(dtype, str))
    if kind.kind not in "biufcUS":
        raise CodecError("array of dtype %r" % dtype)
    if kind.itemsize * len(_typed(items, list) if shape is not None else "1") > _MAX_ARRAY_BYTES:
        raise CodecError("an array of more than %d bytes" % _MAX_ARRAY_BYTES)
    if shape is None:
        return kind.type(_typed(items, bool, int, float, complex, str, bytes))
    return np.array(items, dtype=kind).reshape(shape)


def _decode_time(token: Any) -> Any:
    kinds: Dict[str, Any] = {"datetime": dt.datetime, "date": dt.date, "time": dt.time}
    return kinds[token[0]].fromisoformat(token[1])


def _decode_fraction(token: Any) -> fractions.Fraction:
    numerator, denominator = token
    if max(_typed(numerator, int).bit_length(), _typed(denominator, int).bit_length()) > _MAX_FRACTION_BITS:
        raise CodecError("a fraction of more than %d bits" % _MAX_FRACTION_BITS)
    return fractions.Fraction(numerator, denominator)


def _decode_range(token: Any) -> range:
    start, stop, step = token
    found = range(_typed(start, int), _typed(stop, int), _typed(step, int))
    if found[_MAX_RANGE:]:
        raise CodecError("a range of more than %d numbers" % _MAX_RANGE)
    return found


def _decode_deque(token: Any) -> "collections.deque[Any]":
    maxlen, items = token
    return collections.deque(_typed(items, list), maxlen)


_DECODERS: Dict[str, Callable[[Any], Any]] = {
    "t": lambda token: tuple(_typed(token, list)),
    "s": lambda token: set(_typed(token, list)),
    "f": lambda token: frozenset(_typed(token, list)),
    "d": _dict,
    "b": lambda token: base64.b64decode(_typed(token, str)),
    "B": lambda token: bytearray(base64.b64decode(_typed(token, str))),
    "i": lambda token: int(_typed(token, str), 16),
    "c": lambda token: complex(*(_typed(part, float) for part in _typed(token, list))),
    "r": _decode_range,
    "q": _decode_deque,
    "C": lambda token: collections.Counter(_dict(token)),
    "O": lambda token: collections.OrderedDict(_dict(token)),
    "D": lambda token: decimal.Decimal(_typed(token, str)),
    "F": _decode_fraction,
    "dt": _decode_time,
    "td": lambda token: dt.timedelta(*(_typed(part, int) for part in _typed(token, list))),
    "np": _decode_numpy,
}


def pack(header: Dict[str, Any], body: bytes = b"[[],null]") -> bytes:
    """A frame: the header's JSON, a newline, the body."""
    return json.dumps(header, separators=(",", ":")).encode("ascii") + b"\n" + body


def unpack(frame: bytes) -> Tuple[Dict[str, Any], bytes]:
    """Header and body of a frame. Raises CodecError."""
    head, newline, body = frame.partition(b"\n")
    try:
        header = json.loads(head.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise CodecError(str(error)) from None
    if not newline or type(header) is not dict:
        raise CodecError("the frame has no header")
    return header, body
