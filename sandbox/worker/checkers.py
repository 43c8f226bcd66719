"""Compare what a program wrote with what it should have written, in time that is linear, or n log n, in both."""

from __future__ import annotations

import collections
import decimal
import re
from decimal import Decimal
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from .matching import Matcher, Summary, weighted

# Each digit can match in one way only: otherwise a long token of digits takes quadratic time. ASCII digits alone:
# Python's own conversions also take those of other scripts, and underscores.
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_NAN = re.compile(r"[+-]?nan", re.IGNORECASE)
_LINE = re.compile(r"\S[^\n]*")
# Decimals are exact here: to sixty digits in sums, and in comparisons to the last, at any length.
_CONTEXT = decimal.Context(prec=60, Emax=999_999, Emin=-999_999, traps=[])
_ROUNDING = Decimal("1e-50")

Check = Callable[[str, str], bool]
"""Whether an output, given first, is as right as the expected one. Raises TooCloseError."""


class _Number(NamedTuple):
    """A number, and where it is expected, the range of those that are accepted in its place."""

    value: Decimal
    low: Decimal
    high: Decimal


DEFAULT: Dict[str, Any] = {
    "compare": "tokens", "abs_tol": 0.0, "rel_tol": 0.0, "ignore_case": False, "order": "kept", "program": None,
}  # fmt: skip
"""What a problem without a checker is compared by."""


def text_checker(options: Dict[str, Any]) -> Check:
    """The comparison of texts that a plain Checker asks for.

    Args:
        options: the fields of sandbox.checker.Checker; compare is not `program`.
    """
    if options["compare"] == "exact":
        compare = _exact(options["order"])
    else:
        is_near = options["compare"] == "floats"
        compare = _Tokens(options["order"], options["abs_tol"] if is_near else None, options["rel_tol"]).same
    if options["ignore_case"]:
        return lambda output, expected: compare(output.casefold(), expected.casefold())
    return compare


def _exact(order: str) -> Check:
    if order == "kept":
        return str.__eq__
    canonical = _sorted_words if order == "any_nested" else str

    def same(output: str, expected: str) -> bool:
        theirs = expected.split("\n")
        ours = output.split("\n", len(theirs))
        return len(ours) == len(theirs) and (
            collections.Counter(map(canonical, ours)) == collections.Counter(map(canonical, theirs))
        )

    return same


def _sorted_words(line: str) -> str:
    """Blanks stay what they are: two in a row have an empty word between them."""
    return " ".join(sorted(line.split(" ")))


class _Tokens:
    """Texts as tokens between white space, which is all that it does.

    Args:
        abs_tol: None where numbers are words like any other.
    """

    def __init__(self, order: str, abs_tol: Optional[float], rel_tol: float) -> None:
        self._order = order
        self._abs_tol = None if abs_tol is None else Decimal(repr(abs_tol))
        self._rel_tol = Decimal(repr(rel_tol))

    def same(self, output: str, expected: str) -> bool:
        theirs = expected.split()
        ours = output.split(None, len(theirs))  # no more of them than are expected, and one, become objects
        if len(ours) != len(theirs):
            return False
        with decimal.localcontext(_CONTEXT):
            if self._order == "kept":
                return self._same_line(ours, theirs)
            return self._same_lines(_lines(output), _lines(expected))

    def _same_lines(self, ours: List[List[str]], theirs: List[List[str]]) -> bool:
        matcher = Matcher()
        same = self._same_line
        if self._order == "any_nested":
            same = lambda ours, theirs: matcher.match(ours, theirs, self._same_token, self._summary)
        return matcher.match(ours, theirs, same, self._summary_of_line)

    def _same_line(self, ours: Sequence[str], theirs: Sequence[str]) -> bool:
        if self._abs_tol is None:
            return ours == theirs
        return len(ours) == len(theirs) and all(map(self._same_token, ours, theirs))

    def _same_token(self, output: str, expected: str) -> bool:
        if output == expected:
            return self._abs_tol is None or not _NAN.fullmatch(expected)
        if self._abs_tol is None:
            return False
        if _INFINITE.fullmatch(expected):
            return bool(_INFINITE.fullmatch(output)) and (output[0] == "-") == (expected[0] == "-")
        if not _NUMBER.fullmatch(expected) or not _NUMBER.fullmatch(output):
            return False
        number = self._number(expected)
        return number.low <= Decimal(output) <= number.high

    def _number(self, token: str) -> _Number:
        value = Decimal(token)
        if self._abs_tol is None or _INTEGER.fullmatch(token):
            return _Number(value, value, value)
        # Within the relative tolerance of the larger of the two, as math.isclose has it.
        inner, outer = abs(value) * (1 - self._rel_tol), abs(value) / (1 - self._rel_tol)
        low, high = (inner, outer) if value >= 0 else (-outer, -inner)
        return _Number(value, min(low, value - self._abs_tol), max(high, value + self._abs_tol))

    def _summary(self, token: str) -> Summary:
        if self._abs_tol is None:
            return Summary(token)
        if _NUMBER.fullmatch(token):
            return Summary(_Number, 1, *self._number(token))
        if _INFINITE.fullmatch(token):
            return Summary(float("-inf") if token[0] == "-" else float("inf"))
        return Summary(object() if _NAN.fullmatch(token) else token)  # NaN is the same as nothing

    def _summary_of_line(self, line: List[str]) -> Summary:
        """Its words, and a sum of its numbers with weights that tell most lines of equal sums apart."""
        summaries = [self._summary(token) for token in line]
        keys = [summary.key for summary in summaries]
        near = [summary for summary in summaries if summary.parts]
        if self._order == "any":
            return weighted(tuple(keys), near, _ROUNDING)
        return weighted(frozenset(collections.Counter(keys).items()), near, _ROUNDING, is_sorted=True)


def _lines(text: str) -> List[List[str]]:
    """The tokens of each line that has any."""
    return [line.split() for line in _LINE.findall(text)]
