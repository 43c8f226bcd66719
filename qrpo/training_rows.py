"""Scored completions to the rows that an algorithm trains on: the same completions for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, cast

from qrpo.data import PointwiseRow, References, pointwise_rows
from qrpo.data_options import DataConfig
from qrpo.errors import PipelineError
from qrpo.pairs import Pairing, PairRow, Selector, pair_rows, paired, selected
from qrpo.records import ScoredRollout
from qrpo.trainer_config import QRPOConfig

_PAIRED = ("dpo", "rebel", "simpo")


class TrainingRows(NamedTuple):
    """What goes to the trainer."""

    rows: Sequence[PointwiseRow] | Sequence[PairRow]
    what: str
    """Of what there are so many, for a reader."""
    varied: frozenset[str]
    """Ids of the problems whose completions have different rewards."""


def training_rows(rollouts: Sequence[ScoredRollout], data: DataConfig, train: QRPOConfig) -> TrainingRows:
    """The rows.

    Raises:
        PipelineError: none is left, or a completion cannot be used.
    """
    pairing = data.pairing or ("best_worst" if train.algorithm in _PAIRED else None)
    seen: set[str] = set()
    rows, what = completion_rows(_noting(rollouts, seen), data), f"completions of {len(rollouts)} prompts"
    varied = frozenset(seen)
    if pairing is not None:
        pairs = paired(rows, cast("Pairing", pairing), most=data.pairs_per_prompt, keep_ties=data.keep_ties)
        if train.algorithm in _PAIRED:
            return TrainingRows(pair_rows(pairs), f"pairs of {len(rollouts)} prompts", varied)
        rows = selected(pairs, cast("Selector", data.selector), seed=train.seed)
        what = f"completions of {len(pairs)} pairs of {len(rollouts)} prompts"
    if train.algorithm != "sft":
        return TrainingRows(rows, what, varied)
    solutions = [row for row in rows if row["reward"] >= train.pass_reward]
    if not solutions:
        raise PipelineError(
            f"none of {len(rows)} completions has a reward of {train.pass_reward} or more, so there is nothing to "
            "fine-tune on; take easier problems, more completions, or a lower pass_reward"
        )
    return TrainingRows(solutions, f"solutions of {len({row['problem_id'] for row in solutions})} problems", varied)


def leaves_out_equal(train: QRPOConfig) -> bool:
    """Whether prompts whose rewards are all equal are left out: there is nothing to compare, but to fine-tune on."""
    return train.drop_all_equal and train.algorithm != "sft"


def _noting(rollouts: Iterable[ScoredRollout], varied: set[str]) -> Iterator[ScoredRollout]:
    """The rollouts; puts down those whose rewards differ. A file of them is gigabytes, and read once."""
    for rollout in rollouts:
        if len(set(rollout.rewards)) > 1:
            varied.add(rollout.problem_id)
        yield rollout


def completion_rows(rollouts: Iterable[ScoredRollout], data: DataConfig) -> list[PointwiseRow]:
    """The completions that are trained on, each by itself, and what they are compared with."""
    return pointwise_rows(
        rollouts,
        per_prompt=data.completions_per_prompt,
        references=cast("References", data.references),
        num_refs=data.num_refs,
    )
