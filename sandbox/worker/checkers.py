"""Compare what a program wrote with what it should have written."""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation
from typing import Callable, Dict

_TOLERANCE = 1e-6
# Each digit can match in one way only: otherwise a long token of digits takes quadratic time.
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?")
_INTEGER = re.compile(r"[+-]?\d+")


def exact(output: str, expected: str) -> bool:
    """Character for character."""
    return output == expected


def tokens(output: str, expected: str) -> bool:
    """The same tokens in the same order; white space only separates. Case counts."""
    return output.split() == expected.split()


def floats(output: str, expected: str) -> bool:
    """As tokens, but where a number with a fraction or exponent is expected, within 1e-6 absolute or relative.

    Expected integers must be met exactly, whatever their size. NaN equals nothing.
    """
    ours, theirs = output.split(), expected.split()
    return len(ours) == len(theirs) and all(map(_same_token, ours, theirs))


def _same_token(output: str, expected: str) -> bool:
    if output == expected:
        return not expected.lower().endswith("nan")
    if not _NUMBER.fullmatch(expected) or not _NUMBER.fullmatch(output):
        return False
    if _INTEGER.fullmatch(expected):
        try:
            return Decimal(output) == Decimal(expected)
        except InvalidOperation:
            return False
    value, target = float(output), float(expected)
    return math.isclose(value, target, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


CHECKERS: Dict[str, Callable[[str, str], bool]] = {"exact": exact, "tokens": tokens, "floats": floats}
