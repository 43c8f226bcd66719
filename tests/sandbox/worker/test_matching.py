from __future__ import annotations

import itertools
import math
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox.worker.matching import Matcher, Summary, TooCloseError, weighted

Row = tuple[int, ...]
rows = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=5)


def near(ours: Row, theirs: Row) -> bool:
    """A tolerance of one, which no order of either side's items can hide."""
    return all(abs(mine - yours) <= 1 for mine, yours in zip(ours, theirs, strict=True))


def summarize(row: Row) -> Summary:
    return weighted("row", [Summary("n", 1, number, number - 1, number + 1) for number in row], 0)


def summarize_sorted(row: Row) -> Summary:
    return weighted("row", [Summary("n", 1, number, number - 1, number + 1) for number in row], 0, is_sorted=True)


@example([(0, 0), (2, 0)], [(1, 0), (0, 1)])  # the first is given what only the second can have
@given(rows, rows)
def test_a_pairing_is_found_exactly_where_there_is_one(ours: list[Row], theirs: list[Row]) -> None:
    """Against the definition: some permutation in which all are near."""
    expected = len(ours) == len(theirs) and any(
        all(map(near, ours, permuted)) for permuted in itertools.permutations(theirs)
    )
    assert Matcher().match(ours, theirs, near, summarize) == expected


@given(rows, rows)
def test_a_pairing_of_items_without_an_order_of_their_own_is_found_too(ours: list[Row], theirs: list[Row]) -> None:
    def same(mine: Row, yours: Row) -> bool:
        return any(near(mine, permuted) for permuted in itertools.permutations(yours))

    expected = len(ours) == len(theirs) and any(
        all(map(same, ours, permuted)) for permuted in itertools.permutations(theirs)
    )
    assert Matcher().match(ours, theirs, same, summarize_sorted) == expected


def test_the_key_alone_decides_about_items_without_parts() -> None:
    assert Matcher().match("abca", "aabc", pytest.fail, Summary)
    assert not Matcher().match("abca", "abcb", pytest.fail, Summary)


@pytest.mark.parametrize("width", [0, 1, 100_000])
def test_numbers_are_paired_in_less_than_quadratic_time(width: int) -> None:
    numbers = list(range(100_000))
    started = time.process_time()
    assert Matcher().match(
        numbers[::-1], numbers, lambda mine, yours: True, lambda n: Summary("n", 1, n, n - width, n + width)
    )
    assert time.process_time() - started < 10


def test_what_would_take_too_long_is_given_up() -> None:
    started = time.process_time()
    with pytest.raises(TooCloseError):
        Matcher().match(
            range(10_000),
            range(10_000),
            lambda mine, yours: mine + yours == 9_999,
            lambda _: Summary("n", 1, 0, -math.inf, math.inf),
        )
    assert time.process_time() - started < 10
