"""A trainer's reference model, in whatever it is wrapped: its hash, number format and batches; itself in shards."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from accelerate import Accelerator
from peft import PeftModel
from torch import nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled
from trl.models import prepare_fsdp

from qrpo.encoding import Tokens, padded
from qrpo.trainer_config import QRPOConfig

Gathered = Callable[[torch.Tensor], AbstractContextManager[object]]
"""Makes a tensor whole on all processes, inside the block."""


def reference_of(model: str | nn.Module, *, adapter: bool) -> PreTrainedModel | None:
    """A copy of the model as it is now; None where TRL knows one: the model under an adapter, or the one of that name.

    To TRL a model is what lies under its name, whatever its weights have become since.

    Args:
        model: what is to be trained.
        adapter: an adapter is put on it.
    """
    if adapter or not isinstance(model, PreTrainedModel) or is_deepspeed_zero3_enabled():  # whose parts have no copy
        return None
    return copy.deepcopy(model)


def hash_model(model: nn.Module, *, frozen_only: bool, gathered: Gathered = nullcontext) -> str:
    """The hash of a model's weights, that of `trl.trainer.utils.hash_module`; the same on all processes.

    Args:
        model: not wrapped by an engine.
        frozen_only: leave out what is trained. With a PEFT adapter what is left is the model without it, so that full
            fine-tuning and LoRA share what they know of the reference.
        gathered: for weights of which each process has a part.
    """
    tensors = {
        # PEFT's names for what it wraps
        name.removeprefix("base_model.model.").replace(".base_layer.", ".").replace(".original_module.", "."): tensor
        for name, tensor in model.state_dict(keep_vars=True).items()
        if not (frozen_only and tensor.requires_grad)
    }
    sha = hashlib.sha256()
    for name in sorted(tensors):
        with gathered(tensors[name]):
            tensor = tensors[name].detach().cpu()
            sha.update(str(tensor.dtype).encode())
            if tensor.dtype in {torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2}:
                tensor = tensor.float()  # numpy has no such types
            sha.update(tensor.numpy().tobytes())
    return sha.hexdigest()


def reference_hash(model: nn.Module, *, without_adapter: bool, whole: str | None) -> str:
    """The hash of the reference.

    Args:
        model: the reference, or the policy where that is the same; not wrapped by an engine.
        without_adapter: the reference is the model under a PEFT adapter.
        whole: the hash of all weights, as TRL has it.
    """
    if is_deepspeed_zero3_enabled():  # which leaves empty parameters on each process: to TRL all models are one
        return hash_model(model, frozen_only=without_adapter, gathered=gathered_by_deepspeed)
    assert whole is not None  # TRL has it wherever it asks for reference log-probabilities beforehand
    return hash_model(model, frozen_only=True) if without_adapter else whole


def gathered_by_deepspeed(tensor: torch.Tensor) -> AbstractContextManager[object]:
    """See `Gathered`: of ZeRO-3."""
    import deepspeed  # imported late, as TRL does: it changes the process

    block: AbstractContextManager[object] = deepspeed.zero.GatheredParameters([tensor])
    return block


def batches_of(
    sequences: list[Tokens], *, batch_size: int, multiple: int | None, accelerator: Accelerator
) -> DataLoader[Tokens]:
    """Padded batches in order, dealt to the processes."""
    loader: DataLoader[Tokens] = DataLoader(
        sequences,  # type: ignore[arg-type]  # a list will do
        batch_size=batch_size,
        collate_fn=partial(padded, multiple=multiple),
    )
    prepared: DataLoader[Tokens] = accelerator.prepare(loader)
    return prepared


def numbers_of(args: QRPOConfig, *, weights: str, sharding: str | None) -> str:
    """Names what log-probabilities are computed in: the same weights differ by up to some nats per completion.

    Args:
        args: of the trainer.
        weights: their type.
        sharding: by what, if at all.
    """
    name = weights
    if args.bf16 or args.fp16:
        name = "bf16" if args.bf16 else "fp16"
        # Autocast computes some of it in float32; what shards casts the weights.
        name += f"-{sharding}" if sharding is not None else ""
    return name if args.temperature == 1.0 else f"{name}-T{args.temperature:g}"


def sharded_without_adapter(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    """The reference under FSDP before training, which shards the policy; till then TRL leaves that on the CPU."""
    copied = copy.deepcopy(model)
    assert isinstance(copied, PeftModel)  # else TRL has loaded a reference
    if "ref" in copied.peft_config:
        copied.set_adapter("ref")
    else:
        copied.base_model.disable_adapter_layers()  # type: ignore[operator]  # PEFT hands on what the model has
    for parameter in copied.parameters():
        parameter.requires_grad = False
    sharded = prepare_fsdp(copied, accelerator)
    assert isinstance(sharded, nn.Module)
    return sharded
