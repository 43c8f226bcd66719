"""Training rows: one completion each, with its reward and those of the reference's completions of the same prompt."""

from __future__ import annotations

from collections.abc import Iterable
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


def pointwise_rows(rollouts: Iterable[ScoredRollout], *, keep_truncated: bool = True) -> list[PointwiseRow]:
    """One row for each completion, in order.

    All rewards of a prompt are the references of each of its completions, the completion itself included, as in the
    paper's own runs: n completions give quantiles in {1/n, ..., 1}.

    Args:
        rollouts: completions sampled from the reference policy at temperature 1, and their rewards.
        keep_truncated: train on completions that the limit cut, as what they are: prefixes. They always count as
            references, because the reference policy does produce them.

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
        for completion, reward in zip(rollout.completions, rollout.rewards, strict=True):
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
