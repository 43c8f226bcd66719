"""Quantiles of rewards."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qrpo.quantiles import Quantile, all_equal, quantile_among

rewards = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("reward", "refs", "value", "tie_width"),
    [
        (0.5, [0.0, 0.5, 0.5, 1.0], 3 / 4, 2 / 4),  # 0, .5 and .5 are not above it; two are equal
        (1.0, [0.0, 0.5, 0.5, 1.0], 1.0, 1 / 4),
        (0.2, [0.0, 0.5], 1 / 2, 0.0),  # not among its references
        (-1.0, [0.0, 0.5], 0.0, 0.0),
        (0.0, [0.0, 0.0, 0.0], 1.0, 1.0),  # all fail
        (7.0, [7.0], 1.0, 1.0),
    ],
)
def test_quantile_counts_ties_as_below(reward: float, refs: list[float], value: float, tie_width: float) -> None:
    assert quantile_among(reward, refs) == Quantile(value, tie_width)


@given(refs=rewards, reward=st.integers(-5, 5).map(float))
def test_quantile_and_tie_width_survive_every_monotone_map(refs: list[float], reward: float) -> None:
    quantile = quantile_among(reward, refs)
    for monotone in (math.exp, math.atan, lambda r: 3 * r - 2, lambda r: r**3):
        assert quantile_among(monotone(reward), [monotone(ref) for ref in refs]) == quantile


@given(refs=rewards)
def test_a_completion_among_its_references_has_at_least_one_over_n(refs: list[float]) -> None:
    for reward in refs:
        value, tie_width = quantile_among(reward, refs)
        assert 1 / len(refs) <= tie_width <= value <= 1


@pytest.mark.parametrize(("reward", "refs"), [(0.0, []), (math.nan, [0.0]), (0.0, [0.0, math.inf])])
def test_rewards_without_an_order_are_refused(reward: float, refs: list[float]) -> None:
    with pytest.raises(ValueError, match="reward"):
        quantile_among(reward, refs)


def test_all_equal() -> None:
    assert all_equal([0.0, 0.0])
    assert all_equal([0.5])
    assert not all_equal([0.0, 0.0, 0.1])
