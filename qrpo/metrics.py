"""What training logs about its rows: exact statistics over all rows since the last line of the log.

A step keeps one small matrix, gathered over processes once; means of batch means, which weigh a batch with one
passing completion like one with eight, never occur.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

COLUMNS = (
    "logps",
    "logratio",
    "residual",
    "target",
    "quantile",
    "tie_width",
    "reward",
    "margin",
    "entropy_sum",
    "tokens",
    "loss",
)
"""One row of the matrix, in this order; see `summarise` for units. NaN: the objective knows no such number."""

_MEANS = ("logps", "logratio", "target", "quantile", "reward", "tokens", "margin")
_LARGEST = 40.0
"""Nats; the exponential of more says no more."""
_ROUNDING = 1e-6
"""Of a sum of log-probabilities in float32, as a part of it: some steps."""


def as_rows(known: Mapping[str, Tensor]) -> Tensor:
    """The matrix of a batch, [B, S, len(COLUMNS)], of what is known, [B, S] each; without gradients."""
    none = torch.full_like(known["logps"], torch.nan)
    return torch.stack([known.get(name, none).detach().float() for name in COLUMNS], dim=-1)


def summarise(rows: Tensor, *, pass_reward: float) -> dict[str, float]:
    """Names and values for the log.

    Args:
        rows: [N, len(COLUMNS)], N >= 1.
        pass_reward: completions with at least this reward make up `logratio_pass`, the others `logratio_fail`.

    Returns:
        What the objective knows of these:
        `logps`, `logratio`, `target` (nats), `quantile`, `reward`, `tokens` (per completion): means over completions.
        `residual_mean`, `residual_std`: target minus log-ratio, in units of the reward.
        `tied_fraction`: mean share of references with exactly the row's reward.
        `entropy`: nats per token, over all completion tokens.
        `logratio_pass`, `logratio_fail`, and so for `logps` and `target`: absent where there is no such completion.
        Falling log-ratios of passing completions are the first sign of collapse.
        `target_correlation`: of target and log-ratio, in [-1, 1]; absent where either does not vary but for
        rounding, as before the first step.
        `kl_k1`, `kl_k3`: estimates of KL(pi_ref || pi) over these completions, nats, if the reference sampled them: the
        means of -log r and of r - 1 - log r, r = pi / pi_ref.
        `margin`, `accuracy`: by how much chosen completions lead rejected ones, and the share that does.
    """
    # float64: sums of squares of log-ratios that differ by less than 1e-7 of their size
    column = dict(zip(COLUMNS, rows.double().cpu().unbind(1), strict=True))
    known = {name: values for name, values in column.items() if not values.isnan().any()}
    summary = {name: known[name].mean().item() for name in _MEANS if name in known}
    if "residual" in known:
        summary["residual_mean"] = known["residual"].mean().item()
        summary["residual_std"] = known["residual"].std(correction=0).item()
    if "tie_width" in known:
        summary["tied_fraction"] = known["tie_width"].mean().item()
    if "margin" in known:
        summary["accuracy"] = (known["margin"] > 0).double().mean().item()
    summary["entropy"] = (column["entropy_sum"].sum() / column["tokens"].sum().clamp(min=1)).item()
    passed = column["reward"] >= pass_reward
    for name in ("logps", "logratio", "target"):
        if name in known:
            buckets = {"pass": known[name][passed], "fail": known[name][~passed]}
            summary |= {f"{name}_{bucket}": values.mean().item() for bucket, values in buckets.items() if len(values)}
    if "logratio" in known:
        summary |= _kl_of_reference(known["logratio"])
        if "target" in known:
            summary |= _calibration(known["target"], known["logratio"], known["logps"])
    return summary


def _kl_of_reference(logratio: Tensor) -> dict[str, float]:
    """Source: J. Schulman, "Approximating KL divergence"."""
    ratio_less_one = logratio.clamp(max=_LARGEST).expm1()
    return {"kl_k1": -logratio.mean().item(), "kl_k3": (ratio_less_one - logratio).mean().item()}


def _calibration(target: Tensor, logratio: Tensor, logps: Tensor) -> dict[str, float]:
    if len(target) < 2 or logratio.std() <= _ROUNDING * (1 + logps.abs().median()):
        return {}
    correlation = torch.corrcoef(torch.stack([target, logratio]))[0, 1].item()
    return {} if math.isnan(correlation) else {"target_correlation": correlation}
