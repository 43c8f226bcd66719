"""QRPOTrainer on tiny models, for real: TRL, transformers, PEFT, files."""

import inspect
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import trl.trainer.utils as trl_utils
from datasets import Dataset
from peft import LoraConfig
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from trl import TrlParser
from trl.trainer.kto_trainer import KTOTrainer

from qrpo.quantiles import TRANSFORMS
from qrpo.trainer import QRPOConfig, QRPOTrainer

# TRL 1.16 calls by their old names what transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")

EOS, BOS = 0, 1
MakeModel = Callable[..., LlamaForCausalLM]
MakeTrainer = Callable[..., QRPOTrainer]


def rows(count: int = 8, **extra: Any) -> list[dict[str, Any]]:
    """Two prompts, completions of different lengths that end in EOS (which is also the pad token)."""
    return [
        {
            "prompt_ids": [BOS, 3 + k % 2, 4][: 2 + k % 2],
            "completion_ids": [*[3 + k % 6, 4 + k % 5, 5][: 1 + k % 3], EOS],
            "reward": float(k // 2 % 4),
            "ref_rewards": [0.0, 1.0, 2.0, 3.0],
            **{name: value[k] for name, value in extra.items()},
        }
        for k in range(count)
    ]


@pytest.fixture
def make_trainer(make_model: MakeModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> MakeTrainer:
    """Makes a trainer of the tiny model in float32 on the CPU; keywords are options or constructor arguments."""

    def make(data: list[dict[str, Any]], **options: Any) -> QRPOTrainer:
        arguments = {"model": make_model(), "processing_class": tokenizer}
        arguments |= {name: options.pop(name) for name in list(options) if name in KTO_ARGUMENTS}
        defaults = {
            "output_dir": str(tmp_path / "out"),
            "use_cpu": True,
            "bf16": False,
            "gradient_checkpointing": False,
            "report_to": "none",
            "disable_tqdm": True,
            "per_device_train_batch_size": 8,
            "train_sampling_strategy": "sequential",
            "logging_steps": 1,
            "max_steps": 3,
            "learning_rate": 1e-2,
            "save_strategy": "no",
        }
        return QRPOTrainer(args=QRPOConfig(**(defaults | options)), train_dataset=Dataset.from_list(data), **arguments)

    return make


KTO_ARGUMENTS = set(inspect.signature(KTOTrainer.__init__).parameters) - {"self", "args", "train_dataset"}


def logps_by_hand(model: LlamaForCausalLM, row: dict[str, Any]) -> float:
    """Sum of the completion's log-probabilities: one sequence, no padding, plain log_softmax."""
    prompt, completion = row["prompt_ids"], row["completion_ids"]
    with torch.no_grad():
        logits = model(torch.tensor([prompt + completion])).logits[0].double()
    picked = logits.log_softmax(-1)[len(prompt) - 1 : -1].gather(1, torch.tensor(completion)[:, None])
    return picked.sum().item()


def parameters(trainer: QRPOTrainer) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


def train_log(trainer: QRPOTrainer) -> list[dict[str, float]]:
    return [line for line in trainer.state.log_history if "loss" in line]


# --- what we build on ---------------------------------------------------------------------------------------------

HOOKS = {
    "_prepare_dataset": ["self", "dataset", "processing_class", "args", "dataset_name"],
    "_set_signature_columns_if_needed": ["self"],
    "_precompute_ref_logps": ["self", "dataset", "name", "batch_size"],
    "_compute_loss": ["self", "model", "inputs", "return_outputs"],
    "log": ["self", "logs", "start_time"],
}
USED = {"compute_ref_log_probs": ["self", "model", "inputs"]}
OWN = {"__init__", "_ref_logps_cache"}


@pytest.mark.parametrize(("name", "expected"), (HOOKS | USED).items())
def test_the_base_class_has_the_hook_with_this_signature(name: str, expected: list[str]) -> None:
    assert list(inspect.signature(getattr(KTOTrainer, name)).parameters) == expected
    assert list(inspect.signature(getattr(QRPOTrainer, name)).parameters) == expected


def test_every_method_of_the_trainer_is_a_pinned_hook_or_its_own() -> None:
    assert {name for name, value in vars(QRPOTrainer).items() if inspect.isfunction(value)} == HOOKS.keys() | OWN
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
    "options", [{"beta": 0.0}, {"beta": math.nan}, {"transform": "cube"}, {"target_low": 1.0, "target_high": 0.0}]
)
def test_config_refuses_values_that_cannot_be_used(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"beta|transform|low"):
        QRPOConfig(output_dir="x", **options)


# --- the loss of a step -------------------------------------------------------------------------------------------


def test_first_step_by_hand(make_trainer: MakeTrainer, make_model: MakeModel) -> None:
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
    make_trainer: MakeTrainer, make_model: MakeModel
) -> None:
    trainer = make_trainer(rows(), max_steps=1)
    trainer.train()
    by_hand = [logps_by_hand(make_model(), row) for row in rows()]
    assert train_log(trainer)[0]["logps"] == pytest.approx(sum(by_hand) / 8, abs=1e-5)


def test_on_the_cpu_the_head_scores_completion_tokens_only(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
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


def test_precomputed_reference_equals_plain_log_probabilities(make_trainer: MakeTrainer, make_model: MakeModel) -> None:
    stored = make_trainer(rows()).train_dataset["ref_logps"]
    assert list(stored) == pytest.approx([logps_by_hand(make_model(), row) for row in rows()], abs=1e-5)


def test_reference_on_the_fly_gives_the_same_run(make_trainer: MakeTrainer, model_dir: str) -> None:
    beforehand = make_trainer(rows(), model=model_dir)
    on_the_fly = make_trainer(rows(), model=model_dir, precompute_ref_log_probs=False)
    assert "ref_logps" not in on_the_fly.train_dataset.column_names
    for trainer in (beforehand, on_the_fly):
        trainer.train()
    losses, others = ([line["loss"] for line in train_log(trainer)] for trainer in (beforehand, on_the_fly))
    assert losses == pytest.approx(others, abs=1e-6)


def test_a_column_of_reference_log_probabilities_is_used_as_it_is(
    make_trainer: MakeTrainer, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(KTOTrainer, "compute_ref_log_probs")  # nothing may be computed
    shifted = [logps_by_hand(make_model(), row) - 2.0 for row in rows()]
    trainer = make_trainer(rows(ref_logps=shifted), max_steps=1)
    trainer.train()
    assert train_log(trainer)[0]["logratio"] == pytest.approx(2.0, abs=1e-5)


def test_weights_scale_rows_and_do_not_renormalise(make_trainer: MakeTrainer) -> None:
    def first_loss(weights: list[float]) -> float:
        trainer = make_trainer(rows(weight=weights), max_steps=1)
        trainer.train()
        return train_log(trainer)[0]["loss"]

    assert first_loss([3.0] * 8) == pytest.approx(3 * first_loss([1.0] * 8), rel=1e-5)
    # only the rows with quantile 1/4, whose squared residual is 0.270126
    assert first_loss([1.0, 1.0] + [0.0] * 6) == pytest.approx(0.270126 * 2 / 8, abs=1e-5)


def test_targets_are_clipped_and_transformed_as_configured(make_trainer: MakeTrainer) -> None:
    """Log f at beta = 1/2: targets 2 log q + log 3 = -1.673976, -0.287682, 0.523248, 1.098612 for q = 1/4, .., 1."""
    trainer = make_trainer(rows(), max_steps=1, transform="log", beta=0.5, target_low=-1.0, target_high=1.0)
    trainer.train()
    assert train_log(trainer)[0]["target"] == pytest.approx((-1 - 0.287682 + 0.523248 + 1) / 4, abs=1e-5)


def test_log_ratios_are_split_into_passing_and_failing(make_trainer: MakeTrainer, make_model: MakeModel) -> None:
    shifts = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 3.0]  # the last two rows have reward 3
    ref = [logps_by_hand(make_model(), row) - shift for row, shift in zip(rows(), shifts, strict=True)]
    trainer = make_trainer(rows(ref_logps=ref), max_steps=1, pass_reward=3.0)
    trainer.train()
    [line] = train_log(trainer)
    assert line["logratio_pass"] == pytest.approx(2.0, abs=1e-5)
    assert line["logratio_fail"] == pytest.approx(0.0, abs=1e-5)


# --- the data -----------------------------------------------------------------------------------------------------


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
    ],
)
def test_a_row_that_cannot_be_used_is_an_error_that_says_why(
    make_trainer: MakeTrainer, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_trainer([row])


def test_prompts_with_equal_rewards_are_left_out_unless_asked_for(
    make_trainer: MakeTrainer, caplog: pytest.LogCaptureFixture
) -> None:
    failed = [{**row, "reward": 0.0, "ref_rewards": [0.0, 0.0]} for row in rows(4)]
    with caplog.at_level(logging.INFO, logger="qrpo"):
        trainer = make_trainer(failed + rows())
    assert len(trainer.train_dataset) == 8
    assert "8 of 12 rows; left out 4 of prompts whose rewards are all equal" in caplog.text
    assert len(make_trainer(failed + rows(), drop_all_equal=False).train_dataset) == 12


def test_rows_longer_than_the_limit_are_left_out_not_cut(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(rows(), max_length=5)
    lengths = [len(row["prompt_ids"]) + len(row["completion_ids"]) for row in rows()]
    assert list(trainer.train_dataset["length"]) == [length for length in lengths if length <= 5]
    assert max(lengths) > 5


def test_an_empty_training_set_is_an_error_that_says_why(make_trainer: MakeTrainer) -> None:
    with pytest.raises(ValueError, match=r"0 of 8 rows; left out 0 .* and 8 longer than max_length=2"):
        make_trainer(rows(), max_length=2)


# --- runs ---------------------------------------------------------------------------------------------------------


def test_accumulation_in_four_batches_of_two_equals_one_batch_of_eight(make_trainer: MakeTrainer) -> None:
    whole = make_trainer(rows(16), optim="sgd", max_steps=4)
    parts = make_trainer(
        rows(16), optim="sgd", max_steps=4, per_device_train_batch_size=2, gradient_accumulation_steps=4
    )
    start = parameters(whole).clone()
    for trainer in (whole, parts):
        trainer.train()
    assert (parameters(whole) - start).abs().max() > 1e-3
    torch.testing.assert_close(parameters(parts), parameters(whole), atol=1e-6, rtol=0)
    for line, other in zip(train_log(whole), train_log(parts), strict=True):
        assert line.keys() == other.keys()
        assert {name: other[name] for name in line} == pytest.approx(line, abs=2e-5)


def test_a_resumed_run_has_the_same_tail(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "max_steps": 6,
        "save_steps": 3,
        "save_strategy": "steps",
        "per_device_train_batch_size": 4,
        "train_sampling_strategy": "random",
    }
    whole = make_trainer(rows(16), output_dir=str(tmp_path / "whole"), **options)
    whole.train()
    resumed = make_trainer(rows(16), output_dir=str(tmp_path / "resumed"), **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert train_log(resumed) == train_log(whole)
    assert torch.equal(parameters(resumed), parameters(whole))


def test_gradient_checkpointing_changes_nothing(make_trainer: MakeTrainer) -> None:
    plain, checkpointed = make_trainer(rows()), make_trainer(rows(), gradient_checkpointing=True)
    for trainer in (plain, checkpointed):
        trainer.train()
    assert checkpointed.model.is_activation_checkpointing
    assert not plain.model.is_activation_checkpointing
    torch.testing.assert_close(parameters(checkpointed), parameters(plain))


def test_bf16_autocast_stays_near_float32(make_trainer: MakeTrainer) -> None:
    full, half = make_trainer(rows()), make_trainer(rows(), bf16=True)
    for trainer in (full, half):
        trainer.train()
    assert parameters(half).dtype == torch.float32
    losses, others = ([line["loss"] for line in train_log(trainer)] for trainer in (full, half))
    assert others == pytest.approx(losses, rel=0.1)
    assert others != losses


def test_a_model_in_bf16_has_sums_finer_than_bf16(make_trainer: MakeTrainer, make_model: MakeModel) -> None:
    trainer = make_trainer(rows(), model=make_model().bfloat16())
    sums = torch.tensor(trainer.train_dataset["ref_logps"], dtype=torch.float64)
    assert not torch.equal(sums, sums.bfloat16().double())


def test_lora_trains_only_the_adapter_against_the_model_without_it(
    make_trainer: MakeTrainer, make_model: MakeModel
) -> None:
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM")
    trainer = make_trainer(rows(), peft_config=config, max_steps=5)
    trainer.train()
    losses = [line["loss"] for line in train_log(trainer)]
    assert losses[0] == pytest.approx(0.0990738, abs=1e-6)  # as for the whole model: nothing has moved yet
    assert losses[-1] < losses[0]
    after = {
        name.replace(".base_layer", ""): value for name, value in trainer.model.get_base_model().named_parameters()
    }
    for name, before in make_model().named_parameters():
        assert torch.equal(after[name], before)


def test_model_by_path_with_all_defaults(model_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = QRPOTrainer(model_dir, train_dataset=Dataset.from_list(rows()))
    trainer.train()
    assert trainer.args.output_dir == "model-QRPO"
    assert trainer.state.global_step == 3  # epochs of one step


def test_checkpoint_says_what_made_it(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    make_trainer(rows(), save_strategy="steps", save_steps=3).train()
    assert "2507.08068" in (tmp_path / "out" / "README.md").read_text()


def test_evaluation_logs_the_same_statistics(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(rows(), eval_dataset=Dataset.from_list(rows(6)), per_device_eval_batch_size=4)
    metrics = trainer.evaluate()
    by_hand = [0.270126, 0.270126, 0.072758, 0.072758, 0.000390, 0.000390]  # see test_first_step_by_hand
    assert metrics["eval_loss"] == pytest.approx(sum(by_hand) / 6, abs=1e-6)
    line = trainer.state.log_history[-1]
    assert line["eval_reward"] == pytest.approx(1.0)  # over 6 rows, not over two batches of 4 and 2
    assert line["eval_logratio"] == pytest.approx(0, abs=1e-6)
    assert not trainer._rows["eval"]


def test_predict_gives_logits(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(rows(), eval_dataset=Dataset.from_list(rows()))
    prediction = trainer.predict(trainer.eval_dataset)
    assert prediction.predictions.shape[0] == 8
    assert prediction.predictions.shape[2] == trainer.model.config.vocab_size


# --- reference log-probabilities on disk --------------------------------------------------------------------------


@pytest.fixture
def shared(tmp_path: Path) -> dict[str, str]:
    return {"ref_logps_dir": str(tmp_path / "shared")}


def test_a_run_with_other_options_computes_no_reference(
    make_trainer: MakeTrainer, shared: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_trainer(rows(), **shared)
    expected = list(first.train_dataset["ref_logps"])
    monkeypatch.delattr(KTOTrainer, "compute_ref_log_probs")
    other = {"output_dir": str(tmp_path / "other"), "beta": 0.01, "learning_rate": 1e-4, "transform": "log"}
    second = make_trainer(list(reversed(rows())), **shared, **other)
    assert list(second.train_dataset["ref_logps"]) == expected[::-1]
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    adapter = make_trainer(rows(), **shared, peft_config=config)
    assert list(adapter.train_dataset["ref_logps"]) == expected
    second.train()
    with pytest.raises(AttributeError, match="compute_ref_log_probs"):
        make_trainer(rows(count=9), **shared)  # one row more: the counting itself works


def test_only_missing_rows_are_computed(
    make_trainer: MakeTrainer, shared: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    base = KTOTrainer.compute_ref_log_probs

    def counting(self: KTOTrainer, model: Any, inputs: Any) -> Any:
        computed.append(len(inputs["input_ids"]))
        return base(self, model, inputs)

    monkeypatch.setattr(KTOTrainer, "compute_ref_log_probs", counting)
    make_trainer(rows(6), **shared)
    make_trainer(
        [*rows(9), *rows(9)], **shared
    )  # row 6 is row 0 again, so seven are known, two are new, and each of them is there twice
    assert computed == [6, 2]


@pytest.mark.parametrize("difference", ["weights", "dtype"])
def test_another_reference_shares_nothing(
    make_trainer: MakeTrainer, make_model: MakeModel, shared: dict[str, str], difference: str
) -> None:
    first = make_trainer(rows(), **shared)
    options = {"model": make_model(seed=1)} if difference == "weights" else {"bf16": True}
    second = make_trainer(rows(), **shared, **options)
    assert list(first.train_dataset["ref_logps"]) != list(second.train_dataset["ref_logps"])
    assert len(list(Path(shared["ref_logps_dir"]).iterdir())) == 2


def test_a_damaged_file_is_computed_again(
    make_trainer: MakeTrainer, shared: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    expected = list(make_trainer(rows(), **shared).train_dataset["ref_logps"])
    [file] = Path(shared["ref_logps_dir"]).rglob("*.npz")
    file.write_bytes(file.read_bytes()[:100])
    assert list(make_trainer(rows(), **shared).train_dataset["ref_logps"]) == expected
    assert "computed again" in caplog.text
    caplog.clear()
    make_trainer(rows(), **shared)
    assert "computed again" not in caplog.text


def test_hash_under_an_adapter_is_the_hash_of_the_model_without_it(
    make_trainer: MakeTrainer, make_model: MakeModel
) -> None:
    config = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], modules_to_save=["norm"], task_type="CAUSAL_LM")
    trainer = make_trainer(rows(), peft_config=config)
    assert trainer._ref_logps_cache().folder.name.startswith(trl_utils.hash_module(make_model())[:32])


# --- the optimum --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("transform", "beta"), [("identity", 0.3), ("log", 0.5)])
def test_training_reaches_the_closed_form_optimum(
    make_trainer: MakeTrainer, make_model: MakeModel, transform: str, beta: float
) -> None:
    """All 81 sequences of two of nine words, in two contexts: pi* = pi_ref exp(f(q) / beta) / Z is known exactly.

    The reference is uniform (a head of zeros), so the rewards of all 81 are the rewards of its samples.
    """
    model = make_model()
    torch.nn.init.zeros_(model.lm_head.weight)
    words = range(model.config.vocab_size)
    completions = [[first, second] for first in words for second in words]
    generator = torch.Generator().manual_seed(0)
    data, optima = [], []
    for prompt in ([BOS, 3], [BOS, 4]):
        # 0..80 in a random order, half of it explained by the first word
        noise = torch.rand(81, generator=generator)
        rank = (torch.arange(81) // 9 / 9 + noise).argsort().argsort().double()
        data += [
            {"prompt_ids": prompt, "completion_ids": pair, "reward": reward, "ref_rewards": rank.tolist()}
            for pair, reward in zip(completions, rank.tolist(), strict=True)
        ]
        f = TRANSFORMS[transform].apply((rank + 1) / 81, torch.tensor(81.0))
        optima.append((f / beta).log_softmax(0))
    trainer = make_trainer(
        data,
        model=model,
        transform=transform,
        beta=beta,
        per_device_train_batch_size=162,
        max_steps=130,
        logging_steps=130,
        eval_dataset=Dataset.from_list(data),
        learning_rate=1e-2,
        lr_scheduler_type="cosine",
    )
    start = [float(optimum.exp() @ optimum) + math.log(81) for optimum in optima]  # KL(pi* || uniform)
    assert min(start) > 0.2
    trainer.train()
    policy = torch.tensor([logps_by_hand(model, row) for row in data], dtype=torch.float64).view(2, 81)
    assert policy.exp().sum(1).tolist() == pytest.approx([1, 1])
    for trained, optimum in zip(policy, optima, strict=True):
        assert float(trained.exp() @ (trained - optimum)) < 1e-3
    assert trainer.evaluate()["eval_loss"] < 2e-4
