"""Training rows: one completion each, with its reward and those of the reference's completions of the same prompt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypedDict, get_args

from qrpo.errors import PipelineError
from qrpo.records import ScoredRollout

References = Literal["all", "leave_one_out", "disjoint"]
"""Whose rewards a completion is compared with.

- `all`: those of all completions of its prompt, itself included, as in the paper's own runs: n completions give
  quantiles in {1/n, ..., 1}, whose mean is (n + 1) / 2n and not 1/2. With ties `exact` targets are nevertheless
  log-ratios of a distribution over these n completions.
- `leave_one_out`: all but itself, so that quantiles are in {0, ..., 1} and unbiased for a new completion.
- `disjoint`: those completions that are not trained on: independent of the row, at the price of samples.
"""
REFERENCES: tuple[References, ...] = get_args(References)


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
    rollouts: Iterable[ScoredRollout],
    *,
    keep_truncated: bool = True,
    per_prompt: int | None = None,
    references: References = "all",
    num_refs: int | None = None,
) -> list[PointwiseRow]:
    """One row for each completion, or for some of each prompt, in order.

    Args:
        rollouts: completions sampled from the reference policy at temperature 1, and their rewards.
        keep_truncated: train on completions that the limit cut, as what they are: prefixes. They always count as
            references, because the reference policy does produce them.
        per_prompt: train on at most so many completions of a prompt: the best and the worst (see `best_and_worst`),
            or with `disjoint` references the first, since a choice by rewards would bias those that are left. The
            optimum of the loss is the same for any choice of completions; what they cost and how far they generalise
            is not.
        references: see `References`.
        num_refs: use only so many, the first; None: all.

    Raises:
        PipelineError: a completion was not judged (verdict IE), has no tokens, or has no reference.
    """
    rows: list[PointwiseRow] = []
    for rollout in rollouts:
        if "IE" in rollout.verdicts:
            raise PipelineError(
                f"problem {rollout.problem_id!r}: completion {rollout.verdicts.index('IE')} has the verdict IE, which "
                f"is a failure of the host and no reward; score it again"
            )
        chosen = _trained_on(rollout.rewards, per_prompt, references)
        for index in chosen:
            completion = rollout.completions[index]
            if not completion.token_ids:
                raise PipelineError(f"problem {rollout.problem_id!r} has a completion without tokens")
            truncated = completion.finish_reason == "length"
            if truncated and not keep_truncated:
                continue
            compared = _compared(len(rollout.rewards), index, chosen, references)[:num_refs]
            if not compared:
                raise PipelineError(
                    f"problem {rollout.problem_id!r}: with references {references!r} none of its "
                    f"{len(rollout.rewards)} completions is left to compare with; generate more, or train on fewer"
                )
            rows.append(
                PointwiseRow(
                    problem_id=rollout.problem_id,
                    prompt_ids=list(rollout.prompt_ids),
                    completion_ids=list(completion.token_ids),
                    reward=rollout.rewards[index],
                    ref_rewards=[rollout.rewards[other] for other in compared],
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


def _trained_on(rewards: Sequence[float], per_prompt: int | None, references: References) -> list[int]:
    if per_prompt is None:
        return list(range(len(rewards)))
    if references == "disjoint":
        return list(range(min(per_prompt, len(rewards))))
    return best_and_worst(rewards, per_prompt)


def _compared(count: int, index: int, chosen: Sequence[int], references: References) -> list[int]:
    match references:
        case "all":
            return list(range(count))
        case "leave_one_out":
            return [other for other in range(count) if other != index]
        case "disjoint":
            return [other for other in range(count) if other not in chosen]
