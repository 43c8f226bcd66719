"""Reference log-probabilities that runs share through files."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import trl.trainer.utils as trl_utils
from peft import LoraConfig
from transformers import LlamaForCausalLM
from trl.trainer.kto_trainer import KTOTrainer

from qrpo.reference import hash_model, numbers_of
from qrpo.trainer import QRPOConfig, QRPOTrainer

# TRL 1.16 calls by their old names what transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")

EOS, BOS = 0, 1
MakeModel = Callable[..., LlamaForCausalLM]
MakeRows = Callable[..., list[dict[str, Any]]]
MakeTrainer = Callable[..., QRPOTrainer]
LogpsByHand = Callable[[LlamaForCausalLM, dict[str, Any]], float]


@pytest.fixture
def shared(tmp_path: Path) -> dict[str, str]:
    return {"ref_logps_dir": str(tmp_path / "shared")}


def test_a_run_with_other_options_computes_no_reference(
    make_trainer: MakeTrainer, shared: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: MakeRows
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
    make_trainer: MakeTrainer, shared: dict[str, str], monkeypatch: pytest.MonkeyPatch, rows: MakeRows
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
    make_trainer: MakeTrainer, make_model: MakeModel, shared: dict[str, str], difference: str, rows: MakeRows
) -> None:
    first = make_trainer(rows(), **shared)
    options = {"model": make_model(seed=1)} if difference == "weights" else {"bf16": True}
    second = make_trainer(rows(), **shared, **options)
    assert list(first.train_dataset["ref_logps"]) != list(second.train_dataset["ref_logps"])
    assert len(list(Path(shared["ref_logps_dir"]).iterdir())) == 2


def test_a_damaged_file_is_computed_again(
    make_trainer: MakeTrainer, shared: dict[str, str], caplog: pytest.LogCaptureFixture, rows: MakeRows
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
    make_trainer: MakeTrainer, make_model: MakeModel, rows: MakeRows
) -> None:
    config = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], modules_to_save=["norm"], task_type="CAUSAL_LM")
    trainer = make_trainer(rows(), peft_config=config)
    assert trainer._ref_logps_cache().folder.name.startswith(trl_utils.hash_module(make_model())[:32])


def test_a_model_in_another_format_has_another_hash_which_is_trls(make_model: MakeModel) -> None:
    """The numbers themselves are the same."""
    narrow = make_model().to(torch.bfloat16)
    hashes = [hash_model(model, frozen_only=False) for model in (narrow, copy.deepcopy(narrow).float())]
    assert hashes[0] == trl_utils.hash_module(narrow)
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize(
    ("options", "weights", "sharding", "name"),
    [
        ({"bf16": False}, "float32", None, "float32"),
        ({"bf16": False}, "bfloat16", "fsdp", "bfloat16"),
        ({"bf16": True}, "float32", None, "bf16"),
        ({"bf16": True}, "float32", "deepspeed", "bf16-deepspeed"),
        ({"bf16": False, "fp16": True}, "float32", "fsdp", "fp16-fsdp"),
        ({"bf16": True, "temperature": 0.5}, "float32", "fsdp", "bf16-fsdp-T0.5"),
    ],
)
def test_what_log_probabilities_are_computed_in_has_a_name(
    options: dict[str, Any], weights: str, sharding: str | None, name: str
) -> None:
    args = QRPOConfig("out", use_cpu=True, temperature=options.pop("temperature", 1.0), bf16=False)
    for option, value in options.items():
        setattr(args, option, value)
    assert numbers_of(args, weights=weights, sharding=sharding) == name
