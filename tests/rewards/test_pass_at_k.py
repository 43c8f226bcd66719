from __future__ import annotations

import itertools
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.pass_at_k import pass_at_k


@st.composite
def tallies(draw: st.DrawFn, most: int = 300) -> tuple[int, int, int]:
    """Samples, correct ones, and a k they allow."""
    samples = draw(st.integers(1, most))
    return samples, draw(st.integers(0, samples)), draw(st.integers(1, samples))


@given(tallies())
def test_it_is_the_quotient_of_binomials(tally: tuple[int, int, int]) -> None:
    n, c, k = tally
    exact = 1 - Fraction(comb(n - c, k), comb(n, k))
    assert pass_at_k(n, c, k) == pytest.approx(float(exact), rel=1e-9, abs=1e-12)


@given(tallies(most=6))
def test_it_is_the_share_of_choices_of_k_samples_with_a_correct_one(tally: tuple[int, int, int]) -> None:
    n, c, k = tally
    choices = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, choices)) / len(choices))


@given(tallies())
def test_at_1_it_is_the_share_of_correct_samples(tally: tuple[int, int, int]) -> None:
    n, c, _ = tally
    assert pass_at_k(n, c, 1) == pytest.approx(c / n)


@given(tallies())
def test_it_never_falls_with_more_correct_samples_or_a_larger_k(tally: tuple[int, int, int]) -> None:
    n, c, k = tally
    assert c == n or pass_at_k(n, c, k) <= pass_at_k(n, c + 1, k) + 1e-12
    assert k == n or pass_at_k(n, c, k) <= pass_at_k(n, c, k + 1) + 1e-12
    assert pass_at_k(n, 0, k) == 0
    assert pass_at_k(n, n, k) == 1


def test_many_samples_do_not_overflow() -> None:
    assert pass_at_k(1_000_000, 1, 1000) == pytest.approx(1e-3)
    assert pass_at_k(1_000_000, 500_000, 900_000) == 1


@pytest.mark.parametrize(("n", "c", "k"), [(0, 0, 1), (5, 6, 1), (5, -1, 1), (5, 1, 6), (5, 1, 0)])
def test_what_cannot_be_estimated_is_an_error(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="samples"):
        pass_at_k(n, c, k)
