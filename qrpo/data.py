"""Training rows: one completion each, with its reward and those of the reference's completions of the same prompt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict

from qrpo.errors import PipelineError
from qrpo.records import ScoredRollout


class PointwiseRow(TypedDict):
    """What `QRPOTrainer` trains on. It also takes the optional columns that its docstring lists."""

    problem_id: str
    prompt_ids: list[int]
    completion_ids: list[int]
    """As sampled, with the end-of-turn token where one was sampled, and without where the limit cut it."""
    reward: float
    ref_rewards: list[float]
    """Any number per prompt; the row's own reward is among them if the completion was."""
    truncated: bool
    """Cut by the limit on tokens: what follows is unknown, and no end-of-turn token is ever added."""


def pointwise_rows(
    rollouts: Iterable[ScoredRollout], *, keep_truncated: bool = True, per_prompt: int | None = None
) -> list[PointwiseRow]:
    """One row for each completion, or for some of each prompt, in order.

    All rewards of a prompt are the references of each of its completions, the completion itself included, as in the
    paper's own runs: n completions give quantiles in {1/n, ..., 1}.

    Args:
        rollouts: completions sampled from the reference policy at temperature 1, and their rewards.
        keep_truncated: train on completions that the limit cut, as what they are: prefixes. They always count as
            references, because the reference policy does produce them.
        per_prompt: train on at most so many completions of a prompt: see `best_and_worst`. The optimum of the loss
            is the same for any choice of completions; what they cost and how far they generalise is not.

    Raises:
        PipelineError: a completion was not judged (verdict IE), or has no tokens.
    """
    rows: list[PointwiseRow] = []
    for rollout in rollouts:
        if "IE" in rollout.verdicts:
            raise PipelineError(
                f"problem {rollout.problem_id!r}: completion {rollout.verdicts.index('IE')} has the verdict IE, which "
                f"is a failure of the host and no reward; score it again"
            )
        chosen = range(len(rollout.rewards)) if per_prompt is None else best_and_worst(rollout.rewards, per_prompt)
        for completion, reward in ((rollout.completions[index], rollout.rewards[index]) for index in chosen):
            if not completion.token_ids:
                raise PipelineError(f"problem {rollout.problem_id!r} has a completion without tokens")
            truncated = completion.finish_reason == "length"
            if truncated and not keep_truncated:
                continue
            rows.append(
                PointwiseRow(
                    problem_id=rollout.problem_id,
                    prompt_ids=list(rollout.prompt_ids),
                    completion_ids=list(completion.token_ids),
                    reward=reward,
                    ref_rewards=list(rollout.rewards),
                    truncated=truncated,
                )
            )
    return rows


def best_and_worst(rewards: Sequence[float], count: int) -> list[int]:
    """Indices of at most `count` of a prompt's completions: the best, the worst, the second best, ... in their order.

    Among equal rewards the earlier sample goes first. 2 is the paper's regime of the best and the worst completion.
    """
    ranked = sorted(range(len(rewards)), key=lambda index: -rewards[index])
    turns = [ranked.pop(0 if turn % 2 == 0 else -1) for turn in range(min(count, len(ranked)))]
    return sorted(turns)
