"""Losses on sequence log-probabilities: pure torch, one value per row or pair, no reduction.

The caller weighs and averages. log pi(y|x) is the sum over a completion's tokens, its end-of-turn token included,
never their mean, in float32 or better: sums of hundreds of bfloat16 log-probabilities have steps of a nat.
"""

from __future__ import annotations

from typing import Literal, assert_never, get_args

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

Distance = Literal["mse", "mae", "huber"]
DISTANCES: tuple[Distance, ...] = get_args(Distance)


def distance_named(name: str) -> Distance:
    """A distance by its name in the configuration.

    Raises:
        ValueError: there is no such distance.
    """
    for distance in DISTANCES:
        if distance == name:
            return distance
    raise ValueError(f"distance must be one of {', '.join(DISTANCES)}, got {name!r}")


def qrpo_loss(residual: Tensor, *, distance: Distance = "mse", delta: float = 0.1) -> Tensor:
    """Distance of a completion's log-ratio from that of the optimal policy, in units of the reward.

    (f(q) - beta log Z - beta log(pi / pi_ref))^2. It is zero for all completions exactly where pi is the optimum, and
    needs neither pairs nor samples of pi.

    Args:
        residual: see `residual`, [B].
        distance: `mse` the square, as in the paper's experiments; `mae` the absolute value, whose gradient does not
            grow with what cannot be fitted; `huber` the square up to `delta` and its tangent beyond.
        delta: in units of the reward, > 0; only for `huber`.

    Returns:
        [B], >= 0; the gradient of `mse` by a row's log-probability is -2 beta residual.

    Source: arXiv 2507.08068, Algorithm 1.
    """
    size = residual.abs()
    match distance:
        case "mse":
            return residual.square()
        case "mae":
            return size
        case "huber":
            return (size <= delta) * residual.square() + (size > delta) * (2 * delta * size - delta**2)
        case _:
            assert_never(distance)


def residual(logps: Tensor, ref_logps: Tensor, target: Tensor, *, beta: Tensor | float) -> Tensor:
    """What is left between target and log-ratio, in units of the reward, [B].

    Args:
        logps: log pi(y|x) of the model in training, nats, [B].
        ref_logps: the same under the reference, [B].
        target: f(q) / beta - log Z, nats, [B]; see `qrpo.targets`.
        beta: KL weight, > 0, of all rows or of each.
    """
    return beta * (target - (logps - ref_logps))


def profiled(residual: Tensor, *, prompt: Tensor, beta: Tensor, weight: Tensor) -> Tensor:
    """Residuals with that log Z of each prompt which fits its rows in the batch best, [B].

    At the optimum target - log-ratio is one number for all completions of a prompt, whichever log Z targets were made
    with: the error of that. Least squares over it, with the rows' weights and in units of the reward, leave

        beta (u - c),      u = target - log-ratio,      c = sum(w beta^2 u) / sum(w beta^2) over the prompt's rows.

    For equal betas and weights the squares of n rows sum to those of all differences between two of them, divided by n:
    of two rows they are beta^2 / 2 of REBEL's loss, with f(q) as the reward. The only row of a prompt has nothing left.

    Args:
        residual: beta u, see `residual`, [B].
        prompt: which prompt a row is of, in [0, B), int64 [B].
        beta: KL weights, > 0, [B].
        weight: of the rows in the loss, >= 0, [B].

    Derivation: docs/algorithm.md.
    """

    def of_prompts(values: Tensor) -> Tensor:
        return torch.zeros_like(values).index_add(0, prompt, values)[prompt]

    scale = of_prompts(weight * beta.square())
    # Where all weights are 0 any number will do.
    return residual - beta * of_prompts(weight * beta * residual) / scale.clamp(min=torch.finfo(scale.dtype).tiny)


def dpo_loss(chosen_logratio: Tensor, rejected_logratio: Tensor, *, beta: float) -> Tensor:
    """-log sigmoid(beta (chosen - rejected)), [B] pairs.

    Args:
        chosen_logratio: log(pi / pi_ref) of the better completions, nats, [B].
        rejected_logratio: of the worse ones, [B].
        beta: KL weight, > 0.

    Source: arXiv 2305.18290, equation 7.
    """
    return -logsigmoid(beta * (chosen_logratio - rejected_logratio))


def rebel_loss(chosen_logratio: Tensor, rejected_logratio: Tensor, reward_gap: Tensor, *, beta: float) -> Tensor:
    """((R_chosen - R_rejected) / beta - (chosen - rejected))^2, [B] pairs.

    Args:
        chosen_logratio: log(pi / pi_ref), nats, [B].
        rejected_logratio: the same, [B].
        reward_gap: R_chosen - R_rejected, [B].
        beta: KL weight, > 0; 1 / eta of the paper.

    Source: arXiv 2404.16767, Algorithm 1, with the reference as the policy of the iteration before.
    """
    return (reward_gap / beta - (chosen_logratio - rejected_logratio)).square()


def simpo_loss(chosen_mean: Tensor, rejected_mean: Tensor, *, beta: float, margin: float) -> Tensor:
    """-log sigmoid(beta (chosen - rejected) - beta margin), [B] pairs; there is no reference.

    Args:
        chosen_mean: log pi(y|x) per token of the better completions, nats, [B].
        rejected_mean: of the worse ones, [B].
        beta: > 0.
        margin: gamma / beta of the paper.

    Source: arXiv 2405.14734, equation 6.
    """
    return -logsigmoid(beta * (chosen_mean - rejected_mean - margin))
