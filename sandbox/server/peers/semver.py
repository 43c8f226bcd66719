"""Which versions a selector selects. Source: the ranges of npm's semver, without pre-releases."""

from __future__ import annotations

import re
from typing import NamedTuple

Version = tuple[int, int, int]
_PART = r"(\d{1,9}|[xX*])"
_PARTIAL = re.compile(rf"[v=\s]*{_PART}(?:\.{_PART})?(?:\.{_PART})?(?:[-+][0-9A-Za-z.-]+)?")
_COMPARATOR = re.compile(r"(\^|~>?|[<>]=?|=)?\s*([^\s<>=^~]+)")
_HYPHEN = re.compile(r"\s*(\S+)\s+-\s+(\S+)\s*")
_END: Version = (1 << 62, 0, 0)


class Range(NamedTuple):
    """From `low` on, and below `high`."""

    low: Version
    high: Version


def satisfies(version: str, selector: str) -> bool:
    """Whether a selector such as `*`, `3.x`, `^1.2`, `>=3.9 <3.12` or `1.2 - 2 || 4` selects a version.

    Nothing is selected by what is no selector.
    """
    try:
        wanted = _number(version)
        alternatives = [_ranges_of(part) for part in selector.split("||")]
    except ValueError:
        return False
    return any(all(low <= wanted < high for low, high in ranges) for ranges in alternatives)


def _ranges_of(text: str) -> list[Range]:
    hyphen = _HYPHEN.fullmatch(text)
    if hyphen is not None:
        return [Range(_span(hyphen[1]).low, _END), Range((0, 0, 0), _span(hyphen[2]).high)]
    if _COMPARATOR.sub("", text).strip():
        raise ValueError(text)
    return [_range_of(operator, partial) for operator, partial in _COMPARATOR.findall(text)]


def _range_of(operator: str, partial: str) -> Range:
    span = _span(partial)
    match operator:
        case ">":
            return Range(span.high if span.high != _END else _END, _END)
        case ">=":
            return Range(span.low, _END)
        case "<":
            return Range((0, 0, 0), span.low)
        case "<=":
            return Range((0, 0, 0), span.high)
        case "^":
            return Range(span.low, _caret_end(partial))
        case "~" | "~>":
            return Range(span.low, _span(".".join(_numbers(partial)[:2]) or "*").high)
        case _:
            return span


def _span(partial: str) -> Range:
    """All versions that begin as it says."""
    numbers = [int(number) for number in _numbers(partial)]
    if not numbers:
        return Range((0, 0, 0), _END)
    return Range(_filled(numbers), _filled([*numbers[:-1], numbers[-1] + 1]))


def _caret_end(partial: str) -> Version:
    """The next version that differs in the first number that is not zero, or in the last that is given."""
    numbers = [int(number) for number in _numbers(partial)]
    if not numbers:
        return _END
    place = next((place for place, number in enumerate(numbers) if number), len(numbers) - 1)
    return _filled([*numbers[:place], numbers[place] + 1])


def _numbers(partial: str) -> list[str]:
    """The numbers before the first that may be any. Raises ValueError where it is no version."""
    found = _PARTIAL.fullmatch(partial)
    if found is None:
        raise ValueError(partial)
    numbers: list[str] = []
    for number in found.groups():
        if number is None or not number.isdigit():
            break
        numbers.append(number)
    return numbers


def _number(version: str) -> Version:
    first, second, third = version.split(".")
    return int(first), int(second), int(third)


def _filled(numbers: list[int]) -> Version:
    first, second, third = (*numbers, 0, 0, 0)[:3]
    return first, second, third
