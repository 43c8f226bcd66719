"""Where completions come from.

transformers on one device (`qrpo.rollouts`), vLLM (`qrpo.vllm_generation`), or the data set itself (`qrpo.answers`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from qrpo.records import Completion, Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A problem as the model is asked it."""

    problem_id: str
    messages: tuple[Message, ...]
    ids: tuple[int, ...]
    answer_start: str
    """The text at its end that belongs to the answer; empty: no answer is begun."""


class Generator(Protocol):
    """Gives completions: a policy that samples from its whole distribution, or the data set."""

    def generate(self, prompts: Sequence[Prompt]) -> list[list[Completion]]:
        """For each prompt equally many completions, all tokens as sampled, the one that ended them included.

        Raises:
            EngineError: what samples could not start, or failed.
        """


OpenGenerator: TypeAlias = Callable[[Sequence[Prompt]], AbstractContextManager[Generator]]
"""Starts one for these prompts, the longest among them first; only called where there is one to sample."""
