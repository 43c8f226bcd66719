"""QRPOTrainer: what it builds on, the loss of a step, the rows it takes."""

import inspect
import logging
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import trl.trainer.utils as trl_utils
from datasets import Dataset
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from trl import TrlParser
from trl.kernels import chunked_logprob
from trl.trainer.kto_trainer import KTOTrainer

from qrpo import trl_head
from qrpo.encoding import prepare_dataset
from qrpo.metrics import COLUMNS
from qrpo.pointwise import PointwiseForm
from qrpo.trainer import QRPOConfig, QRPOTrainer

# TRL 1.16 calls by their old names what transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")

EOS, BOS = 0, 1
MakeModel = Callable[..., LlamaForCausalLM]
MakeRows = Callable[..., list[dict[str, Any]]]
MakeTrainer = Callable[..., QRPOTrainer]
LogpsByHand = Callable[[LlamaForCausalLM, dict[str, Any]], float]


def train_log(trainer: QRPOTrainer) -> list[dict[str, float]]:
    return [line for line in trainer.state.log_history if "loss" in line]


# --- what we build on ---------------------------------------------------------------------------------------------

HOOKS = {
    "_prepare_dataset": ["self", "dataset", "processing_class", "args", "dataset_name"],
    "_set_signature_columns_if_needed": ["self"],
    "_get_train_sampler": ["self", "train_dataset"],
    "_precompute_ref_logps": ["self", "dataset", "name", "batch_size"],
    "_compute_loss": ["self", "model", "inputs", "return_outputs"],
    "log": ["self", "logs", "start_time"],
    "save_model": ["self", "output_dir", "_internal_call"],
    "_save_rng_state": ["self", "output_dir"],
    "create_model_card": ["self", "model_name", "dataset_name", "tags"],
}
HANDED_ON = {
    "_run_epoch": [
        *("self", "model", "epoch", "train_dataloader", "steps_in_epoch", "num_update_steps_per_epoch", "trial"),
        *("ignore_keys_for_eval", "start_time", "resume_from_checkpoint", "epochs_trained"),
        "steps_trained_in_current_epoch",
    ],
}
USED = {"compute_ref_log_probs": ["self", "model", "inputs"]}
OWN = {"__init__", "_ref_logps", "_ref_logps_cache", "_ref_logps_of", "_keep"}


@pytest.mark.parametrize(("name", "expected"), (HOOKS | USED).items())
def test_the_base_class_has_the_hook_with_this_signature(name: str, expected: list[str]) -> None:
    assert list(inspect.signature(getattr(KTOTrainer, name)).parameters) == expected
    assert list(inspect.signature(getattr(QRPOTrainer, name)).parameters) == expected


@pytest.mark.parametrize(("name", "expected"), HANDED_ON.items())
def test_what_is_handed_on_as_it_comes_has_this_signature(name: str, expected: list[str]) -> None:
    assert list(inspect.signature(getattr(KTOTrainer, name)).parameters) == expected


def test_every_method_of_the_trainer_is_a_pinned_hook_or_its_own() -> None:
    assert {
        name for name, value in vars(QRPOTrainer).items() if inspect.isfunction(value)
    } == HOOKS.keys() | HANDED_ON.keys() | OWN
    assert not any(hasattr(KTOTrainer, name) for name in OWN - {"__init__"})


def test_the_constructor_takes_what_the_base_class_takes_except_logit_metrics() -> None:
    ours, base = (inspect.signature(cls.__init__).parameters for cls in (QRPOTrainer, KTOTrainer))
    assert list(ours) == [name for name in base if name != "compute_metrics"]
    assert all(ours[name].default == base[name].default for name in ours)


def test_each_row_counts_once_under_accumulation_as_the_base_class_declares() -> None:
    assert QRPOTrainer.loss_is_scaled_for_ga is False


def test_config_reads_from_the_command_line_without_ktos_own_options() -> None:
    parser = TrlParser(QRPOConfig)
    (config,) = parser.parse_args_and_config(["--output_dir", "x", "--beta", "0.03", "--target_low", "-3"])
    assert (config.beta, config.target_low, config.transform) == (0.03, -3.0, "identity")
    with pytest.raises(ValueError, match="desirable_weight"):
        parser.parse_args_and_config(["--output_dir", "x", "--desirable_weight", "2"])


@pytest.mark.parametrize(
    "options",
    [
        {"beta": 0.0},
        {"beta": math.nan},
        {"collapse_nats": 0.0},
        {"transform": "cube"},
        {"target_low": 1.0, "target_high": 0.0},
    ],
)
def test_config_refuses_values_that_cannot_be_used(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"beta|collapse_nats|transform|low"):
        QRPOConfig(output_dir="x", **options)


@pytest.mark.parametrize(
    ("options", "unused"),
    [
        ({"ties": "exact", "beta": 0.3, "log_z": "profiled", "train_sampling_strategy": "group_by_prompt"}, []),
        ({"simpo_margin": 1.0}, ["simpo_margin"]),
        (
            {"algorithm": "dpo", "beta": 0.3, "ties": "le", "log_z": "profiled", "target_low": 0.0},
            ["log_z", "target_low"],
        ),
        ({"algorithm": "simpo", "simpo_margin": 1.0, "transform": "sqrt"}, ["transform"]),
        ({"algorithm": "sft", "beta": 0.3}, ["beta"]),
        ({"algorithm": "rebel"}, []),
    ],
)
def test_options_that_an_algorithm_has_no_use_for_are_named(options: dict[str, Any], unused: list[str]) -> None:
    found = QRPOConfig(output_dir="x", **options).unused()
    assert found == {name: options[name] for name in unused}


# --- the loss of a step -------------------------------------------------------------------------------------------


def test_first_step_by_hand(make_trainer: MakeTrainer, make_model: MakeModel, rows: MakeRows) -> None:
    """At the start all log-ratios are 0: loss = mean of (q - beta log Z)^2, with q in {1/4, .., 1} twice each.

    Beta = 0.1: beta log Z = 0.76973695; squares 0.270126, 0.072758, 0.000390, 0.053021; mean 0.0990738.
    """
    trainer = make_trainer(rows(), max_steps=1)
    trainer.train()
    [line] = train_log(trainer)
    assert line["loss"] == pytest.approx(0.0990738, abs=1e-6)
    assert line["logratio"] == pytest.approx(0, abs=1e-6)
    assert line["residual_mean"] == pytest.approx(0.625 - 0.76973695, abs=1e-6)
    assert line["quantile"] == pytest.approx(0.625)
    assert line["reward"] == pytest.approx(1.5)
    assert line["tied_fraction"] == pytest.approx(0.25)
    assert line["tokens"] == pytest.approx(sum(len(row["completion_ids"]) for row in rows()) / 8)


def test_end_of_sequence_counts_although_it_is_also_the_padding(
    make_trainer: MakeTrainer, make_model: MakeModel, rows: MakeRows, logps_by_hand: LogpsByHand
) -> None:
    trainer = make_trainer(rows(), max_steps=1)
    trainer.train()
    by_hand = [logps_by_hand(make_model(), row) for row in rows()]
    assert train_log(trainer)[0]["logps"] == pytest.approx(sum(by_hand) / 8, abs=1e-5)


def test_on_the_cpu_the_head_scores_completion_tokens_only(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch, rows: MakeRows
) -> None:
    scored: list[int] = []
    head, decide = trl_utils._ChunkedLogProbFunction, trl_utils._use_triton

    class CountingHead:
        @staticmethod
        def apply(hidden: Tensor, *arguments: Any) -> Any:
            scored.append(len(hidden))
            return head.apply(hidden, *arguments)

    monkeypatch.setattr(trl_utils, "_ChunkedLogProbFunction", CountingHead)
    make_trainer(rows(), max_steps=1).train()
    # once for the reference, where the equal rows 0 and 6 are computed once, and once in training
    total = sum(len(row["completion_ids"]) for row in rows())
    assert scored == [total - len(rows()[6]["completion_ids"]), total]
    assert trl_utils._use_triton is decide


def test_on_the_cpu_the_head_goes_over_the_vocabulary_in_small_tiles_to_the_same_effect(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch, rows: MakeRows
) -> None:
    """Also in the backward pass, and TRL's own width is left as it is."""
    shapes: list[tuple[int, int]] = []
    lines, weights, width = [], [], trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE
    assert width > trl_head._CPU_TILE
    backward = chunked_logprob._backward_tile

    def watched(tile: Tensor, *arguments: Any, **more: Any) -> None:
        shapes.append((tile.shape[0], tile.shape[1]))
        backward(tile, *arguments, **more)

    monkeypatch.setattr(chunked_logprob, "_backward_tile", watched)
    for words in (trl_head._CPU_TILE, 4):
        monkeypatch.setattr(trl_head, "_CPU_TILE", words)
        trainer = make_trainer(rows(), max_steps=1)
        trainer.train()
        lines.append(train_log(trainer)[0])
        weights.append(torch.cat([item.detach().flatten() for item in trainer.model.parameters()]))
    total = sum(len(row["completion_ids"]) for row in rows())
    assert width == trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE
    assert shapes == [(total, 9), (total, 4), (total, 4), (total, 1)]
    assert lines[1]["loss"] == pytest.approx(lines[0]["loss"], abs=1e-6)
    torch.testing.assert_close(weights[1], weights[0], atol=1e-6, rtol=1e-5)


def test_precomputed_reference_equals_plain_log_probabilities(
    make_trainer: MakeTrainer, make_model: MakeModel, rows: MakeRows, logps_by_hand: LogpsByHand
) -> None:
    stored = make_trainer(rows()).train_dataset["ref_logps"]
    assert list(stored) == pytest.approx([logps_by_hand(make_model(), row) for row in rows()], abs=1e-5)


def test_the_reference_gives_the_same_run_beforehand_from_disk_in_a_column_and_on_the_fly(
    make_trainer: MakeTrainer, model_dir: str, monkeypatch: pytest.MonkeyPatch, rows: MakeRows
) -> None:
    beforehand = make_trainer(rows(), model=model_dir)
    on_the_fly = make_trainer(rows(), model=model_dir, precompute_ref_log_probs=False)
    assert "ref_logps" not in on_the_fly.train_dataset.column_names
    on_the_fly.train()
    monkeypatch.delattr(KTOTrainer, "compute_ref_log_probs")
    from_disk = make_trainer(rows(), model=model_dir)
    column = make_trainer(rows(ref_logps=list(beforehand.train_dataset["ref_logps"])), model=model_dir)
    for trainer in (beforehand, from_disk, column):
        trainer.train()
    assert train_log(from_disk) == train_log(column) == train_log(beforehand)
    losses, others = ([line["loss"] for line in train_log(trainer)] for trainer in (beforehand, on_the_fly))
    assert losses == pytest.approx(others, abs=1e-6)


@pytest.mark.parametrize("name", ["", "the model's"])
def test_on_the_fly_the_reference_is_the_model_as_it_was_given(
    make_trainer: MakeTrainer, make_model: MakeModel, model_dir: str, rows: MakeRows, name: str
) -> None:
    """Not what lies under its name, from which its weights may have been changed since."""
    model = make_model(seed=1)
    model.config._name_or_path = model_dir if name else ""
    trainer = make_trainer(rows(), model=model, precompute_ref_log_probs=False, max_steps=1)
    trainer.train()
    assert train_log(trainer)[0]["kl_k1"] == pytest.approx(0, abs=1e-6)


def test_a_column_of_reference_log_probabilities_is_used_as_it_is(
    make_trainer: MakeTrainer,
    make_model: MakeModel,
    monkeypatch: pytest.MonkeyPatch,
    rows: MakeRows,
    logps_by_hand: LogpsByHand,
) -> None:
    monkeypatch.delattr(KTOTrainer, "compute_ref_log_probs")  # nothing may be computed
    shifted = [logps_by_hand(make_model(), row) - 2.0 for row in rows()]
    trainer = make_trainer(rows(ref_logps=shifted), max_steps=1)
    trainer.train()
    assert train_log(trainer)[0]["logratio"] == pytest.approx(2.0, abs=1e-5)


def test_weights_scale_rows_and_do_not_renormalise(make_trainer: MakeTrainer, rows: MakeRows) -> None:
    def first_loss(weights: list[float]) -> float:
        trainer = make_trainer(rows(weight=weights), max_steps=1)
        trainer.train()
        return train_log(trainer)[0]["loss"]

    assert first_loss([3.0] * 8) == pytest.approx(3 * first_loss([1.0] * 8), rel=1e-5)
    # only the rows with quantile 1/4, whose squared residual is 0.270126
    assert first_loss([1.0, 1.0] + [0.0] * 6) == pytest.approx(0.270126 * 2 / 8, abs=1e-5)


def test_rows_may_have_their_own_beta_or_share_it_by_length(make_trainer: MakeTrainer, rows: MakeRows) -> None:
    """At the start a row's loss is (q - beta log Z(beta))^2, beta log Z = 1 + beta log(beta (1 - e^(-1/beta)))."""

    def first_loss(**options: Any) -> float:
        trainer = make_trainer(max_steps=1, **options)
        trainer.train()
        return train_log(trainer)[0]["loss"]

    def expected(betas: list[float]) -> float:
        offsets = [1 + beta * math.log(-beta * math.expm1(-1 / beta)) for beta in betas]
        quantiles = [(row["reward"] + 1) / 4 for row in rows()]
        return sum((q - offset) ** 2 for q, offset in zip(quantiles, offsets, strict=True)) / 8

    betas = [0.03, 0.1, 0.3, 1.0, 0.05, 0.2, 0.5, 2.0]
    assert first_loss(data=rows(beta=betas)) == pytest.approx(expected(betas), abs=1e-6)
    by_length = [0.6 / len(row["completion_ids"]) for row in rows()]
    assert len(set(by_length)) > 1
    assert first_loss(data=rows(), beta=0.6, normalize_beta_by_length=True) == pytest.approx(
        expected(by_length), abs=1e-6
    )


@pytest.mark.parametrize("distance", ["mae", "huber"])
def test_distances_are_those_asked_for(make_trainer: MakeTrainer, rows: MakeRows, distance: str) -> None:
    """Residuals -0.519737, -0.269737, -0.019737, 0.230263, as in the first step: their mean size.

    Huber with delta 0.2: 0.4 |r| - 0.04 for all but the third, whose square is 0.000390.
    """
    trainer = make_trainer(rows(), max_steps=1, distance=distance, huber_delta=0.2)
    trainer.train()
    sizes = [0.519737, 0.269737, 0.019737, 0.230263]
    by_hand = {
        "mae": sum(sizes) / 4,
        "huber": sum(0.4 * size - 0.04 if size > 0.2 else size**2 for size in sizes) / 4,
    }
    assert train_log(trainer)[0]["loss"] == pytest.approx(by_hand[distance], abs=1e-6)


def test_rows_may_have_different_numbers_of_references(make_trainer: MakeTrainer, rows: MakeRows) -> None:
    """1, 2, 3, 4 references twice: those below or equal of {0}, {0, 1}, {0, 1, 2}, {0, 1, 2, 3}."""
    ragged = [[0.0, 1.0, 2.0, 3.0][: 1 + k % 4] for k in range(8)]
    trainer = make_trainer(rows(ref_rewards=ragged, reward=[0.5] * 8), max_steps=1)
    assert list(trainer.train_dataset["quantile"]) == [1.0, 1 / 2, 1 / 3, 1 / 4] * 2
    assert list(trainer.train_dataset["num_refs"]) == [1, 2, 3, 4] * 2
    trainer.train()
    assert train_log(trainer)[0]["quantile"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_draws_are_those_of_the_runs_seed(make_trainer: MakeTrainer, rows: MakeRows) -> None:
    first, again, other = (list(make_trainer(rows(), seed=seed).train_dataset["draw"]) for seed in (0, 0, 1))
    assert first == again
    assert not set(first) & set(other)


def test_a_step_gathers_once(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch, rows: MakeRows) -> None:
    trainer = make_trainer(rows(), max_steps=3)
    gathered: list[tuple[int, ...]] = []
    gather = trainer.accelerator.gather_for_metrics

    def counting(tensor: Tensor) -> Any:
        gathered.append(tuple(tensor.shape))
        return gather(tensor)

    monkeypatch.setattr(trainer.accelerator, "gather_for_metrics", counting)
    trainer.train()
    assert gathered == [(8, 1, len(COLUMNS))] * 3


def test_targets_are_clipped_and_transformed_as_configured(make_trainer: MakeTrainer, rows: MakeRows) -> None:
    """Log f at beta = 1/2: targets 2 log q + log 3 = -1.673976, -0.287682, 0.523248, 1.098612 for q = 1/4, .., 1."""
    trainer = make_trainer(rows(), max_steps=1, transform="log", beta=0.5, target_low=-1.0, target_high=1.0)
    trainer.train()
    assert train_log(trainer)[0]["target"] == pytest.approx((-1 - 0.287682 + 0.523248 + 1) / 4, abs=1e-5)


def test_the_scale_of_prompts_is_relative_to_training_rows(make_trainer: MakeTrainer, rows: MakeRows) -> None:
    """Whose references have deviation 1.2910; those that are evaluated on, ten times that."""
    wide = [{**row, "ref_rewards": [10 * value for value in row["ref_rewards"]]} for row in rows()]
    trainer = make_trainer(rows(), eval_dataset=Dataset.from_list(wide), transform="scaled_normal_icdf")
    assert trainer._pointwise.mean_ref_std == pytest.approx(1.2910, abs=1e-4)


def test_log_ratios_are_split_into_passing_and_failing(
    make_trainer: MakeTrainer, make_model: MakeModel, rows: MakeRows, logps_by_hand: LogpsByHand
) -> None:
    shifts = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 3.0]  # the last two rows have reward 3
    ref = [logps_by_hand(make_model(), row) - shift for row, shift in zip(rows(), shifts, strict=True)]
    trainer = make_trainer(rows(ref_logps=ref), max_steps=1, pass_reward=3.0)
    trainer.train()
    [line] = train_log(trainer)
    assert line["logratio_pass"] == pytest.approx(2.0, abs=1e-5)
    assert line["logratio_fail"] == pytest.approx(0.0, abs=1e-5)


def test_each_line_of_the_log_is_about_the_rows_since_the_last(make_trainer: MakeTrainer, rows: MakeRows) -> None:
    trainer = make_trainer(rows(8), per_device_train_batch_size=2, max_steps=4, logging_steps=2)
    trainer.train()
    assert [line["reward"] for line in train_log(trainer)] == [0.5, 2.5]  # of 0, 0, 1, 1 and of 2, 2, 3, 3


# --- the data -----------------------------------------------------------------------------------------------------


def usable(**columns: Any) -> dict[str, Any]:
    return text_row(prompt="a", completion="c") | columns


def text_row(**columns: Any) -> dict[str, Any]:
    return {"reward": 1.0, "ref_rewards": [0.0, 1.0], **columns}


@pytest.mark.parametrize(
    ("row", "prompt_ids", "completion_ids"),
    [
        ({"prompt": "<bos> a b", "completion": "c d"}, [1, 3, 4], [5, 6, EOS]),
        ({"prompt": "<bos> a b", "completion": "c d <eos>"}, [1, 3, 4], [5, 6, EOS]),
        ({"prompt": "<bos> a b", "completion": "c d", "truncated": True}, [1, 3, 4], [5, 6]),
        (
            {
                "prompt": [{"role": "user", "content": "a"}],
                "completion": [{"role": "assistant", "content": "c d"}],
            },
            [1, 3, EOS, 6],
            [5, 6, EOS],
        ),
        (
            {
                "prompt": [{"role": "user", "content": "a"}],
                "completion": [{"role": "assistant", "content": "c d"}],
                "truncated": True,
            },
            [1, 3, EOS, 6],
            [5, 6],
        ),
        # token ids win over text, and are not touched: neither completed where they end nor where they are cut
        ({"prompt_ids": [1, 3], "completion_ids": [7, 8], "prompt": "b", "completion": "c"}, [1, 3], [7, 8]),
        ({"prompt_ids": [1, 3], "completion_ids": [7, EOS], "truncated": True}, [1, 3], [7, EOS]),
    ],
)
def test_rows_become_tokens(
    make_trainer: MakeTrainer, row: dict[str, Any], prompt_ids: list[int], completion_ids: list[int]
) -> None:
    [prepared] = make_trainer([text_row(**row)]).train_dataset
    assert (prepared["prompt_ids"], prepared["completion_ids"]) == (prompt_ids, completion_ids)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "a", "completion": "c", "ref_rewards": [0.0]}, "no reward"),
        ({"prompt": "a", "completion": "c", "reward": 1.0}, "no ref_rewards"),
        ({"prompt_ids": [1], "reward": 1.0, "ref_rewards": [0.0]}, "no prompt and no completion"),
        ({"prompt_ids": [1], "completion_ids": [3], "reward": 1.0, "ref_rewards": [math.nan]}, "finite"),
        ({"prompt_ids": [3], "completion_ids": [], "reward": 1.0, "ref_rewards": [0.0]}, "no tokens"),
        ({"prompt_ids": [], "completion_ids": [3], "reward": 1.0, "ref_rewards": [0.0]}, "no tokens"),
        ({"prompt": "a", "completion": [], "reward": 1.0, "ref_rewards": [0.0]}, "must be a text"),
        (usable(ref_rewards=[]), r"at least one reward, got \[\]"),
        (usable(ref_rewards=0.5), "must be a list .* got 0.5"),
        (usable(ref_rewards=[0.0, None]), "ref_rewards must be finite numbers, got None"),
        (usable(reward="1"), "reward must be finite numbers, got '1'"),
        (usable(weight=math.nan), "weight must be finite numbers, got nan"),
        (usable(weight=-1.0), "weight must be at least 0, got -1"),
        (usable(beta=math.inf), "beta must be finite numbers, got inf"),
        (usable(ref_logps=math.nan), "ref_logps must be finite numbers, got nan"),
        (usable(ref_logps=5.0), "not above 0, got 5"),
        (usable(ref_logps=[-1.0]), r"ref_logps must be one number, got \[-1"),
    ],
)
def test_a_row_that_cannot_be_used_is_an_error_that_says_why(
    make_trainer: MakeTrainer, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_trainer([row])


def test_prompts_with_equal_rewards_are_left_out_unless_asked_for(
    make_trainer: MakeTrainer, caplog: pytest.LogCaptureFixture, rows: MakeRows
) -> None:
    failed = [{**row, "reward": 0.0, "ref_rewards": [0.0, 0.0]} for row in rows(4)]
    with caplog.at_level(logging.INFO, logger="qrpo"):
        trainer = make_trainer(failed + rows())
    assert len(trainer.train_dataset) == 8
    assert "8 of 12 rows; left out 4 of prompts whose rewards are all equal" in caplog.text
    assert len(make_trainer(failed + rows(), drop_all_equal=False).train_dataset) == 12


def test_rows_longer_than_the_limit_are_left_out_not_cut(make_trainer: MakeTrainer, rows: MakeRows) -> None:
    trainer = make_trainer(rows(), max_length=5)
    lengths = [len(row["prompt_ids"]) + len(row["completion_ids"]) for row in rows()]
    assert list(trainer.train_dataset["length"]) == [length for length in lengths if length <= 5]
    assert max(lengths) > 5


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"chosen_reward": math.nan}, "chosen_reward must be finite numbers, got nan"),
        ({"ref_logps": [-1.0]}, "ref_logps must be a list of 2 numbers"),
    ],
)
def test_a_pair_that_cannot_be_used_is_an_error_that_says_why(
    make_trainer: MakeTrainer, columns: dict[str, Any], message: str
) -> None:
    pair = {"prompt": "a", "chosen": "b", "rejected": "c", "chosen_reward": 1.0, "rejected_reward": 0.0}
    with pytest.raises(ValueError, match=message):
        make_trainer([pair | columns], algorithm="dpo")


def test_reference_log_probabilities_of_some_rows_only_are_an_error(make_trainer: MakeTrainer, rows: MakeRows) -> None:
    with pytest.raises(ValueError, match="some rows have no ref_logps"):
        make_trainer(rows(ref_logps=[-1.0, *[None] * 7])).train()


@pytest.mark.parametrize("form", ["numpy", "torch"])
def test_rows_in_a_format_of_arrays_are_the_same_rows(
    make_trainer: MakeTrainer, tokenizer: PreTrainedTokenizerFast, rows: MakeRows, form: str
) -> None:
    trainer = make_trainer(rows())
    prepared = prepare_dataset(
        Dataset.from_list(rows()).with_format(form),
        PointwiseForm(),
        name="train",
        tokenizer=tokenizer,
        drop_uninformative=True,
        max_length=None,
        num_proc=None,
        seed=trainer.args.seed,
    )
    assert list(prepared) == list(trainer.train_dataset.remove_columns("ref_logps"))


@pytest.mark.parametrize(("eval_dataset", "error"), [([], TypeError), (Dataset.from_list([]), ValueError)])
def test_what_cannot_be_evaluated_is_an_error_that_names_it(
    make_trainer: MakeTrainer, rows: MakeRows, eval_dataset: object, error: type[Exception]
) -> None:
    with pytest.raises(error, match="eval_dataset"):
        make_trainer(rows(), eval_dataset=eval_dataset)


def test_no_rows_is_an_error(make_trainer: MakeTrainer) -> None:
    with pytest.raises(ValueError, match="no rows"):
        make_trainer([])


def test_an_empty_training_set_is_an_error_that_says_why(make_trainer: MakeTrainer, rows: MakeRows) -> None:
    with pytest.raises(ValueError, match=r"0 of 8 rows; left out 0 .* and 8 longer than max_length=2"):
        make_trainer(rows(), max_length=2)


PROFILED: dict[str, Any] = {"log_z": "profiled", "train_sampling_strategy": "group_by_prompt"}


@pytest.mark.parametrize("order", ["group_by_prompt", "sequential"])
def test_rows_that_are_alone_are_refused_where_only_differences_teach(
    make_trainer: MakeTrainer, rows: MakeRows, order: str, caplog: pytest.LogCaptureFixture
) -> None:
    some = [row | {"prompt_ids": [*row["prompt_ids"], 3 + k]} for k, row in enumerate(rows(6))]
    options = PROFILED | {"train_sampling_strategy": order}
    with pytest.raises(ValueError, match="each of the 6 training rows is alone"):
        make_trainer(some, **options)
    interleaved = [*some[:2], *some[:2]]
    if order == "sequential":
        with pytest.raises(ValueError, match="each of the 4 training rows is alone"):
            make_trainer(interleaved, **options)
    else:
        make_trainer(interleaved, **options)
        assert "teach nothing" not in caplog.text
    make_trainer([some[0], some[1], some[1]], **options)
    assert "1 of 3 training rows are the only ones of their prompt" in caplog.text
    with pytest.raises(ValueError, match="per_device_eval_batch_size is 1"):
        make_trainer(interleaved, per_device_eval_batch_size=1, **options)
