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

import array
import base64
import collections
import datetime as dt
import decimal
import enum
import fractions
import functools
import json
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from . import arrays, times
from .named import names_of
from .plain import DECODERS, FACTORIES, PLAIN, typed

SCALARS = frozenset((type(None), bool, int, float, str))
"""Types that are themselves in JSON."""
_MAX_FLAGS = 1024  # enum looks at each in quadratic time
_MAX_DEPTH = 200  # times four frames: below the interpreter's own recursion limit
_BIG_INT_BITS = 8192  # beyond it decimal text is slow and Python >= 3.11 refuses it; hexadecimal is linear


# Made once: json.dumps with options makes one for each call. Values are not written in ASCII: as escapes, two lone
# surrogates in a row would come back as one character.
_to_json = json.JSONEncoder(separators=(",", ":"), check_circular=False, ensure_ascii=False).encode
_header_to_json = json.JSONEncoder(separators=(",", ":")).encode


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
        text = _to_json([table, body])
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
        if kind in self._class_names and not issubclass(kind, (tuple, enum.Enum)):
            row = self._row_of.get(id(value))
            if row is None:
                row = self._row_of[id(value)] = len(self._rows)
                self._rows.append(value)
            return {"o": row}
        encode = _ENCODERS.get(kind)
        if encode is not None:
            return encode(self, value)
        if issubclass(kind, (tuple, enum.Enum)):
            token = self._named_tuple(kind, value) if issubclass(kind, tuple) else self._member(kind, value)
        else:
            token = arrays.encode_array(value, self._value) or times.encode_named_zone(value)
        if token is not None:
            return token
        for base in kind.__mro__[1:]:  # a subclass crosses as the plain value it holds
            plain = PLAIN.get(base)
            if plain is not None:
                return self._value(plain(value))
        return self._refer(value)

    def _named_tuple(self, kind: type, value: Any) -> Optional[Dict[str, Any]]:
        names = names_of(value)
        if names is None:
            return None
        items = self._items(list(tuple.__iter__(value)))
        return {"ot": [self._class_names[kind], items]} if kind in self._class_names else {"nt": [*names, items]}

    def _member(self, kind: Any, value: enum.Enum) -> Optional[Dict[str, Any]]:
        """By its name, or where it is a sum of flags, by its value."""
        if kind not in self._class_names:
            return None
        is_single = value.name in kind.__members__
        return {"e": [self._class_names[kind], *((value.name, None) if is_single else (None, value.value))]}

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
    array.array: lambda enc, v: {"a": [v.typecode, enc._value(v.tolist())]},
    dt.datetime: lambda enc, v: {"dt": [times.encode_date(v), times.encode_time(v)]},
    dt.date: lambda enc, v: {"da": times.encode_date(v)},
    dt.time: lambda enc, v: {"ti": times.encode_time(v)},
    dt.timedelta: lambda enc, v: {"td": times.encode_delta(v)},
    dt.timezone: lambda enc, v: {"tz": times.encode_zone(v, v.utcoffset(None))},
}


def _defaultdict(encoder: Encoder, value: "collections.defaultdict[Any, Any]") -> Any:
    """One that makes its own values of something else crosses as a dict."""
    items = dict(dict.items(value))
    factory = value.default_factory
    known = factory is None or (type(factory) is type and factory in FACTORIES)
    return {"dd": [FACTORIES[factory], encoder._value(items)]} if known else encoder._value(items)


_ENCODERS[collections.defaultdict] = _defaultdict


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
            text = body.decode("utf-8", "surrogatepass")
            # Without a tag in it there is no need for a decoder of its own, which costs more than most values.
            table, value = json.loads(text, object_hook=self._tagged if "{" in text else None)
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
        if cls.__new__ is not object.__new__:
            raise CodecError("instances of %s are not made of fields" % name)
        return cls.__new__(cls)

    def _known_tuple(self, token: Any) -> Any:
        name, items = token
        cls: Any = self._classes[name]
        if not issubclass(cls, tuple) or len(typed(items, list)) != len(cls._fields):
            raise CodecError("%d items do not make a %s" % (len(items), name))
        return tuple.__new__(cls, items)

    def _known_member(self, token: Any) -> Any:
        name, member, value = token
        cls: Any = self._classes[name]
        if not issubclass(cls, enum.Enum):
            raise CodecError("%s has no members" % name)
        if member is None and issubclass(cls, enum.Flag) and typed(value, int).bit_length() <= _MAX_FLAGS:
            return cls(value)
        return cls.__members__[member]

    def _tagged(self, pair: Dict[str, Any]) -> Any:
        ((tag, token),) = pair.items()
        if tag == "o":
            return self.rows[token]
        if tag == "ot":
            return self._known_tuple(token)
        if tag == "e":
            return self._known_member(token)
        decode = DECODERS.get(tag)
        return decode(token) if decode is not None else self._resolve(tag, token)


def pack(header: Dict[str, Any], body: bytes = b"[[],null]") -> bytes:
    """A frame: the header's JSON, a newline, the body."""
    return _header_to_json(header).encode("ascii") + b"\n" + body


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
