"""Compare what a program returned with what is expected, in place of Python's `==`."""

from __future__ import annotations

import cmath
import collections
import decimal
import fractions
import math
import sys
from typing import Any, Dict, Iterable

from .matching import Matcher, Summary, TooCloseError, weighted

_ROUNDING = 1e-15
_LARGEST = 1e290
"""To which numbers are cut in sums, which must not become infinite."""


class ValueChecker:
    """A comparison of values, which may be the program's: plain ones, or handles that are equal to themselves only.

    Lists, tuples, deques, dicts and arrays are compared item by item, dicts by key; sets and all else by `==`.

    Args:
        options: the fields of sandbox.checker.Checker; compare is not `program`.
    """

    def __init__(self, options: Dict[str, Any]) -> None:
        self._compare = options["compare"]
        self._abs_tol = float(options["abs_tol"])
        self._rel_tol = float(options["rel_tol"])
        self._ignores_case = options["ignore_case"]
        self._order = options["order"]
        self._matcher = Matcher()

    def equal(self, ours: Any, theirs: Any) -> Any:
        """What stands for `ours == theirs`; a bool, but for an array beside something else, where Python's own is.

        Two arrays are compared as a whole; the answer has `all` and `any`, as tests ask for them.

        Raises:
            AssertionError: too many items are too close to each other to be compared in any order.
        """
        if _is_array(ours) != _is_array(theirs):
            return ours == theirs
        same = self._is_same_at_all(ours, theirs)
        return sys.modules["numpy"].bool_(same) if _is_array(ours) else same

    def different(self, ours: Any, theirs: Any) -> Any:
        """What stands for `ours != theirs`."""
        if _is_array(ours) != _is_array(theirs):
            return ours != theirs
        same = self._is_same_at_all(ours, theirs)
        return sys.modules["numpy"].bool_(not same) if _is_array(ours) else not same

    def _is_same_at_all(self, ours: Any, theirs: Any) -> bool:
        self._matcher = Matcher()
        try:
            return self._same(ours, theirs, self._order != "kept")
        except TooCloseError as error:
            raise AssertionError(str(error)) from None

    def _same(self, ours: Any, theirs: Any, is_unordered: bool) -> bool:
        """Args: is_unordered, whether their order does not count, should they be lists or tuples."""
        if isinstance(ours, str) and isinstance(theirs, str):
            return bool(self._text(ours) == self._text(theirs))
        for kind in (list, tuple):
            if isinstance(ours, kind) and isinstance(theirs, kind):
                return self._same_items(ours, theirs, is_unordered)
        if isinstance(ours, collections.deque) and isinstance(theirs, collections.deque):
            return self._same_items(list(ours), list(theirs), is_unordered=False)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            return self._same_dicts(ours, theirs)
        if _is_array(ours) and _is_array(theirs):
            return self._same_arrays(ours, theirs)
        if self._compare == "floats" and (_is_inexact(ours) or _is_inexact(theirs)):
            return self._is_near(ours, theirs)
        return bool(ours == theirs)

    def _same_nested(self, ours: Any, theirs: Any) -> bool:
        return self._same(ours, theirs, self._order == "any_nested")

    def _same_items(self, ours: Any, theirs: Any, is_unordered: bool) -> bool:
        if len(ours) != len(theirs):
            return False
        if is_unordered:
            return self._matcher.match(ours, theirs, self._same_nested, self._summary)
        return all(map(self._same_nested, ours, theirs))

    def _same_dicts(self, ours: Dict[Any, Any], theirs: Dict[Any, Any]) -> bool:
        if isinstance(ours, collections.Counter) and isinstance(theirs, collections.Counter):
            ours, theirs = _nonzero(ours), _nonzero(theirs)
        if len(ours) != len(theirs) or any(key not in ours for key in theirs):
            return False
        are_ordered = isinstance(ours, collections.OrderedDict) and isinstance(theirs, collections.OrderedDict)
        if are_ordered and self._order == "kept" and list(ours) != list(theirs):
            return False
        return all(self._same_nested(ours[key], item) for key, item in theirs.items())

    def _same_arrays(self, ours: Any, theirs: Any) -> bool:
        if ours.shape != theirs.shape:
            return False
        numpy = sys.modules["numpy"]
        kinds = {ours.dtype.kind, theirs.dtype.kind}
        if kinds & set("OU"):
            return all(map(self._same_nested, ours.reshape(-1).tolist(), theirs.reshape(-1).tolist()))
        if self._compare != "floats" or not kinds <= set("biufc") or not kinds & set("fc"):
            return bool(numpy.array_equal(ours, theirs))
        with numpy.errstate(all="ignore"):
            wide = numpy.result_type(ours.dtype, theirs.dtype, numpy.float64)
            ours, theirs = ours.astype(wide), theirs.astype(wide)
            larger = numpy.maximum(abs(ours), abs(theirs))
            near = abs(ours - theirs) <= numpy.maximum(self._abs_tol, self._rel_tol * larger)
            return bool(numpy.all((ours == theirs) | (near & numpy.isfinite(larger))))

    def _is_near(self, ours: Any, theirs: Any) -> bool:
        one, other = _number(ours), _number(theirs)
        if one is None or other is None:
            return bool(ours == theirs)
        close = cmath.isclose if isinstance(one, complex) or isinstance(other, complex) else math.isclose
        return close(one, other, rel_tol=self._rel_tol, abs_tol=self._abs_tol)

    def _text(self, text: str) -> Any:
        text = str(text)
        if self._ignores_case:
            text = text.casefold()
        return tuple(text.split()) if self._compare == "tokens" else text

    def _summary(self, value: Any) -> Summary:
        """Its shape, and a weighted sum of those of its numbers that are compared within a tolerance."""
        if isinstance(value, str):
            return Summary(("str", self._text(value)))
        if isinstance(value, (list, tuple)):
            kind = "list" if isinstance(value, list) else "tuple"
            return self._summary_of_items(kind, value, self._order == "any_nested")
        if isinstance(value, collections.deque):
            return self._summary_of_items("deque", value, is_unordered=False)
        if isinstance(value, dict):
            return self._summary_of_dict(value)
        if _is_moment(value):
            return Summary("moments", 1)  # numpy's are equal in different units, with different hashes
        if _is_array(value):
            return self._summary_of_items(("array", value.shape), value.reshape(-1).tolist(), is_unordered=False)
        number = _number(value) if self._compare == "floats" else None
        if number is not None:
            return self._summary_of_number(number)
        return _summary_of_other(value)

    def _summary_of_items(self, kind: Any, items: Iterable[Any], is_unordered: bool) -> Summary:
        summaries = [self._summary(item) for item in items]
        keys = [summary.key for summary in summaries]
        key: Any = frozenset(collections.Counter(keys).items()) if is_unordered else tuple(keys)
        near = [summary for summary in summaries if summary.parts]
        return weighted((kind, key), near, _ROUNDING, is_sorted=is_unordered)

    def _summary_of_dict(self, value: Dict[Any, Any]) -> Summary:
        items = _nonzero(value) if isinstance(value, collections.Counter) else value
        summaries = {key: self._summary(item) for key, item in items.items()}
        near = [summary for summary in summaries.values() if summary.parts]
        shape = frozenset((key, summary.key) for key, summary in summaries.items())
        return weighted(("dict", shape), near, _ROUNDING, is_sorted=True)  # its keys may come in any order

    def _summary_of_number(self, number: complex) -> Summary:
        if cmath.isnan(number):
            return Summary(object())  # it is the same as nothing
        if cmath.isinf(number):
            return Summary(("infinite", number))
        radius = max(self._abs_tol, abs(number) * self._rel_tol / (1 - self._rel_tol))
        return Summary("number", 1, _cut(number.real), _cut(number.real - radius), _cut(number.real + radius))


def _summary_of_other(value: Any) -> Summary:
    if _is_inexact(value) and cmath.isnan(value):
        return Summary(object())
    if isinstance(value, bytearray):
        return Summary(bytes(value))  # which it is equal to
    if isinstance(value, set):
        return Summary(frozenset(value))
    try:
        hash(value)
    except TypeError:
        return Summary("unhashable", 1)  # each may be the same as any other
    return Summary(value)


def _cut(number: float) -> float:
    return max(-_LARGEST, min(_LARGEST, number))


def _nonzero(counter: Dict[Any, Any]) -> Dict[Any, Any]:
    """What a Counter is compared by: it is the same whether an element has the count 0 or none."""
    return {key: count for key, count in counter.items() if count != 0}


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def _is_moment(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)) and value.dtype.kind in "mM"


def _is_inexact(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return isinstance(value, (float, complex)) or (numpy is not None and isinstance(value, numpy.inexact))


def _number(value: Any) -> Any:
    """The number as an int, float or complex; None where it is none, or too large to be compared with floats."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.number, numpy.bool_)):
        if isinstance(value, numpy.complexfloating):
            return complex(value)
        return float(value) if isinstance(value, numpy.floating) else int(value)
    if isinstance(value, (float, complex)):
        return value
    if not isinstance(value, (int, decimal.Decimal, fractions.Fraction)):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):  # ValueError: a signaling NaN
        return None
    if math.isinf(number) and not (isinstance(value, decimal.Decimal) and value.is_infinite()):
        return None
    return value if isinstance(value, int) else number
