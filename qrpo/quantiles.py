"""Quantile rewards, their transforms, and the targets that QRPO regresses log-ratios on.

The optimum of KL-regularised reward maximisation satisfies, for every prompt x and completion y,

    log pi*(y|x) / pi_ref(y|x) = R(x, y) / beta - log Z(x),      Z(x) = E_ref exp(R(x, y) / beta).

The reward's quantile q among completions of the reference is uniform on (0, 1) whatever the reward was, as long as
rewards do not tie. With R = f(q), Z is therefore one known number per f and beta (arXiv 2507.08068, Table 4):

    target = f(q) / beta - log Z_f(beta)    nats,      Z_f(beta) = integral over (0, 1) of exp(f(t) / beta) dt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


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


class Transform(Protocol):
    """A monotone map f of quantiles whose partition function is known."""

    def apply(self, quantile: Tensor, num_refs: Tensor) -> Tensor:
        """f(q).

        Args:
            quantile: q in [0, 1], [B].
            num_refs: how many references q was estimated from, [B]; some f need it at the ends, where they diverge.

        Returns:
            finite values, [B].
        """
        ...

    def log_z(self, beta: float) -> float:
        """The log of the integral over (0, 1) of exp(f(t) / beta) dt, nats; beta > 0, and never overflows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """f(t) = t, used in all experiments of the paper."""

    def apply(self, quantile: Tensor, num_refs: Tensor) -> Tensor:  # noqa: ARG002  # as the protocol says
        """See `Transform`."""
        return quantile

    def log_z(self, beta: float) -> float:
        """Z = beta (e^(1/beta) - 1). Source: paper, Table 4, row 1.

        e^(1/beta) is factored out, because it overflows a double for beta < 0.0014. The paper's Algorithm 1 also
        drops the last term; that is off by 0.46 at beta = 1 and free to keep.
        """
        _check_beta(beta)
        return 1 / beta + math.log(-beta * math.expm1(-1 / beta))


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """f(t) = log t. With beta = 1 / (N - 1) the optimum is exactly Best-of-N sampling, density N t^(N-1)."""

    def apply(self, quantile: Tensor, num_refs: Tensor) -> Tensor:
        """See `Transform`. A quantile of 0, whose log diverges, counts as 1/n, as in the authors' code.

        It means "worse than each of n references", for which 1/n is the smallest value that n references can tell.
        A completion that is among its own references never has it. Z knows nothing of this.
        """
        return torch.maximum(quantile, 1 / num_refs).log()

    def log_z(self, beta: float) -> float:
        """Z = beta / (beta + 1). Source: paper, Table 4."""
        _check_beta(beta)
        return -math.log1p(1 / beta)


TRANSFORMS: dict[str, Transform] = {"identity": Identity(), "log": Log()}
"""By the names that the configuration uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Limits on targets, nats; None: no limit.

    At small beta most targets are strongly negative (identity, beta = 0.03, q = 0.5: -13 nats), and regression
    spends its effort on making bad completions impossible. A floor of a few nats keeps it from collapsing.
    """

    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"targets cannot be clipped to [{self.low}, {self.high}]: low is above high")


def targets(quantile: Tensor, num_refs: Tensor, *, transform: Transform, beta: float, clip: Clip) -> Tensor:
    """Log-ratios that the optimal policy has, nats, [B].

    Args:
        quantile: q in [0, 1], [B].
        num_refs: references behind each quantile, [B].
        transform: f.
        beta: KL weight, > 0.
        clip: limits on the result.

    Raises:
        ValueError: beta is not positive.
    """
    target = transform.apply(quantile, num_refs) / beta - transform.log_z(beta)
    if clip.low is None and clip.high is None:
        return target
    return target.clamp(min=clip.low, max=clip.high)


def _check_beta(beta: float) -> None:
    if not (beta > 0 and math.isfinite(beta)):
        raise ValueError(f"beta must be positive and finite, got {beta!r}")
