"""What the log says of a window of rows."""

import math

import pytest
import torch

from qrpo.metrics import COLUMNS, summarise


def row(**values: float) -> list[float]:
    return [values.get(name, 0.0) for name in COLUMNS]


def test_statistics_by_hand() -> None:
    """Two passing rows of three; residuals 1, 2, 3: standard deviation sqrt(2/3)."""
    rows = torch.tensor(
        [
            row(logratio=1, target=2, residual=1, reward=1, tokens=2, entropy_sum=1, tie_width=0.5, quantile=1),
            row(logratio=3, target=4, residual=2, reward=1, tokens=2, entropy_sum=1, tie_width=0.5, quantile=1),
            row(logratio=-4, target=-3, residual=3, reward=0, tokens=4, entropy_sum=6, tie_width=0.2, quantile=0.4),
        ]
    )
    summary = summarise(rows, pass_reward=1.0)
    assert summary["logratio"] == pytest.approx(0)
    assert summary["logratio_pass"] == pytest.approx(2)
    assert summary["logratio_fail"] == pytest.approx(-4)
    assert summary["residual_mean"] == pytest.approx(2)
    assert summary["residual_std"] == pytest.approx(math.sqrt(2 / 3))
    assert summary["tied_fraction"] == pytest.approx(0.4)
    assert summary["quantile"] == pytest.approx(0.8)
    assert summary["entropy"] == pytest.approx(1.0)  # 8 nats over 8 tokens, not the mean of 0.5, 0.5 and 1.5
    assert summary["target_correlation"] == pytest.approx(1.0)  # target = log-ratio + 1


def test_what_has_no_value_is_absent_and_everything_else_is_finite() -> None:
    summary = summarise(torch.tensor([row(reward=1, tokens=1)]), pass_reward=1.0)
    assert "logratio_pass" in summary
    assert not {"logratio_fail", "target_correlation"} & summary.keys()
    assert all(map(math.isfinite, summary.values()))


def test_rounding_is_not_correlated() -> None:
    rows = [row(reward=1, tokens=1, logps=-300.0, logratio=value, target=value) for value in (0.0, 1e-4, 2e-4)]
    assert "target_correlation" not in summarise(torch.tensor(rows), pass_reward=1.0)


def test_a_log_ratio_that_would_overflow_leaves_the_summary_finite() -> None:
    summary = summarise(torch.tensor([row(reward=1, tokens=1, logratio=800.0), row(tokens=1)]), pass_reward=1.0)
    assert all(map(math.isfinite, summary.values()))


def test_kl_and_margins_by_hand() -> None:
    """Log-ratios 0 and -1: k1 = 1/2; k3 = (e^-1 - 1 + 1) / 2 = 0.183940. Margins 1 and 0: one of two leads."""
    known = {"logps": 0.0, "reward": 0.0, "entropy_sum": 1.0, "tokens": 1.0}
    values = [known | {"logratio": 0.0, "margin": 1.0}, known | {"logratio": -1.0, "margin": 0.0}]
    rows = torch.tensor([[row.get(name, math.nan) for name in COLUMNS] for row in values])
    summary = summarise(rows, pass_reward=1.0)
    assert summary["kl_k1"] == pytest.approx(0.5)
    assert summary["kl_k3"] == pytest.approx(0.183940, abs=1e-6)
    assert (summary["margin"], summary["accuracy"]) == (0.5, 0.5)
    assert not summary.keys() & {"quantile", "target", "residual_mean", "tied_fraction", "logps_pass"}
