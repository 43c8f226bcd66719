"""Quantiles of rewards among the rewards of a prompt's reference completions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Quantile(NamedTuple):
    """Where a reward lies among the rewards of a prompt's reference completions."""

    value: float
    """F = P(R_ref <= reward), in [0, 1]. Ties count as below ("le"), as in Algorithm 1 of the paper."""
    tie_width: float
    """p = P(R_ref = reward), in [0, 1]: the reward's atom is the interval [F - p, F] of quantiles.

    Every other treatment of ties (`lt`: F - p, mid-rank: F - p / 2, a random or an exponential average over the
    atom) is a function of F, p and beta, so that rows which store both need not be made again.
    """


def quantile_among(reward: float, ref_rewards: Sequence[float]) -> Quantile:
    """The empirical quantile of a reward, and the width of its tie.

    Args:
        reward: of the completion; any finite scale, only its order among `ref_rewards` matters.
        ref_rewards: of n >= 1 completions of the same prompt, sampled from the reference. Where the completion is
            itself one of them, `value` is at least 1/n.

    Raises:
        ValueError: there is no reference reward, or a reward is not finite.
    """
    if not ref_rewards:
        raise ValueError("a quantile needs at least one reference reward; ref_rewards is empty")
    if not (math.isfinite(reward) and all(map(math.isfinite, ref_rewards))):
        raise ValueError(f"rewards must be finite; got reward={reward!r} and ref_rewards={list(ref_rewards)!r}")
    n = len(ref_rewards)
    return Quantile(
        value=sum(other <= reward for other in ref_rewards) / n,
        tie_width=sum(other == reward for other in ref_rewards) / n,
    )


def all_equal(rewards: Sequence[float]) -> bool:
    """Whether a prompt's rewards say nothing about which completion is better.

    With `le`, every completion of such a prompt has quantile 1: training would raise the probability of each, also
    where all of them failed, by up to -log(beta) nats.
    """
    return len(set(rewards)) <= 1
