"""Options of `QRPOTrainer`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

import torch
from trl.trainer.kto_config import KTOConfig

from qrpo.losses import DISTANCES, distance_named
from qrpo.objectives import ALGORITHMS, Dpo, Objective, Qrpo, Rebel, Sft, SimPo
from qrpo.targets import TIES, Clip, TargetRule
from qrpo.transforms import TRANSFORMS, transform_named

LOG_Z = ("closed_form", "profiled")

_USED_BY = {
    **dict.fromkeys(("transform", "transform_power", "ties", "log_z", "distance", "huber_delta"), ("qrpo",)),
    **dict.fromkeys(("normalize_beta_by_length", "target_low", "target_high"), ("qrpo",)),
    "simpo_margin": ("simpo",),
    "beta": ("qrpo", "dpo", "rebel", "simpo"),
}
"""Options of the loss that are not of all algorithms."""


@dataclass
class QRPOConfig(KTOConfig):
    """Options of `QRPOTrainer`: those of TRL's `KTOConfig` and of transformers' `TrainingArguments`, and these.

    As everywhere in TRL, `bf16` and `gradient_checkpointing` are on unless switched off. Without an accelerator,
    `use_cpu` need not be given.
    """

    beta: float = field(
        default=0.1, metadata={"help": "Weight of the KL to the reference, > 0. Small: trust rewards more."}
    )
    algorithm: str = field(
        default="qrpo",
        metadata={
            "help": "What is minimised: qrpo and sft take completions, dpo, rebel and simpo take pairs of them.",
            "choices": list(ALGORITHMS),
        },
    )
    simpo_margin: float = field(
        default=0.5, metadata={"help": "gamma / beta of SimPO: by how much chosen is to lead rejected, nats per token."}
    )
    transform: str = field(
        default="identity",
        metadata={"help": "f in f(quantile); its partition function is exact.", "choices": list(TRANSFORMS)},
    )
    transform_power: float | None = field(
        default=None, metadata={"help": "p of the transform `power`, f(t) = t^p, > 0; only there."}
    )
    ties: str = field(
        default="le",
        metadata={
            "help": "Which quantile a reward has that several references have: see docs/algorithm.md. le: the paper's.",
            "choices": list(TIES),
        },
    )
    log_z: str = field(
        default="closed_form",
        metadata={
            "help": "log Z of a prompt. closed_form: the transform's, which is exact where rewards do not tie. "
            "profiled: what fits the prompt's rows in the batch best, so that only their differences are learnt from; "
            "right for every distribution of rewards. It needs rows of one prompt in a batch: train_sampling_strategy "
            "group_by_prompt, and a batch size of two at least.",
            "choices": list(LOG_Z),
        },
    )
    distance: str = field(
        default="mse",
        metadata={"help": "Of log-ratio and target: mse (the paper's), mae, huber.", "choices": list(DISTANCES)},
    )
    huber_delta: float = field(
        default=0.1, metadata={"help": "Where `huber` goes over from square to straight, in units of the reward, > 0."}
    )
    normalize_beta_by_length: bool = field(
        default=False,
        metadata={
            "help": "Divide beta by a completion's tokens, so that long ones do not have larger log-ratios to fit. "
            "The partition function stays exact, as it depends on beta alone."
        },
    )
    temperature: float = field(
        default=1.0,
        metadata={
            "help": "The policy, and the reference, are the model at this temperature: its logits are divided by it "
            "in all log-probabilities. That at which the completions were sampled, > 0."
        },
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
            "help": "Leave out prompts whose rewards are all equal, and pairs with equal rewards. The paper keeps "
            "them: with its treatment of ties they raise the probability of every completion, failed ones too."
        },
    )
    pass_reward: float = field(
        default=1.0, metadata={"help": "Rewards from here on count as passed in the logged metrics. No other effect."}
    )
    collapse_nats: float | None = field(
        default=5.0,
        metadata={
            "help": "Warn, once, when passing completions have lost so much log-probability to the reference on "
            "average, nats, > 0. None: never. No other effect."
        },
    )
    ref_logps_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder where log-probabilities of the reference are kept, by hash of model and tokens; share it "
            "between runs. None: `ref_logps` in the output folder."
        },
    )

    share_prompts: bool = field(
        default=True,
        metadata={
            "help": "Compute a prompt once for the rows of a batch that have it, where that saves time: of models that "
            "`qrpo.shared_prompts` lists, with attention of sdpa or eager. The same numbers up to rounding."
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
            "help": "Order of training rows; `group_by_length` wastes least on padding, `group_by_prompt` keeps the "
            "rows of a prompt together, see share_prompts.",
            "choices": ["random", "sequential", "group_by_length", "group_by_prompt"],
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
        self.target_rule()
        if not self.objective().uses_reference:
            self.precompute_ref_log_probs = True  # none are computed, and TRL loads no reference
        for name in ("target_low", "target_high"):
            limit = getattr(self, name)
            if limit is not None and math.isnan(limit):
                raise ValueError(f"{name} must be a number or none, got {limit!r}")
        for name, least in (
            ("learning_rate", 0),
            ("per_device_train_batch_size", 1),
            ("gradient_accumulation_steps", 1),
        ):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)!r}")
        for name in ("beta", "huber_delta", "temperature", "collapse_nats"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be positive and finite, got {value!r}")
        self._check_log_z()

    def _check_log_z(self) -> None:
        if self.log_z not in LOG_Z:
            raise ValueError(f"log_z must be one of {', '.join(LOG_Z)}, got {self.log_z!r}")
        if not self.profiles_log_z:
            return
        if self.distance != "mse":
            raise ValueError(f"log_z is 'profiled', which is of least squares, but distance is {self.distance!r}")
        if (
            self.train_sampling_strategy not in ("group_by_prompt", "sequential")
            or self.per_device_train_batch_size < 2
        ):
            raise ValueError(
                "log_z is 'profiled', which compares the rows of a prompt that are in one batch, but "
                f"train_sampling_strategy is {self.train_sampling_strategy!r} and per_device_train_batch_size "
                f"{self.per_device_train_batch_size}; give group_by_prompt and 2 at least"
            )
        if self.per_device_eval_batch_size < 2:  # as above
            raise ValueError("log_z is 'profiled', of which batches of 1 tell nothing; per_device_eval_batch_size is 1")

    @property
    def profiles_log_z(self) -> bool:
        """Whether log Z is that of the rows in a batch: see `qrpo.losses.profiled`."""
        return self.algorithm == "qrpo" and self.log_z == "profiled"

    def objective(self) -> Objective:
        """What is minimised.

        Raises:
            ValueError: an option has no usable value.
        """
        distance = distance_named(self.distance)
        match self.algorithm:
            case "qrpo":
                return Qrpo(distance=distance, delta=self.huber_delta, profiles_log_z=self.profiles_log_z)
            case "sft":
                return Sft()
            case "dpo":
                return Dpo(beta=self.beta)
            case "rebel":
                return Rebel(beta=self.beta)
            case "simpo":
                return SimPo(beta=self.beta, margin=self.simpo_margin)
        raise ValueError(f"algorithm must be one of {', '.join(ALGORITHMS)}, got {self.algorithm!r}")

    def unused(self) -> dict[str, object]:
        """Those of `_USED_BY` that have another value than by default, and that the algorithm has no use for."""
        defaults = {option.name: option.default for option in fields(self)}
        of_others = [name for name, algorithms in _USED_BY.items() if self.algorithm not in algorithms]
        return {name: value for name in of_others if (value := getattr(self, name)) != defaults[name]}

    def target_rule(self) -> TargetRule:
        """From rewards to targets.

        Raises:
            ValueError: an option has no usable value.
        """
        return TargetRule(
            transform=transform_named(self.transform, self.transform_power),
            ties=self.ties,  # type: ignore[arg-type]  # checked there
            clip=Clip(low=self.target_low, high=self.target_high),
        )
