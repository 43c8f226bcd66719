"""Options that say how models are compared."""

from __future__ import annotations

from dataclasses import dataclass, field

from qrpo.data_options import at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateConfig:
    """How the model is compared before and after."""

    eval_completions: int = field(default=8, metadata={"help": "Completions per problem, before and after each."})
    eval_batch_completions: int | None = field(
        default=None,
        metadata={"help": "Completions sampled at a time, by transformers with two models in memory. null: as before."},
    )
    eval_temperature: float = field(default=1.0, metadata={"help": "1 is the policy that was trained."})
    eval_top_p: float = field(
        default=1.0,
        metadata={
            "help": "Completions are drawn from the likeliest tokens that have this probability together. Below 1 what "
            "is told as KL is a mean over such completions, and no unbiased estimate."
        },
    )
    eval_seeds: int = field(
        default=1,
        metadata={
            "help": "Sampling seeds: each draws eval_completions per problem, with the same numbers before and after."
        },
    )
    eval_checkpoints: bool = field(
        default=False,
        metadata={
            "help": "Also evaluate every checkpoint on the held-out problems, choose the best on one half of them and "
            "report it on the other. They must all be kept: see save_total_limit."
        },
    )
    pass_k: int | None = field(
        default=None, metadata={"help": "k of the second pass@k beside pass@1. null: eval_completions."}
    )
    kl_completions: int = field(
        default=2, metadata={"help": "Completions per problem over which the KL to the reference is estimated."}
    )
    bootstrap_samples: int = field(default=10_000, metadata={"help": "Resamplings of the problems for intervals."})

    def __post_init__(self) -> None:
        """Checks the numbers."""
        at_least(
            1,
            self,
            "eval_completions",
            "eval_batch_completions",
            "eval_seeds",
            "pass_k",
            "kl_completions",
            "bootstrap_samples",
        )
        if not self.eval_temperature > 0:
            raise ValueError(f"eval_temperature is {self.eval_temperature}; it must be greater than 0")
        if not 0 < self.eval_top_p <= 1:
            raise ValueError(f"eval_top_p is {self.eval_top_p}; it must be greater than 0 and at most 1")
        for name, most in (
            ("pass_k", self.eval_completions),
            ("kl_completions", self.eval_completions * self.eval_seeds),
        ):
            value = getattr(self, name)
            if value is not None and value > most:
                times = " times eval_seeds" if name == "kl_completions" else ""
                raise ValueError(f"{name} is {value}; it cannot exceed eval_completions{times}, {most}")
