"""How a model changed on a set of problems: paired differences with bootstrap intervals, and the KL it cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from qrpo.records import KlRow, ScoredRollout
from rewards import pass_at_k
from rewards.bootstrap import bootstrap_interval

Metric = Callable[[ScoredRollout], float]


class Comparison(NamedTuple):
    """A metric before and after, and a 95% interval of the difference."""

    before: float
    after: float
    diff: float
    diff_low: float
    diff_high: float


def metrics(pass_k: int) -> dict[str, Metric]:
    """What is compared: name to value of one problem.

    `pass_fraction`: mean reward. `pass_at_1`, `pass_at_K`: unbiased, over completions that pass all tests.
    `compile_rate`: programs that compile, among all completions. `extraction_rate`: completions with a code block.
    `stop_rate`: completions that ended by themselves. `tokens`: mean length.
    """
    return {
        "pass_fraction": lambda rollout: _mean(rollout.rewards),
        "pass_at_1": lambda rollout: _pass_at(rollout, 1),
        f"pass_at_{pass_k}": lambda rollout: _pass_at(rollout, pass_k),  # one and the same where k is 1
        "compile_rate": lambda rollout: _mean([verdict not in {"CE", "NO_CODE"} for verdict in rollout.verdicts]),
        "extraction_rate": lambda rollout: _mean([verdict != "NO_CODE" for verdict in rollout.verdicts]),
        "stop_rate": lambda rollout: _mean([item.finish_reason == "stop" for item in rollout.completions]),
        "tokens": lambda rollout: _mean([len(item.token_ids) for item in rollout.completions]),
    }


def compare(before: Sequence[float], after: Sequence[float], *, resamplings: int, seed: int) -> Comparison:
    """Means over problems, and the percentile bootstrap of the mean paired difference.

    Problems are what is resampled: they are the population, and their completions are not independent of each other.

    Args:
        before: one value per problem.
        after: the same problems in the same order.
        resamplings: how many.
        seed: fixes them.

    Raises:
        ValueError: no problems, or not as many on both sides.
    """
    if not before or len(before) != len(after):
        raise ValueError(f"{len(before)} values before and {len(after)} after; there must be as many, and one at least")
    differences = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    low, high = bootstrap_interval(differences, resamplings=resamplings, seed=seed)
    return Comparison(
        before=float(np.mean(before)), after=float(np.mean(after)), diff=float(differences.mean()), diff_low=low,
        diff_high=high,
    )  # fmt: skip


def kl_estimates(rows: Sequence[KlRow]) -> dict[str, float]:
    """Estimates of KL(pi || pi_ref) from completions of pi; nats. Source: J. Schulman, "Approximating KL divergence".

    `k1`: mean of ln(pi / pi_ref) over completions, unbiased and noisy. `k3`: the sum over tokens of r - 1 - ln r with
    r = pi_ref / pi, never negative and less noisy. `k1_per_token`, `k3_per_token`: the same divided by the tokens.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("no completions; the KL over none is undefined")
    k1, k3, tokens = 0.0, 0.0, 0
    for row in rows:
        for logp, ref_logp in zip(row.logps, row.ref_logps, strict=True):
            # A token that the reference finds impossible would overflow; e^40 says as much.
            log_ratio = min(ref_logp - logp, 40.0)
            k1 -= log_ratio
            k3 += math.expm1(log_ratio) - log_ratio
        tokens += len(row.logps)
    return {"k1": k1 / len(rows), "k3": k3 / len(rows), "k1_per_token": k1 / tokens, "k3_per_token": k3 / tokens}


def _pass_at(rollout: ScoredRollout, k: int) -> float:
    correct = sum(verdict == "AC" for verdict in rollout.verdicts)
    return pass_at_k(len(rollout.verdicts), correct, k)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
