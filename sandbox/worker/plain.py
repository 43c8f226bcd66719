"""Values of plain types: made of the tokens that the codec's tags carry, and of the instances of subclasses."""

from __future__ import annotations

import array
import base64
import collections
import datetime as dt
import decimal
import fractions
from typing import Any, Callable, Dict, Optional

from . import arrays, times
from .named import Named

# A few bytes must not become gigabytes or hours on the judge's side.
_MAX_RANGE = 10_000_000
_MAX_FRACTION_BITS = 1 << 16

FACTORIES: Dict[Any, Optional[str]] = {kind: kind.__name__ for kind in (bool, dict, float, int, list, set, str, tuple)}
"""What a defaultdict that crosses as one may make its values with, and None."""
FACTORIES[None] = None
PLAIN: Dict[type, Callable[[Any], Any]] = {
    int: lambda v: int.__add__(v, 0),
    float: lambda v: float.__mul__(v, 1.0),
    str: str.__str__,
    complex: lambda v: complex(complex.real.__get__(v), complex.imag.__get__(v)),
    bytes: lambda v: bytes.__getitem__(v, slice(None)),
    bytearray: lambda v: bytearray.__getitem__(v, slice(None)),
    tuple: lambda v: tuple(tuple.__iter__(v)),
    list: lambda v: list(list.__iter__(v)),
    collections.Counter: lambda v: collections.Counter(dict(dict.items(v))),
    collections.OrderedDict: lambda v: collections.OrderedDict(collections.OrderedDict.items(v)),
    dict: lambda v: dict(dict.items(v)),
    set: lambda v: set(set.__iter__(v)),
    frozenset: lambda v: frozenset(frozenset.__iter__(v)),
    collections.deque: lambda v: collections.deque(collections.deque.__iter__(v), v.maxlen),
    decimal.Decimal: lambda v: decimal.Decimal(decimal.Decimal.__str__(v)),
    fractions.Fraction: lambda v: fractions.Fraction(v.numerator, v.denominator),
    dt.datetime: lambda v: dt.datetime.combine(dt.date(v.year, v.month, v.day), dt.datetime.timetz(v)),
    dt.date: lambda v: dt.date(v.year, v.month, v.day),
    dt.time: lambda v: dt.time(v.hour, v.minute, v.second, v.microsecond, v.tzinfo, fold=v.fold),
    dt.timedelta: lambda v: dt.timedelta(v.days, v.seconds, v.microseconds),
}
"""How an instance of a subclass becomes the plain value it holds, by the type's own C code, whatever it overrides."""


def typed(value: Any, *kinds: Any) -> Any:
    """`value`, of one of these types exactly: a decoder must not iterate what merely looks like its token."""
    if type(value) not in kinds:
        raise ValueError("a %s where %s belongs" % (type(value).__name__, kinds[0].__name__))
    return value


def _dict(token: Any) -> Dict[Any, Any]:
    return {key: value for key, value in typed(token, list)}  # noqa: C416 - dict() would unroll a range as a pair


def _decode_fraction(token: Any) -> fractions.Fraction:
    numerator, denominator = token
    if max(typed(numerator, int).bit_length(), typed(denominator, int).bit_length()) > _MAX_FRACTION_BITS:
        raise ValueError("a fraction of more than %d bits" % _MAX_FRACTION_BITS)
    return fractions.Fraction(numerator, denominator)


def _decode_range(token: Any) -> range:
    start, stop, step = token
    found = range(typed(start, int), typed(stop, int), typed(step, int))
    if found[_MAX_RANGE:]:
        raise ValueError("a range of more than %d numbers" % _MAX_RANGE)
    return found


def _decode_deque(token: Any) -> "collections.deque[Any]":
    maxlen, items = token
    return collections.deque(typed(items, list), maxlen)


def _decode_defaultdict(token: Any) -> "collections.defaultdict[Any, Any]":
    name, items = token
    factories = {name: factory for factory, name in FACTORIES.items()}
    return collections.defaultdict(factories[name], typed(items, dict))


def _decode_native_array(token: Any) -> "array.array[Any]":
    typecode, items = token
    return array.array(typed(typecode, str), [typed(item, int, float, str) for item in typed(items, list)])


def _decode_named(token: Any) -> Named:
    name, fields, items = token
    return Named(typed(name, str), typed(fields, list), typed(items, list))


DECODERS: Dict[str, Callable[[Any], Any]] = {
    "t": lambda token: tuple(typed(token, list)),
    "s": lambda token: set(typed(token, list)),
    "f": lambda token: frozenset(typed(token, list)),
    "d": _dict,
    "b": lambda token: base64.b64decode(typed(token, str)),
    "B": lambda token: bytearray(base64.b64decode(typed(token, str))),
    "i": lambda token: int(typed(token, str), 16),
    "c": lambda token: complex(*(typed(part, float) for part in typed(token, list))),
    "r": _decode_range,
    "q": _decode_deque,
    "C": lambda token: collections.Counter(_dict(token)),
    "O": lambda token: collections.OrderedDict(_dict(token)),
    "D": lambda token: decimal.Decimal(typed(token, str)),
    "F": _decode_fraction,
    "dd": _decode_defaultdict,
    "a": _decode_native_array,
    "nt": _decode_named,
    "dt": times.decode_datetime,
    "da": times.decode_date,
    "ti": times.decode_time,
    "td": times.decode_delta,
    "tz": times.decode_zone,
    "nb": arrays.decode_numbers,
    "np": arrays.decode_texts,
    "no": arrays.decode_objects,
    "nv": arrays.decode_structure,
}
"""By tag; each takes its token, and raises ValueError, TypeError, OverflowError or ArithmeticError for any other."""
