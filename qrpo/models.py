"""Causal language models, loaded to be sampled from or trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from trl import ModelConfig, get_quantization_config

from qrpo.errors import ModelError
from qrpo.records import Message
from qrpo.vocabulary import Vocabulary

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A model that samples, with its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    end_ids: frozenset[int]
    """Tokens that end a completion."""

    @property
    def device(self) -> torch.device:
        """Where the model's inputs go."""
        return self.model.device

    @property
    def pad_id(self) -> int:
        """Fills the left of shorter prompts; always masked, so any token will do."""
        pad = self.tokenizer.pad_token_id
        return pad if isinstance(pad, int) else min(self.end_ids)

    @property
    def vocabulary(self) -> Vocabulary:
        """The same without the model."""
        return Vocabulary(tokenizer=self.tokenizer, end_ids=self.end_ids)

    def encode(self, prompt: Sequence[Message]) -> list[int]:
        """See `Vocabulary.encode`."""
        return self.vocabulary.encode(prompt)

    def decode(self, token_ids: Sequence[int]) -> str:
        """See `Vocabulary.decode`."""
        return self.vocabulary.decode(token_ids)


def load_policy(name: str, *, dtype: str, revision: str = "main", attn_implementation: str | None = None) -> Policy:
    """Loads a model for sampling, on the GPU where there is one.

    Args:
        name: a folder or an id on the hub (see `qrpo.local_models`).
        dtype: `auto`, `float32`, `bfloat16` or `float16`; `auto` is bfloat16 where the processor has fast
            instructions for it, else float32.
        revision: branch, tag or commit on the hub.
        attn_implementation: as transformers names it; None for its default.

    Raises:
        ModelError: it cannot be loaded; says why.
    """
    tokenizer = load_tokenizer(name, revision=revision)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            name, revision=revision, dtype=sampling_dtype(dtype), attn_implementation=attn_implementation
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"the model {name!r} cannot be loaded: {error}") from error
    model.to(default_device())  # type: ignore[arg-type]  # a decorator hides torch's signature
    model.eval()
    return Policy(model=model, tokenizer=tokenizer, end_ids=end_ids(model, tokenizer))


def load_trainable(options: ModelConfig, name: str) -> PreTrainedModel:
    """Loads a model to be trained; TRL puts it where it belongs.

    Args:
        options: revision, number format, quantisation, attention.
        name: a folder or an id on the hub (see `qrpo.local_models`).

    Raises:
        ModelError: it cannot be loaded; says why.
    """
    try:
        model = AutoModelForCausalLM.from_pretrained(
            name,
            revision=options.model_revision,
            dtype=options.dtype,
            # On a processor the backward pass of PyTorch's fused attention takes most of a step: 0.31 s for a row of
            # 180 tokens of the demo model with plain attention, 0.50 s with the fused one (2 cores).
            attn_implementation=options.attn_implementation or (None if torch.cuda.is_available() else "eager"),
            quantization_config=get_quantization_config(options),
        )
    except (
        OSError,
        ValueError,
        SafetensorError,
        ImportError,
    ) as error:  # ImportError: quantisation without its package
        raise ModelError(f"the model {name!r} cannot be loaded: {error}") from error
    assert isinstance(model, PreTrainedModel)
    return model


def load_tokenizer(name: str, *, revision: str = "main") -> PreTrainedTokenizerBase:
    """Loads a tokenizer.

    Raises:
        ModelError: it cannot be loaded; says why.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
    except (OSError, ValueError) as error:
        raise ModelError(f"the tokenizer of {name!r} cannot be loaded: {error}") from error
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    return tokenizer


def load_vocabulary(name: str, *, revision: str = "main") -> Vocabulary:
    """What `load_policy` gives beside the model, without loading that.

    Raises:
        ModelError: it cannot be loaded; says why.
    """
    tokenizer = load_tokenizer(name, revision=revision)
    try:
        generation = GenerationConfig.from_pretrained(name, revision=revision)
    except OSError:  # where the file is missing, a model takes what its configuration says, and so do we
        generation = GenerationConfig.from_model_config(AutoConfig.from_pretrained(name, revision=revision))
    return Vocabulary(tokenizer=tokenizer, end_ids=_end_ids(generation, tokenizer))


def end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every token that ends a turn: chat models name several, spread over their configuration files.

    Raises:
        ModelError: none is named, so that no completion would ever end.
    """
    return _end_ids(model.generation_config, tokenizer)


def _end_ids(generation: object, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    named = getattr(generation, "eos_token_id", None)
    found = {*(named if isinstance(named, list | tuple) else [named]), tokenizer.eos_token_id}
    ids = frozenset(token for token in found if isinstance(token, int))
    if not ids:
        raise ModelError(f"{tokenizer.name_or_path}: neither model nor tokenizer names an end-of-sequence token")
    return ids


def default_device() -> torch.device:
    """The first GPU, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def sampling_dtype(name: str) -> torch.dtype:
    """A number format by name; see `load_policy` for `auto`.

    Raises:
        ModelError: there is no such format.
    """
    if name == "auto":
        return torch.bfloat16 if has_fast_bfloat16() else torch.float32
    if name not in _DTYPES:
        raise ModelError(f"dtype is {name!r}; it must be auto, {', '.join(_DTYPES)}")
    return _DTYPES[name]


def has_fast_bfloat16() -> bool:
    """Whether bfloat16 matrix products are faster here than float32.

    On processors without instructions for them they are emulated, and slower.
    """
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and "avx512_bf16" in flags.read_text(encoding="utf-8", errors="replace")
