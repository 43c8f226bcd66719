from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.bootstrap import bootstrap_interval


def test_half_of_ten_is_two_to_eight_tenths() -> None:
    """The resampled mean is Binomial(10, 1/2) / 10, of which P(<= 1) = 1.07% and P(<= 2) = 5.47%, and so from above."""
    assert bootstrap_interval(np.array([0.0, 1.0] * 5), resamplings=10_000, seed=0) == (0.2, 0.8)


def test_it_is_that_of_the_normal_law_for_many_values() -> None:
    values = np.random.default_rng(1).normal(0.1, 1.0, size=2000)
    low, high = bootstrap_interval(values, resamplings=4000, seed=0)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 5))
def test_it_lies_between_the_values_and_is_the_same_for_the_same_seed(values: list[float], seed: int) -> None:
    array = np.array(values)
    low, high = bootstrap_interval(array, resamplings=200, seed=seed)
    assert min(values) - 1e-12 <= low <= high <= max(values) + 1e-12
    assert (low, high) == bootstrap_interval(array, resamplings=200, seed=seed)
