"""How sure a mean over problems is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Interval(NamedTuple):
    """Bounds that hold the mean with 95% confidence."""

    low: float
    high: float


def bootstrap_interval(values: NDArray[np.float64], *, resamplings: int, seed: int) -> Interval:
    """95% percentile interval of the mean of `values`, [N]: of means of N values drawn with replacement.

    Where all values are equal both bounds are that value, however few there are.
    """
    generator = np.random.default_rng(seed)
    means = np.empty(resamplings)
    step = max(1, 1_000_000 // len(values))  # in slices: a table of all draws can be large
    for start in range(0, resamplings, step):
        count = min(step, resamplings - start)
        means[start : start + count] = values[generator.integers(len(values), size=(count, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(low), float(high))
