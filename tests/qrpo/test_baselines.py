"""The trainer's other objectives, on pairs and on correct solutions; and options of the policy itself."""

import gc
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer
from trl.trainer.kto_trainer import KTOTrainer

from qrpo.trainer import QRPOTrainer

# TRL 1.16 calls by their old names what transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")

MakeModel = Callable[..., LlamaForCausalLM]
MakeTrainer = Callable[..., QRPOTrainer]
LogpsByHand = Callable[[LlamaForCausalLM, dict[str, Any]], float]


def pairs(count: int = 8) -> list[dict[str, Any]]:
    """Two prompts, completions of different lengths that end in EOS."""
    return [
        {
            "prompt_ids": [1, 3 + k % 2, 4][: 2 + k % 2],
            "chosen_ids": [*[3 + k % 6, 4 + k % 5, 5][: 1 + k % 3], 0],
            "rejected_ids": [*[4 + k % 4, 3][: 1 + k % 2], 0],
            "chosen_reward": 1.0 - k / 16,
            "rejected_reward": 0.25,
        }
        for k in range(count)
    ]


def train_log(trainer: Any) -> list[dict[str, float]]:
    return [line for line in trainer.state.log_history if "loss" in line]


def logps_of(by_hand: LogpsByHand, model: LlamaForCausalLM, row: dict[str, Any], name: str) -> float:
    return by_hand(model, {"prompt_ids": row["prompt_ids"], "completion_ids": row[f"{name}_ids"]})


def test_dpo_gives_the_run_that_trls_own_trainer_gives(
    make_trainer: MakeTrainer, make_model: MakeModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    ours = make_trainer(pairs(), algorithm="dpo", beta=0.3)
    ours.train()

    def text(ids: list[int]) -> str:
        return " ".join(tokenizer.convert_ids_to_tokens(ids))

    rows = [
        {
            "prompt": text(row["prompt_ids"]) + " ",
            "chosen": text(row["chosen_ids"][:-1]),
            "rejected": text(row["rejected_ids"][:-1]),
        }
        for row in pairs()
    ]
    theirs = DPOTrainer(
        model=make_model(),
        ref_model=make_model(),
        args=DPOConfig(
            output_dir=str(tmp_path / "theirs"), beta=0.3, use_cpu=True, bf16=False, gradient_checkpointing=False,
            report_to="none", disable_tqdm=True, per_device_train_batch_size=8, train_sampling_strategy="sequential",
            logging_steps=1, max_steps=3, learning_rate=1e-2, save_strategy="no",
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )  # fmt: skip
    theirs.train()
    losses = [line["loss"] for line in train_log(ours)]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-6)
    assert losses[-1] < losses[0] - 0.01
    assert losses == pytest.approx([line["loss"] for line in train_log(theirs)], abs=1e-6)


@pytest.mark.parametrize(
    ("algorithm", "beta", "expected"),
    [
        ("dpo", 0.5, lambda c, r, row: math.log(2)),
        ("rebel", 0.5, lambda c, r, row: ((row["chosen_reward"] - row["rejected_reward"]) / 0.5) ** 2),
        (
            "simpo",
            2.0,
            lambda c, r, row: math.log1p(
                math.exp(-2.0 * (c / len(row["chosen_ids"]) - r / len(row["rejected_ids"]) - 0.7))
            ),
        ),
    ],
)
def test_the_first_step_by_hand(
    make_trainer: MakeTrainer,
    make_model: MakeModel,
    logps_by_hand: LogpsByHand,
    algorithm: str,
    beta: float,
    expected: Callable[[float, float, dict[str, Any]], float],
) -> None:
    trainer = make_trainer(pairs(), algorithm=algorithm, beta=beta, simpo_margin=0.7, max_steps=1)
    trainer.train()
    model = make_model()
    scored = [
        (logps_of(logps_by_hand, model, row, "chosen"), logps_of(logps_by_hand, model, row, "rejected"), row)
        for row in pairs()
    ]
    [line] = train_log(trainer)
    assert line["loss"] == pytest.approx(sum(expected(*item) for item in scored) / 8, abs=1e-5)
    assert line["logps"] == pytest.approx(sum(c + r for c, r, _ in scored) / 16, abs=1e-5)
    assert line["reward"] == pytest.approx(sum(row["chosen_reward"] + 0.25 for row in pairs()) / 16)
    assert ("logratio" in line) == (algorithm != "simpo")
    assert "quantile" not in line
    assert 0 <= line["accuracy"] <= 1


def test_options_without_use_do_no_harm(make_trainer: MakeTrainer) -> None:
    """The mean over rows that this transform is scaled by is of quantiles, which pairs have not."""
    trainer = make_trainer(pairs(), algorithm="dpo", transform="scaled_normal_icdf", max_steps=1)
    trainer.train()
    assert trainer.state.global_step == 1


@pytest.mark.parametrize("algorithm", ["simpo", "sft"])
def test_what_needs_no_reference_loads_none(
    make_trainer: MakeTrainer, rows: Callable[..., list[dict[str, Any]]], algorithm: str
) -> None:
    trainer = make_trainer(rows() if algorithm == "sft" else pairs(), algorithm=algorithm)
    assert trainer.ref_model is None
    assert "ref_logps" not in trainer.train_dataset.column_names
    trainer.train()
    assert train_log(trainer)[-1]["loss"] < train_log(trainer)[0]["loss"]
    assert "eval_loss" in trainer.evaluate(trainer.train_dataset)


@pytest.mark.parametrize(
    ("algorithm", "options", "models"),
    [
        ("simpo", {}, 1),
        ("simpo", {"precompute_ref_log_probs": False}, 1),
        ("sft", {"precompute_ref_log_probs": False}, 1),
        ("qrpo", {}, 1),  # the reference is freed once its log-probabilities are known
        ("qrpo", {"precompute_ref_log_probs": False}, 2),
    ],
)
def test_no_more_models_are_in_memory_than_are_needed(
    make_trainer: MakeTrainer,
    model_dir: str,
    rows: Callable[..., list[dict[str, Any]]],
    algorithm: str,
    options: dict[str, Any],
    models: int,
) -> None:
    def in_memory() -> set[int]:
        gc.collect()
        return {id(item) for item in gc.get_objects() if type(item) is LlamaForCausalLM}

    before = in_memory()
    data = pairs() if algorithm == "simpo" else rows()
    trainer = make_trainer(data, model=model_dir, algorithm=algorithm, max_steps=1, **options)
    trainer.train()
    assert len(in_memory() - before) == models


def test_sft_minimises_the_mean_over_tokens_of_each_completion(
    make_trainer: MakeTrainer,
    make_model: MakeModel,
    rows: Callable[..., list[dict[str, Any]]],
    logps_by_hand: LogpsByHand,
) -> None:
    trainer = make_trainer(rows(), algorithm="sft", max_steps=1)
    trainer.train()
    model = make_model()
    by_hand = [-logps_by_hand(model, row) / len(row["completion_ids"]) for row in rows()]
    assert train_log(trainer)[0]["loss"] == pytest.approx(sum(by_hand) / 8, abs=1e-5)


def test_reference_log_probabilities_of_pairs_are_those_of_their_completions(
    make_trainer: MakeTrainer, make_model: MakeModel, logps_by_hand: LogpsByHand
) -> None:
    stored = make_trainer(pairs(), algorithm="dpo").train_dataset["ref_logps"]
    model = make_model()
    for found, row in zip(stored, pairs(), strict=True):
        by_hand = [logps_of(logps_by_hand, model, row, name) for name in ("chosen", "rejected")]
        assert list(found) == pytest.approx(by_hand, abs=1e-5)


def test_pairs_and_rows_share_what_is_known_of_the_reference(
    make_trainer: MakeTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = {"ref_logps_dir": str(tmp_path / "shared")}
    first = make_trainer(pairs(), algorithm="rebel", **shared)
    monkeypatch.delattr(KTOTrainer, "compute_ref_log_probs")
    pointwise = [
        {
            "prompt_ids": row["prompt_ids"],
            "completion_ids": row[f"{name}_ids"],
            "reward": row[f"{name}_reward"],
            "ref_rewards": [0.0, 1.0],
        }
        for row in pairs()
        for name in ("chosen", "rejected")
    ]
    second = make_trainer(pointwise, **shared)
    assert list(second.train_dataset["ref_logps"]) == [
        value for row in first.train_dataset["ref_logps"] for value in row
    ]


def test_reference_on_the_fly_gives_the_same_run_of_pairs(make_trainer: MakeTrainer, model_dir: str) -> None:
    runs = [
        make_trainer(pairs(), model=model_dir, algorithm="dpo", precompute_ref_log_probs=beforehand)
        for beforehand in (True, False)
    ]
    for trainer in runs:
        trainer.train()
    losses, others = ([line["loss"] for line in train_log(trainer)] for trainer in runs)
    assert losses == pytest.approx(others, abs=1e-6)


def test_weights_scale_pairs_and_do_not_renormalise(make_trainer: MakeTrainer) -> None:
    weighted = [row | {"weight": 3.0 if place < 2 else 0.0} for place, row in enumerate(pairs())]
    trainer = make_trainer(weighted, algorithm="dpo", max_steps=1)
    trainer.train()
    assert train_log(trainer)[0]["loss"] == pytest.approx(2 * 3 * math.log(2) / 8, abs=1e-6)


def test_accumulated_pairs_count_as_in_one_batch(make_trainer: MakeTrainer) -> None:
    whole = make_trainer(pairs(), algorithm="dpo", optim="sgd")
    parts = make_trainer(
        pairs(), algorithm="dpo", optim="sgd", per_device_train_batch_size=2, gradient_accumulation_steps=4
    )
    for trainer in (whole, parts):
        trainer.train()
    weights = [torch.cat([p.detach().flatten() for p in trainer.model.parameters()]) for trainer in (whole, parts)]
    torch.testing.assert_close(*weights, atol=1e-6, rtol=0)


def test_tied_pairs_are_left_out_and_pairs_the_wrong_way_round_refused(make_trainer: MakeTrainer) -> None:
    tied = [row | {"chosen_reward": 0.25} for row in pairs(4)]
    assert len(make_trainer([*pairs(4), *tied], algorithm="dpo").train_dataset) == 4
    assert len(make_trainer([*pairs(4), *tied], algorithm="dpo", drop_all_equal=False).train_dataset) == 8
    with pytest.raises(ValueError, match="exchange them"):
        make_trainer([row | {"chosen_reward": 0.0} for row in pairs(4)], algorithm="dpo")


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_log_probabilities_of_policy_and_reference_are_those_at_the_temperature(
    make_trainer: MakeTrainer,
    make_model: MakeModel,
    rows: Callable[..., list[dict[str, Any]]],
    logps_by_hand: LogpsByHand,
    temperature: float,
) -> None:
    trainer = make_trainer(rows(), temperature=temperature, max_steps=1)
    trainer.train()
    model = make_model()
    with torch.no_grad():
        model.lm_head.weight /= temperature
    by_hand = [logps_by_hand(model, row) for row in rows()]
    assert list(trainer.train_dataset["ref_logps"]) == pytest.approx(by_hand, abs=1e-5)
    assert train_log(trainer)[0]["logps"] == pytest.approx(sum(by_hand) / 8, abs=1e-5)
    assert train_log(trainer)[0]["logratio"] == pytest.approx(0, abs=1e-6)


def test_reference_log_probabilities_of_another_temperature_are_not_taken(
    make_trainer: MakeTrainer, rows: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    shared = {"ref_logps_dir": str(tmp_path / "shared")}
    one, half = (make_trainer(rows(), temperature=value, **shared) for value in (1.0, 0.5))
    assert list(one.train_dataset["ref_logps"]) != list(half.train_dataset["ref_logps"])


def test_rebel_raises_the_better_completion(make_trainer: MakeTrainer) -> None:
    """At first both signs of the gap give the same loss, but not the same way to go."""
    trainer = make_trainer(pairs(), algorithm="rebel", beta=0.5, max_steps=3)
    trainer.train()
    assert train_log(trainer)[-1]["margin"] > 0.1
