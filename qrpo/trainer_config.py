"""Options of `QRPOTrainer`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from trl.trainer.kto_config import KTOConfig

from qrpo.quantiles import TRANSFORMS, Clip


@dataclass
class QRPOConfig(KTOConfig):
    """Options of `QRPOTrainer`: those of TRL's `KTOConfig` and of transformers' `TrainingArguments`, and these.

    As everywhere in TRL, `bf16` and `gradient_checkpointing` are on unless switched off. Without an accelerator,
    `use_cpu` need not be given.
    """

    beta: float = field(
        default=0.1, metadata={"help": "Weight of the KL to the reference, > 0. Small: trust rewards more."}
    )
    transform: str = field(
        default="identity",
        metadata={"help": "f in f(quantile); its partition function is exact.", "choices": sorted(TRANSFORMS)},
    )
    target_low: float | None = field(
        default=None,
        metadata={"help": "Lowest target log-ratio, nats; about -3 keeps small betas from collapsing. None: no limit."},
    )
    target_high: float | None = field(
        default=None, metadata={"help": "Highest target log-ratio, nats. None: no limit."}
    )
    drop_all_equal: bool = field(
        default=True,
        metadata={
            "help": "Leave out prompts whose rewards are all equal. The paper keeps them; with its treatment of ties "
            "they raise the probability of every completion, failed ones too."
        },
    )
    pass_reward: float = field(
        default=1.0, metadata={"help": "Rewards from here on count as passed in the logged metrics. No other effect."}
    )
    ref_logps_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder where log-probabilities of the reference are kept, by hash of model and tokens; share it "
            "between runs. None: `ref_logps` in the output folder."
        },
    )

    # Other defaults than TRL's.
    precompute_ref_log_probs: bool = field(
        default=True,
        metadata={"help": "Compute the reference's log-probabilities once, before training, and free the reference."},
    )
    max_length: int | None = field(
        default=2048,
        metadata={
            "help": "Longest sequence in tokens. Longer rows are left out, not cut: a reward says nothing about a "
            "part of a completion."
        },
    )
    train_sampling_strategy: str = field(
        default="random",
        metadata={
            "help": "Order of training rows; `group_by_length` wastes least on padding.",
            "choices": ["random", "sequential", "group_by_length"],
        },
    )

    # KTO's own, without a meaning here. This loss type is the one for which TRL builds no mismatched pairs.
    loss_type: str = field(default="apo_zero_unpaired", init=False)
    desirable_weight: float = field(default=1.0, init=False)
    undesirable_weight: float = field(default=1.0, init=False)

    def __post_init__(self) -> None:
        """Checks what can be checked without data.

        Raises:
            ValueError: an option has no usable value.
        """
        if not torch.accelerator.is_available():
            self.use_cpu = True  # else TRL's default of bf16 is refused there
        # transformers 5.23 warns of the old name, which TRL 1.16 sets by default; both mean the same.
        if self.activation_checkpointing is None:
            self.activation_checkpointing = self.gradient_checkpointing
        super().__post_init__()  # type: ignore[no-untyped-call]
        if self.transform not in TRANSFORMS:
            raise ValueError(f"transform must be one of {sorted(TRANSFORMS)}, got {self.transform!r}")
        if not (self.beta > 0 and math.isfinite(self.beta)):
            raise ValueError(f"beta must be positive and finite, got {self.beta!r}")
        Clip(low=self.target_low, high=self.target_high)
