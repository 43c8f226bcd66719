"""TRL's fused head, which gives log-probabilities without logits: at a temperature, and on completions only.

The second and last file that touches TRL's internals, beside `qrpo.trainer`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import trl.trainer.utils as trl_utils
from trl.trainer import kto_trainer


@contextmanager
def heads_at(temperature: float) -> Iterator[None]:
    """Lets the heads that TRL gives to policy and reference divide logits by a temperature."""
    make = kto_trainer.add_fused_lm_head
    kto_trainer.add_fused_lm_head = functools.partial(make, temperature=temperature)
    try:
        yield
    finally:
        kto_trainer.add_fused_lm_head = make


@contextmanager
def head_on_completions_only(device: torch.device) -> Iterator[None]:
    """Lets TRL's fused head skip prompts and padding on the CPU, as it does on a GPU.

    TRL decides by whether Triton runs on the device; elsewhere it scores every position, for the sake of devices that
    compile one kernel per shape. On a CPU that is waste: SmolLM2-135M's head takes 34% (float32) or 50% (bfloat16) of a
    step with prompts of 180 and completions of 70 tokens, and 10% or 20% this way.
    """
    if device.type != "cpu":
        yield
        return
    decide = trl_utils._use_triton  # noqa: SLF001
    trl_utils._use_triton = lambda device: True  # noqa: SLF001
    try:
        yield
    finally:
        trl_utils._use_triton = decide  # noqa: SLF001
