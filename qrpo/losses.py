"""Losses on sequence log-probabilities: pure torch, one value per row, no reduction.

The caller weighs and averages. log pi(y|x) is the sum over a completion's tokens, its end-of-turn token included,
never their mean.
"""

from __future__ import annotations

from torch import Tensor


def qrpo_loss(logps: Tensor, ref_logps: Tensor, target: Tensor, *, beta: float) -> Tensor:
    """Squared distance of a completion's log-ratio from that of the optimal policy, in units of the reward.

    (f(q) - beta log Z - beta log(pi / pi_ref))^2 = (beta (target - log(pi / pi_ref)))^2. It is zero for all
    completions exactly where pi is the optimum, and needs neither pairs nor samples of pi.

    Args:
        logps: log pi(y|x) of the model in training, nats, [B].
        ref_logps: the same under the reference, [B].
        target: f(q) / beta - log Z, nats, [B]; see `qrpo.quantiles.targets`.
        beta: KL weight, > 0.

    Returns:
        [B], >= 0; the gradient by `logps` is -2 beta^2 (target - logps + ref_logps).

    Source: arXiv 2507.08068, Algorithm 1.
    """
    return residual(logps, ref_logps, target, beta=beta).square()


def residual(logps: Tensor, ref_logps: Tensor, target: Tensor, *, beta: float) -> Tensor:
    """What is left between target and log-ratio, in units of the reward, [B]. Arguments as in `qrpo_loss`."""
    return beta * (target - (logps - ref_logps))
