"""How a model changed on a set of problems: paired differences with bootstrap intervals, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from qrpo.records import KlRow, ScoredRollout
from qrpo.results import LengthBias, MetricResult, SeedMeans
from rewards import pass_at_k
from rewards.bootstrap import bootstrap_interval

Metric = Callable[[ScoredRollout], float]


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


def by_seed(rollouts: Sequence[ScoredRollout], metric: Metric, seeds: int) -> NDArray[np.float64]:
    """Values of a metric, [problems, seeds].

    Args:
        rollouts: one per problem, each with the completions of the first sampling seed, then of the second, ...
        metric: of the completions of one seed.
        seeds: how many; each has as many completions.
    """
    return np.array([[metric(part) for part in _parts(rollout, seeds)] for rollout in rollouts], dtype=np.float64)


def compare(before: ArrayLike, after: ArrayLike, *, resamplings: int, seed: int) -> MetricResult:
    """Means over problems and sampling seeds, and the percentile bootstrap of the mean paired difference.

    Problems are what is resampled, with the mean over seeds as their value: they are the population, and their
    completions are not independent of each other.

    Args:
        before: [problems, seeds], see `by_seed`.
        after: the same problems in the same order, and the same seeds.
        resamplings: how many.
        seed: fixes them.

    Raises:
        ValueError: no problems, or not as many on both sides.
    """
    old, new = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if not old.size or old.shape != new.shape:
        raise ValueError(f"values {old.shape} before and {new.shape} after; there must be as many, and one at least")
    differences = (new - old).mean(axis=1)
    low, high = bootstrap_interval(differences, resamplings=resamplings, seed=seed)
    return MetricResult(
        before=float(old.mean()),
        after=float(new.mean()),
        diff=float(differences.mean()),
        diff_low=low,
        diff_high=high,
        before_seeds=_seed_means(old),
        after_seeds=_seed_means(new),
    )


def length_bias(rollouts: Sequence[ScoredRollout]) -> LengthBias:
    """Spearman's correlation of reward and tokens, pooled and within problems."""
    rewards = [np.asarray(rollout.rewards) for rollout in rollouts]
    tokens = [np.array([len(item.token_ids) for item in rollout.completions]) for rollout in rollouts]
    return LengthBias(
        pooled=_correlation(rankdata(np.concatenate(rewards)), rankdata(np.concatenate(tokens))),
        within=_correlation(_ranks_within(rewards), _ranks_within(tokens)),
    )


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


def _parts(rollout: ScoredRollout, seeds: int) -> list[ScoredRollout]:
    """The rollout cut into the completions of each sampling seed."""
    if seeds == 1:
        return [rollout]
    size = len(rollout.completions) // seeds
    cuts = [slice(start, start + size) for start in range(0, size * seeds, size)]
    return [
        rollout.model_copy(
            update={name: getattr(rollout, name)[cut] for name in ("completions", "rewards", "verdicts")}
        )
        for cut in cuts
    ]


def _seed_means(values: NDArray[np.float64]) -> SeedMeans:
    means = values.mean(axis=0)
    return SeedMeans(means=means.tolist(), std=float(means.std(ddof=1)) if len(means) > 1 else None)


def _ranks_within(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Ranks among the values of the same problem, less their mean."""
    return np.concatenate([rankdata(mine) - (len(mine) + 1) / 2 for mine in values])


def _correlation(left: NDArray[np.float64], right: NDArray[np.float64]) -> float | None:
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        return None
    return float(np.corrcoef(left, right)[0, 1])


def _pass_at(rollout: ScoredRollout, k: int) -> float:
    correct = sum(verdict == "AC" for verdict in rollout.verdicts)
    return pass_at_k(len(rollout.verdicts), correct, k)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
