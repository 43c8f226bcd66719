"""TRL's fused head, which gives log-probabilities without logits: at a temperature, on completions only, prompts once.

The second and last file that touches TRL's internals, beside `qrpo.trainer`.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import trl.trainer.utils as trl_utils
from peft import PeftConfig, PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput
from trl.trainer import kto_trainer
from trl.trainer.utils import FusedCausalLMOutput

from qrpo.shared_prompts import MODEL_TYPES, Cost, lines_of

_SHARED = frozenset({"labels", "fused_lm_head", "use_cache"})
"""What calls give that share prompts: with a cache, as of prefix tuning, or positions a row is more than its tokens."""
_ATTENTION = ("sdpa", "eager")
"""Implementations that take a mask as it is given."""
_CPU_TILE = 4096
"""Words of the vocabulary at a time."""
_PER_TOKEN = frozenset({"log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1"})


@contextmanager
def heads(temperature: float, *, share_prompts: bool) -> Iterator[None]:
    """Lets the heads that TRL gives to policy and reference divide logits by a temperature, and share prompts."""
    make = kto_trainer.add_fused_lm_head

    def add(model: PreTrainedModel, outputs: tuple[str, ...] = ("log_probs",)) -> None:
        make(model, temperature=temperature, outputs=outputs)
        if share_prompts:
            _share(model)

    kto_trainer.add_fused_lm_head = add  # type: ignore[assignment]  # with the arguments that KTO gives
    try:
        yield
    finally:
        kto_trainer.add_fused_lm_head = make


def can_share(model: PreTrainedModel) -> bool:
    """Whether prompts of a batch's rows can be computed once: see `qrpo.shared_prompts`."""
    config = model.config.get_text_config()
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    return (
        config.model_type in MODEL_TYPES
        and _attention(model) in _ATTENTION
        and layers == {"full_attention"}
        and (getattr(config, "sliding_window", None) is None or not getattr(config, "use_sliding_window", True))
    )


def _attention(model: PreTrainedModel) -> str:
    return str(model.config.get_text_config()._attn_implementation)  # noqa: SLF001  # there is no other name for it


def is_told_by_tokens(model: str | nn.Module, peft_config: PeftConfig | None) -> bool:
    """Whether an adapter looks for tokens in each row to know where it begins (aLoRA)."""
    given = [peft_config, *(model.peft_config.values() if isinstance(model, PeftModel) else ())]
    return any(getattr(config, "alora_invocation_tokens", None) for config in given)


def _share(model: PreTrainedModel) -> None:
    """Lets calls of the fused head compute each prompt once; also those of copies of the model."""
    forward: Callable[..., ModelOutput] = model.forward.__func__  # type: ignore[attr-defined]  # TRL has bound it

    @functools.wraps(forward)
    def shared(
        self: PreTrainedModel, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **more: Any
    ) -> ModelOutput:
        lines = None
        if input_ids is not None and more.get("fused_lm_head") and more.keys() <= _SHARED and can_share(self):
            lines = lines_of(input_ids, more["labels"], Cost(self.config.get_text_config().hidden_size))
        if lines is None:
            return forward(self, input_ids=input_ids, attention_mask=attention_mask, **more)
        mask = lines.attention_mask()
        if _attention(self) == "eager":  # which adds it
            hidden = torch.finfo(self.dtype).min
            mask = torch.zeros(mask.shape, dtype=self.dtype, device=mask.device).masked_fill(~mask, hidden)
        found = forward(
            self,
            input_ids=lines.input_ids,
            attention_mask=mask,
            position_ids=lines.position_ids,
            **more | {"labels": lines.labels},
        )
        shape = more["labels"][:, 1:].shape
        spread = {name: lines.spread(value, shape) for name, value in found.items() if name in _PER_TOKEN}
        return FusedCausalLMOutput(**spread)

    model.forward = types.MethodType(shared, model)


@contextmanager
def head_fit_for(device: torch.device) -> Iterator[None]:
    """Lets TRL's fused head skip prompts and padding on a CPU, as it does on a GPU, and keep its tiles small there.

    TRL decides by whether Triton runs on the device; elsewhere it scores every position, for the sake of devices that
    compile one kernel per shape. On a CPU that is waste: SmolLM2-135M's head takes 34% (float32) or 50% (bfloat16) of a
    step with prompts of 180 and completions of 70 tokens, and 10% or 20% this way. And what is one kernel with Triton
    is a dozen operations there, with about eight copies of a tile: 1 GB of them for 1000 tokens, by TRL's width.

    The backward pass, which may be after the block, has the tiles of its forward pass.
    """
    if device.type != "cpu":
        yield
        return
    decide, width = trl_utils._use_triton, trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE  # noqa: SLF001
    trl_utils._use_triton = lambda device: True  # noqa: SLF001
    trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE = min(width, _CPU_TILE)  # noqa: SLF001
    try:
        yield
    finally:
        trl_utils._use_triton = decide  # noqa: SLF001
        trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE = width  # noqa: SLF001
