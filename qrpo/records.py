"""What lies in the stages' JSONL files: one line per prompt."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

FinishReason = Literal["stop", "length"]
_ids: dict[int, int] = {}


def _shared(ids: tuple[int, ...]) -> tuple[int, ...]:
    """The same numbers as objects that all tuples share: 8 bytes a token, not 40, of 10^8 tokens."""
    return tuple(map(_ids.setdefault, ids, ids))


TokenIds = Annotated[tuple[int, ...], AfterValidator(_shared)]


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: str
    content: str


class Completion(BaseModel):
    """One sampled completion."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    """The whole answer: what it was begun with, and the tokens decoded without special ones."""
    token_ids: TokenIds
    """As sampled, the end-of-turn token included; never re-tokenised."""
    finish_reason: FinishReason
    """`length`: cut by the limit on tokens, so what follows is unknown."""


class Rollout(BaseModel):
    """A prompt and its completions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    problem_id: str
    prompt: tuple[Message, ...]
    """A last message of the assistant is the start of the answer."""
    prompt_ids: TokenIds
    """The prompt through the chat template, as the model saw it."""
    completions: tuple[Completion, ...]


class ScoredRollout(Rollout):
    """A prompt, its completions, and what became of their programs."""

    rewards: tuple[float, ...]
    """Fraction of tests passed, in [0, 1]; one per completion."""
    verdicts: tuple[str, ...]
    """Values of `sandbox.Verdict`; one per completion."""

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        sizes = {len(self.completions), len(self.rewards), len(self.verdicts)}
        if len(sizes) > 1:
            raise ValueError(
                f"problem {self.problem_id!r} has {len(self.completions)} completions, {len(self.rewards)} rewards and "
                f"{len(self.verdicts)} verdicts; there must be as many of each"
            )
        return self


class KlRow(BaseModel):
    """Log-probabilities of one completion's tokens, under the trained model and under the reference."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    problem_id: str
    index: int
    """Which of the prompt's completions."""
    logps: tuple[float, ...]
    """ln pi(token | prefix) under the policy that sampled them; one per token."""
    ref_logps: tuple[float, ...]
