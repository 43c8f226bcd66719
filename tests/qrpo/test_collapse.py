"""The warning of a collapse: when it comes, and what it says."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from qrpo.collapse import CollapseWatch, explanation
from qrpo.trainer import QRPOTrainer

OPTIONS = {
    "algorithm": "qrpo",
    "beta": 0.1,
    "learning_rate": 1e-6,
    "ties": "le",
    "target_low": None,
    "drop_all_equal": True,
}


def test_it_comes_once_when_passing_completions_have_lost_more_than_the_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = CollapseWatch(5.0, OPTIONS)
    for value in (0.0, -5.0):
        watch.look({"logratio_pass": value, "logratio_fail": -30.0})
    watch.look({"logratio_fail": -30.0})
    assert not caplog.records
    for value in (-5.1, -9.0):
        watch.look({"logratio_pass": value, "logratio_fail": -30.0})
    [record] = caplog.records
    assert "have lost 5.1 nats" in record.getMessage()


def test_without_a_limit_it_never_comes(caplog: pytest.LogCaptureFixture) -> None:
    CollapseWatch(None, OPTIONS).look({"logratio_pass": -100.0})
    assert not caplog.records


@pytest.mark.parametrize(
    ("summary", "options", "named", "not_named"),
    [
        ({"logratio_fail": -20.0, "target_pass": 2.0}, {}, ["pushed down by 20.0 nats", "target_low=-3"], ["drop_"]),
        ({"logratio_fail": -20.0}, {"algorithm": "dpo"}, ["pushed down", "beta (now 0.1)"], ["target_low"]),
        ({"logratio_fail": -20.0}, {"target_low": -3.0}, ["learning_rate (now 1e-06)"], ["target_low"]),
        ({"logratio_fail": -20.0}, {"drop_all_equal": False}, ["drop_all_equal"], []),
        ({"logratio_fail": 1.0, "target_pass": 2.0}, {}, ["steps are too large"], ["pushed down", "beta"]),
        ({"target_pass": 2.0}, {}, ["steps are too large"], ["pushed down"]),
        ({"logratio_fail": -20.0, "target_pass": -5.5}, {"ties": "mid"}, ["ties=mid", "-5.5 nats"], ["pushed down"]),
    ],
)
def test_it_names_the_cause_and_the_options_that_help(
    summary: dict[str, float], options: dict[str, object], named: list[str], not_named: list[str]
) -> None:
    text = explanation({"logratio_pass": -6.0, **summary}, OPTIONS | options)
    assert [part for part in named if part not in text] == []
    assert [part for part in not_named if part in text] == []


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")
@pytest.mark.parametrize(("limit", "warnings"), [(1.0, 1), (None, 0)])
def test_a_run_that_collapses_warns(
    make_trainer: Callable[..., QRPOTrainer],
    rows: Callable[..., list[dict[str, Any]]],
    caplog: pytest.LogCaptureFixture,
    limit: float | None,
    warnings: int,
) -> None:
    """Beta = 0.003 asks failing completions to fall by up to 244 nats, and steps are large."""
    with caplog.at_level(logging.WARNING, logger="qrpo.collapse"):
        trainer = make_trainer(rows(), beta=0.003, pass_reward=3.0, max_steps=30, collapse_nats=limit)
        trainer.train()
    assert min(line["logratio_pass"] for line in trainer.state.log_history if "loss" in line) < -1.0
    assert len([record for record in caplog.records if record.name == "qrpo.collapse"]) == warnings
