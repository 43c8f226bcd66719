"""Batches in which each prompt is computed once: which token sees which, and that the numbers stay the same."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from peft import PrefixTuningConfig
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM, PreTrainedModel, set_seed
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from trl.trainer import kto_trainer

from qrpo.encoding import Tokens, padded
from qrpo.prompt_order import PromptSampler
from qrpo.shared_prompts import MODEL_TYPES, Cost, Lines, lines_of
from qrpo.trainer import QRPOConfig, QRPOTrainer
from qrpo.trl_head import can_share, heads

# TRL 1.16 calls by their old names what transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")

MakeTrainer = Callable[..., QRPOTrainer]
COST = Cost(16)
IDS = st.integers(3, 8)
PROMPTS = st.lists(st.lists(IDS, min_size=1, max_size=5), min_size=1, max_size=3)


@st.composite
def batches(draw: st.DrawFn) -> list[Tokens]:
    prompts = draw(PROMPTS)
    completions = st.lists(IDS, min_size=1, max_size=6)
    return draw(st.lists(st.builds(Tokens, st.sampled_from(prompts), completions), min_size=1, max_size=8))


def as_batch(rows: list[Tokens]) -> tuple[torch.Tensor, torch.Tensor]:
    batch = padded(rows, None)
    return batch["input_ids"], batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)


@given(rows=batches())
def test_each_prediction_sees_its_own_row_and_nothing_else(rows: list[Tokens]) -> None:
    ids, labels = as_batch(rows)
    lines = lines_of(ids, labels, COST)
    if lines is None:
        return
    seen = dict(zip(lines.places.tolist(), lines.rows.tolist(), strict=True))
    assert len(seen) == sum(len(row.completion_ids) for row in rows)
    mask, length, width = lines.attention_mask(), lines.input_ids.shape[1] - 1, ids.shape[1] - 1
    for place, row in seen.items():
        line, at = divmod(place, length)
        number, before = divmod(row, width)
        visible = mask[line, 0, at]
        assert lines.input_ids[line][visible].tolist() == ids[number, : before + 1].tolist()
        assert lines.position_ids[line][visible].tolist() == list(range(before + 1))
        assert lines.labels[line, at + 1] == labels[number, before + 1]


def test_a_batch_of_different_prompts_stays_as_it_is() -> None:
    assert lines_of(*as_batch([Tokens([1, 2, number], [3]) for number in range(4, 8)]), COST) is None


def test_a_row_without_a_prompt_or_a_completion_leaves_the_batch_as_it_is() -> None:
    ids = torch.tensor([[3, 4, 5, 6]] * 4)
    for label in (ids, torch.full_like(ids, -100)):
        assert lines_of(ids, label, COST) is None


def test_rows_share_a_line_while_attention_over_it_costs_less_than_their_prompts() -> None:
    rows = [Tokens([*range(3, 503)], [number] * 324) for number in range(12)]
    lines = lines_of(*as_batch(rows), COST)
    assert lines is not None
    in_line = [len(set(line.tolist()) - {0, -1}) for line in lines.segments]
    cost = [Cost(16)(499 + count * 325) for count in range(8)]
    most = max(count for count in range(2, 8) if cost[count] <= cost[count - 1] + Cost(16)(824))
    assert in_line == [most] * (12 // most)


def test_rows_whose_prompts_are_short_beside_completions_stay_as_they_are() -> None:
    rows = [Tokens([*range(3, 63)], [number] * 180) for number in range(8)]
    assert lines_of(*as_batch(rows), COST) is None


def test_values_go_to_where_the_rows_have_them() -> None:
    rows = [Tokens([5, 6], [7, 8]), Tokens([5, 6], [9])]
    lines = lines_of(*as_batch(rows), COST)
    assert isinstance(lines, Lines)
    values = torch.arange(lines.input_ids.shape[1] - 1.0)[None]
    assert lines.spread(values, torch.Size((2, 3))).tolist() == [[0, 1, 2], [0, 4, 0]]


def tiny(model_type: str, attention: str = "sdpa", **options: Any) -> PreTrainedModel:
    set_seed(0)
    config = AutoConfig.for_model(
        model_type,
        **{
            "vocab_size": 9,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "max_position_embeddings": 64,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 0,
            "sliding_window": None,
            "initializer_range": 0.5,  # so that what a token sees makes a difference
            **options,
        },
    )
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    return model


ROWS = [
    Tokens([3, 4, 5, 6, 7], [8, 3]),
    Tokens([3, 4, 5, 6, 7], [4, 4, 5]),
    Tokens([5, 3], [6]),
    Tokens([3, 4, 5, 6, 7], [8]),
]


def computed(model: Any, *, share: bool) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], int]:
    """Log-probabilities and entropies of these rows, the gradients of a loss of them, and how many tokens it took."""
    with heads(1.0, share_prompts=share):
        kto_trainer.add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    tokens: list[int] = []
    model.base_model.register_forward_pre_hook(
        lambda module, positional, named: tokens.append(named["input_ids"].numel()), with_kwargs=True
    )
    ids, labels = as_batch(ROWS)
    mask = padded(ROWS, None)["attention_mask"]
    outputs = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    (outputs.log_probs.sum(1) ** 2).sum().backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    return {"log_probs": outputs.log_probs, "entropy": outputs.entropy}, gradients, sum(tokens)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("model_type", sorted(MODEL_TYPES))
def test_the_numbers_and_gradients_of_each_kind_of_model_stay_the_same(model_type: str, attention: str) -> None:
    alone, gradients, tokens = computed(tiny(model_type, attention), share=False)
    shared, others, fewer = computed(tiny(model_type, attention), share=True)
    assert (tokens, fewer) == (32, 26)
    for name, value in alone.items():
        torch.testing.assert_close(shared[name], value, atol=2e-5, rtol=1e-5)
    assert gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        assert (others[name] - gradient).abs().max() < 1e-4 * gradient.abs().max()


@pytest.mark.parametrize(
    ("model_type", "options"),
    [
        ("mistral", {"sliding_window": 4}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 4}),
        ("gpt_neox", {}),
    ],
)
def test_models_that_see_less_or_are_not_known_do_not_share(model_type: str, options: dict[str, Any]) -> None:
    assert not can_share(tiny(model_type, **options))


def test_layers_that_see_less_do_not_share() -> None:
    model = tiny("qwen3")
    model.config.layer_types = ["full_attention", "sliding_attention"]
    assert not can_share(model)


def test_sharing_ends_where_attention_becomes_another() -> None:
    model: Any = tiny("llama")
    before, _, _ = computed(model, share=True)
    AttentionInterface.register("another", sdpa_attention_forward)
    AttentionMaskInterface.register("another", sdpa_mask)
    model.set_attn_implementation("another")
    after, _, tokens = computed(model, share=True)
    assert tokens == 32
    torch.testing.assert_close(after["log_probs"], before["log_probs"], atol=2e-5, rtol=1e-5)


def test_a_copy_computes_with_its_own_weights() -> None:
    model = tiny("llama")
    expected, _, _ = computed(tiny("llama"), share=False)
    computed(model, share=True)
    other = copy.deepcopy(model)
    for weight in model.parameters():
        weight.data.zero_()
    ids, labels = as_batch(ROWS)
    for rows in (slice(0, 4), slice(2, 3)):  # such as share, and one alone
        mask = padded(ROWS, None)["attention_mask"][rows]
        found = other(input_ids=ids[rows], attention_mask=mask, labels=labels[rows], fused_lm_head=True)
        torch.testing.assert_close(found.log_probs, expected["log_probs"][rows], atol=2e-5, rtol=1e-5)


def pairs_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "prompt_ids": row["prompt_ids"],
            "chosen_ids": row["completion_ids"],
            "rejected_ids": [3, 3, 0],
            "chosen_reward": 1.0,
            "rejected_reward": 0.0,
        }
        for row in rows
    ]


def test_rows_that_are_more_than_their_tokens_do_not_share(
    make_trainer: MakeTrainer, rows: Callable[..., list[dict[str, Any]]]
) -> None:
    data = [{**row, "prompt_ids": row["prompt_ids"] * 5} for row in rows(16)]
    peft = PrefixTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM")
    logs = []
    for share in (False, True):
        torch.manual_seed(0)
        trainer = make_trainer(data, share_prompts=share, peft_config=peft)
        trainer.train()
        logs.append([line["loss"] for line in trainer.state.log_history if "loss" in line])
    assert logs[0] == logs[1]


def test_rows_of_a_prompt_come_together_if_they_are_to(
    make_trainer: MakeTrainer, rows: Callable[..., list[dict[str, Any]]]
) -> None:
    data = [{**row, "prompt_ids": [*row["prompt_ids"] * 5, 3 + k // 4]} for k, row in enumerate(rows(24))]
    trainer = make_trainer(data, train_sampling_strategy="group_by_prompt", data_seed=5)
    sampler = trainer._get_train_sampler()
    assert isinstance(sampler, PromptSampler)
    prompts = [tuple(row["prompt_ids"]) for row in trainer.train_dataset]
    assert list(sampler) == list(PromptSampler(prompts, 5, lambda: 0))
    trainer.state.epoch = 1.5
    assert list(sampler) == list(PromptSampler(prompts, 5, lambda: 1))


def test_a_stream_of_rows_has_no_prompts_to_keep_together(
    make_model: Callable[..., Any], rows: Callable[..., list[dict[str, Any]]], tokenizer: Any, tmp_path: Path
) -> None:
    options = {"use_cpu": True, "bf16": False, "max_steps": 1, "train_sampling_strategy": "group_by_prompt"}
    args = QRPOConfig(str(tmp_path), precompute_ref_log_probs=False, **options)
    stream = Dataset.from_list(rows(8)).to_iterable_dataset()
    with pytest.raises(ValueError, match="a stream has not"):
        QRPOTrainer(make_model(), args=args, train_dataset=stream, processing_class=tokenizer)


@pytest.mark.parametrize("algorithm", ["qrpo", "dpo", "simpo"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_training_that_shares_prompts_has_the_same_steps(
    make_trainer: MakeTrainer, rows: Callable[..., list[dict[str, Any]]], algorithm: str, *, checkpointing: bool
) -> None:
    data = [{**row, "prompt_ids": row["prompt_ids"] * 5} for row in rows(16)]
    if algorithm != "qrpo":
        data = pairs_of(data)
    logs, tokens = [], []
    for share in (False, True):
        trainer = make_trainer(
            data, algorithm=algorithm, share_prompts=share, gradient_checkpointing=checkpointing, optim="sgd"
        )
        computed_tokens: list[int] = []
        trainer.model.base_model.register_forward_pre_hook(
            lambda module, positional, named, found=computed_tokens: found.append(named["input_ids"].numel()),
            with_kwargs=True,
        )
        trainer.train()
        logs.append([line for line in trainer.state.log_history if "loss" in line])
        tokens.append(sum(computed_tokens))
    assert tokens[1] < 0.8 * tokens[0]
    assert len(logs[0]) == 3
    for line, other in zip(*logs, strict=True):
        line.pop("accuracy", None)  # before the first step margins are rounding
        assert {name: other[name] for name in line} == pytest.approx(line, rel=1e-4, abs=2e-4)
