"""Pair two collections whose order does not count, item for item, where what is the same may be so only nearly."""

from __future__ import annotations

import collections
import heapq
from bisect import bisect_right
from typing import Any, Callable, Dict, Hashable, List, NamedTuple, Optional, Sequence, Tuple

_MAX_COMPARISONS = 1_000_000
"""Of parts of items, in one matching: seconds."""


class TooCloseError(Exception):
    """So many items are within tolerance of each other that pairing them would take too long."""


class Summary(NamedTuple):
    """What tells from outside whether two items can be the same."""

    key: Hashable
    """Equal for items that are the same."""
    parts: int = 0
    """How many numbers of an item are compared within a tolerance. 0: the key decides. It follows from the key."""
    point: Any = 0
    """One number made of them."""
    low: Any = 0
    """The point of an item that is the same as this lies no lower ..."""
    high: Any = 0
    """... and no higher."""


def weighted(key: Hashable, parts: Sequence[Summary], rounding: Any, *, is_sorted: bool = False) -> Summary:
    """The summary of an item of many parts: a sum with weights, which tells most items of equal sums apart.

    Args:
        rounding: how much of the sum its terms may lose, relative to their size.
        is_sorted: whether the parts may come in any order. Sorted, the lowest of those that are the same lies no lower
            than the lowest low, and so on.
    """
    if len(parts) == 1:
        return parts[0]._replace(key=key)
    points = [part.point for part in parts]
    lows = [part.low for part in parts]
    highs = [part.high for part in parts]
    slack = sum(max(abs(low), abs(high)) for low, high in zip(lows, highs)) * 2000 * rounding
    if is_sorted:
        points, lows, highs = sorted(points), sorted(lows), sorted(highs)
    return Summary(key, sum(part.parts for part in parts), _dot(points), _dot(lows) - slack, _dot(highs) + slack)


def _dot(numbers: Sequence[Any]) -> Any:
    return sum((1000 + index * 618 % 1000) * number for index, number in enumerate(numbers))


class Matcher:
    """Pairs items, with a bound on all the work that is done for one comparison.

    It says yes only where a pairing exists, and no only where none does; where it cannot tell within its bound it
    raises. Single numbers, and anything compared exactly, come out in n log n. Items of several approximate numbers
    do where few of those expected are within tolerance of each other.

    Source: F. Glover, Maximum matching in a convex bipartite graph, 1967, for single numbers; augmenting paths from
    the pairs that it finds for the rest.
    """

    def __init__(self) -> None:
        self._left = _MAX_COMPARISONS

    def match(
        self,
        ours: Sequence[Any],
        theirs: Sequence[Any],
        same: Callable[[Any, Any], bool],
        summarize: Callable[[Any], Summary],
    ) -> bool:
        """Whether the items can be paired so that `same(mine, yours)` holds for each pair. Raises TooCloseError."""
        if len(ours) != len(theirs):
            return False
        mine, yours = _by_key(ours, summarize), _by_key(theirs, summarize)
        if {key: len(items) for key, items in mine.items()} != {key: len(items) for key, items in yours.items()}:
            return False
        return all(
            not items[0][0].parts or _Group(self, mine[key], items, same).is_matched() for key, items in yours.items()
        )

    def spend(self, parts: int) -> None:
        """Count a comparison. Raises TooCloseError."""
        self._left -= parts
        if self._left < 0:
            raise TooCloseError("too many items are within tolerance of each other to be compared in any order")


_Summarized = Tuple[Summary, Any]


def _by_key(items: Sequence[Any], summarize: Callable[[Any], Summary]) -> Dict[Hashable, List[_Summarized]]:
    groups: Dict[Hashable, List[_Summarized]] = collections.defaultdict(list)
    for item in items:
        summary = summarize(item)
        groups[summary.key].append((summary, item))
    return groups


class _Group:
    """Items of one key, as many on either side."""

    def __init__(
        self, matcher: Matcher, ours: List[_Summarized], theirs: List[_Summarized], same: Callable[[Any, Any], bool]
    ) -> None:
        self._matcher = matcher
        self._same = same
        self._ours = sorted(ours, key=lambda pair: pair[0].point)
        self._theirs = sorted(theirs, key=lambda pair: pair[0].low)
        self._lows = [summary.low for summary, _ in self._theirs]
        self._owner: List[Optional[int]] = [None] * len(theirs)

    def is_matched(self) -> bool:
        """Whether all can be paired."""
        return all(map(self._augment, self._pair_nearest()))

    def _pair_nearest(self) -> List[int]:
        """By ascending point, each with the free one that soonest becomes too low; those left over."""
        left: List[int] = []
        free: List[Tuple[Any, int]] = []
        entered = 0
        for mine, (summary, _) in enumerate(self._ours):
            while entered < len(self._lows) and self._lows[entered] <= summary.point:
                heapq.heappush(free, (self._theirs[entered][0].high, entered))
                entered += 1
            while free and free[0][0] < summary.point:
                heapq.heappop(free)
            passed: List[Tuple[Any, int]] = []
            while free and not self._is_same(mine, free[0][1]):
                passed.append(heapq.heappop(free))
            if free:
                self._owner[heapq.heappop(free)[1]] = mine
            else:
                left.append(mine)
            for entry in passed:
                heapq.heappush(free, entry)
        return left

    def _augment(self, start: int) -> bool:
        """Find a partner for one that has none, by giving others a new one."""
        self._matcher.spend(len(self._owner))
        pair_of = {mine: yours for yours, mine in enumerate(self._owner) if mine is not None}
        found_by: Dict[int, int] = {}
        waiting = [start]
        while waiting:
            mine = waiting.pop()
            point = self._ours[mine][0].point
            within = bisect_right(self._lows, point)
            self._matcher.spend(within)
            for yours in range(within):
                if self._theirs[yours][0].high < point or yours in found_by or not self._is_same(mine, yours):
                    continue
                found_by[yours] = mine
                owner = self._owner[yours]
                if owner is not None:
                    waiting.append(owner)
                    continue
                step: Optional[int] = yours
                while step is not None:
                    mine = found_by[step]
                    self._owner[step] = mine
                    step = pair_of.get(mine)
                return True
        return False

    def _is_same(self, mine: int, yours: int) -> bool:
        summary, item = self._theirs[yours]
        self._matcher.spend(summary.parts)
        return self._same(self._ours[mine][1], item)
