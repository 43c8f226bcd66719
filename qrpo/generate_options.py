"""Options that say how completions are sampled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

from qrpo.data_options import at_least
from qrpo.sampling import StopAfter

GENERATORS = ("transformers", "vllm", "answers")


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateConfig:
    """Reference completions; always from the whole distribution at temperature 1."""

    generator: str = field(
        default="transformers",
        metadata={
            "help": "What samples them. vllm: one engine on each GPU; give a --batch_completions of thousands. "
            "answers: nothing does; the data set's own answer to each problem is taken, for --algorithm sft.",
            "choices": list(GENERATORS),
        },
    )
    vllm_python: str | None = field(
        default=None, metadata={"help": "The Python that has vllm, if it is not this one; it needs nothing else."}
    )
    tensor_parallel_size: int = field(default=1, metadata={"help": "GPUs of one engine of vllm."})
    num_completions: int = field(default=20, metadata={"help": "Reference completions per training problem."})
    max_new_tokens: int = field(default=1024, metadata={"help": "Completions are cut there, in every stage."})
    max_prompt_tokens: int | None = field(
        default=None, metadata={"help": "Problems with longer prompts are left out, in every stage. null: none."}
    )
    stop_after: str = field(
        default="end",
        metadata={
            "help": "Where completions end, in every stage. end: where the model ends them. block: also where their "
            "first code block closes. function: also where the function ends that the answer was begun with. What "
            "would follow can neither earn nor cost a reward then, and is never sampled nor trained on.",
            "choices": list(get_args(StopAfter)),
        },
    )
    policy_temperature: float = field(
        default=1.0,
        metadata={
            "help": "The policy is the model at this temperature: its logits are divided by it, for good. "
            "References, loss, evaluation and the trained model are all of that policy, at temperature 1. "
            "Small models write little that runs at their own."
        },
    )
    batch_completions: int = field(
        default=128,
        metadata={"help": "Completions sampled at a time; by evaluation too, if it is told no other number."},
    )
    sampling_seed: int = field(
        default=0,
        metadata={
            "help": "Of the reference completions, and of evaluation's completions and intervals. Runs that differ in "
            "--seed alone are replicates of training: on the same references, evaluated with the same random numbers."
        },
    )
    sampling_dtype: str = field(
        default="auto",
        metadata={
            "help": "Number format for sampling; auto: bfloat16 where it is fast.",
            "choices": ["auto", "float32", "bfloat16", "float16"],
        },
    )

    def __post_init__(self) -> None:
        """Checks the numbers."""
        at_least(1, self, "num_completions", "max_new_tokens", "max_prompt_tokens")
        at_least(1, self, "batch_completions", "tensor_parallel_size")
        if self.generator not in GENERATORS:
            raise ValueError(f"generator is {self.generator!r}; it must be one of {GENERATORS}")
        if self.generator == "answers" and self.num_completions != 1:
            raise ValueError(
                f"num_completions is {self.num_completions}; the generator 'answers' has one for each problem: give 1"
            )
        if not self.policy_temperature > 0:
            raise ValueError(f"policy_temperature is {self.policy_temperature}; it must be greater than 0")
