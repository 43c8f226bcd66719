"""What training logs about its rows: exact statistics over all rows since the last line of the log.

A step keeps one small matrix, gathered over processes once; means of batch means, which weigh a batch with one
passing completion like one with eight, never occur.
"""

from __future__ import annotations

import math

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
    "entropy_sum",
    "tokens",
)
"""One row of the matrix, in this order; see `summarise` for units."""

_MEANS = ("logps", "logratio", "target", "quantile", "reward", "tokens")


def summarise(rows: Tensor, *, pass_reward: float) -> dict[str, float]:
    """Names and values for the log.

    Args:
        rows: [N, len(COLUMNS)], N >= 1.
        pass_reward: completions with at least this reward make up `logratio_pass`, the others `logratio_fail`.

    Returns:
        `logps`, `logratio`, `target` (nats), `quantile`, `reward`, `tokens` (per completion): means over rows.
        `residual_mean`, `residual_std`: target minus log-ratio, in units of the reward.
        `tied_fraction`: mean share of references with exactly the row's reward.
        `entropy`: nats per token, over all completion tokens.
        `logratio_pass`, `logratio_fail`: absent where there is no such row. Falling log-ratios of passing
        completions are the first sign of collapse.
        `target_correlation`: of target and log-ratio, in [-1, 1]; absent where either does not vary.
    """
    # float64: sums of squares of log-ratios that differ by less than 1e-7 of their size
    column = dict(zip(COLUMNS, rows.double().cpu().unbind(1), strict=True))
    logratio, residual = column["logratio"], column["residual"]
    summary = {name: column[name].mean().item() for name in _MEANS}
    summary["residual_mean"] = residual.mean().item()
    summary["residual_std"] = residual.std(correction=0).item()
    summary["tied_fraction"] = column["tie_width"].mean().item()
    summary["entropy"] = (column["entropy_sum"].sum() / column["tokens"].sum().clamp(min=1)).item()
    passed = column["reward"] >= pass_reward
    for name, bucket in (("logratio_pass", logratio[passed]), ("logratio_fail", logratio[~passed])):
        if len(bucket):
            summary[name] = bucket.mean().item()
    correlation = torch.corrcoef(torch.stack([column["target"], logratio]))[0, 1].item() if len(rows) > 1 else math.nan
    if not math.isnan(correlation):
        summary["target_correlation"] = correlation
    return summary
