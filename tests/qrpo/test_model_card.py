"""The card that is written beside a trained model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qrpo.model_card import METHODS
from qrpo.objectives import ALGORITHMS
from qrpo.trainer import QRPOTrainer

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")


def test_it_names_the_paper_and_the_options(
    make_trainer: Callable[..., QRPOTrainer], rows: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    trainer = make_trainer(
        rows(), ties="exact", beta=0.03, per_device_train_batch_size=2, gradient_accumulation_steps=4, max_steps=1
    )
    trainer.train()
    trainer.create_model_card(model_name="tiny", dataset_name="toy")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "trained with QRPO, a method introduced in [Quantile Reward Policy Optimization" in card
    assert "huggingface.co/papers/2507.08068" in card
    assert "author = {Simon Matrenok and Skander Moalla and Caglar Gulcehre}" in card
    for row in ("algorithm | qrpo", "beta | 0.03", "ties | exact", "rows per step | 8", "steps | 1", "seed | 42"):
        assert f"| {row} |\n" in card
    assert "distance" not in card  # as by default
    assert str(tmp_path) not in card
    assert "[None]" not in card


def test_a_baselines_card_names_the_baselines_paper(
    make_trainer: Callable[..., QRPOTrainer], rows: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    pairs = [
        {
            "prompt_ids": row["prompt_ids"],
            "chosen_ids": row["completion_ids"],
            "rejected_ids": [5, 0],
            "chosen_reward": 1.0,
            "rejected_reward": 0.0,
        }
        for row in rows()
    ]
    make_trainer(pairs, algorithm="dpo").create_model_card()
    card = (tmp_path / "out" / "README.md").read_text()
    assert "trained with DPO" in card
    assert "papers/2305.18290" in card
    assert "QRPO" not in card


def test_every_algorithm_has_a_method() -> None:
    assert METHODS.keys() == set(ALGORITHMS)
