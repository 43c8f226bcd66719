import shutil
from pathlib import Path

import pytest
import torch
from trl import ModelConfig

from qrpo.errors import ModelError
from qrpo.models import end_ids, load_policy, load_trainable
from qrpo.records import Message


def test_a_folder_without_a_model_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be loaded"):
        load_policy(str(tmp_path), dtype="float32")


def test_an_unknown_dtype_is_an_error(code_model_dir: Path) -> None:
    with pytest.raises(ModelError, match="float8"):
        load_policy(str(code_model_dir), dtype="float8")


def test_a_model_without_chat_template_is_refused_when_a_prompt_is_encoded(code_model_dir: Path) -> None:
    policy = load_policy(str(code_model_dir), dtype="float32")
    policy.tokenizer.chat_template = None
    with pytest.raises(ModelError, match="chat template"):
        policy.encode([Message(role="user", content="double")])


def test_every_end_token_of_model_and_tokenizer_counts(code_model_dir: Path) -> None:
    policy = load_policy(str(code_model_dir), dtype="float32")
    policy.model.generation_config.eos_token_id = [0, 5]
    assert end_ids(policy.model, policy.tokenizer) == {0, 5}
    policy.model.generation_config.eos_token_id = None
    assert end_ids(policy.model, policy.tokenizer) == {0}


def test_a_model_for_training_has_the_dtype_asked_for(code_model_dir: Path) -> None:
    options = ModelConfig(model_name_or_path=str(code_model_dir), dtype="bfloat16")
    assert load_trainable(options, str(code_model_dir)).dtype == torch.bfloat16


def test_damaged_weights_are_an_error_that_names_the_model(code_model_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(code_model_dir, folder)
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:100])
    for load in (
        lambda: load_policy(str(folder), dtype="float32"),
        lambda: load_trainable(ModelConfig(), str(folder)),
    ):
        with pytest.raises(ModelError, match="cannot be loaded"):
            load()
