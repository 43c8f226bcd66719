"""Pairs of a prompt's completions, for the losses that compare two; derived from the same scored completions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, TypedDict, get_args

from qrpo.data import PointwiseRow
from qrpo.errors import PipelineError

Pairing = Literal["best_worst", "ranked", "first_two", "disjoint"]
"""Which completions of a prompt are compared.

- `best_worst`: the one with the highest reward and the one with the lowest; of equal ones the earlier.
- `ranked`: the best and the worst, the second best and the second worst, and so on; of equal ones the earlier counts as
  the better, so that of equal worst ones the last comes first. Of an odd number the one in the middle is left out.
- `first_two`: the first two samples.
- `disjoint`: samples 0 and 1, 2 and 3, ...: K pairs of which no two share a completion, as in the paper (K = 10).
"""
PAIRINGS: tuple[Pairing, ...] = get_args(Pairing)
Selector = Literal["both", "chosen", "rejected", "random"]
"""Which completions of a pair a pointwise loss trains on; `random` throws one coin for each pair."""
SELECTORS: tuple[Selector, ...] = get_args(Selector)


class PairRow(TypedDict):
    """What the paired objectives of `QRPOTrainer` train on."""

    problem_id: str
    prompt_ids: list[int]
    chosen_ids: list[int]
    """The better completion, as sampled."""
    rejected_ids: list[int]
    chosen_reward: float
    rejected_reward: float


class Pair(NamedTuple):
    """Two rows of one prompt."""

    chosen: PointwiseRow
    rejected: PointwiseRow


def paired(
    rows: Iterable[PointwiseRow], pairing: Pairing, *, most: int | None = None, keep_ties: bool = False
) -> list[Pair]:
    """Pairs within each prompt, prompts in the order of their first row.

    Args:
        rows: of all prompts, each prompt's in the order in which they were sampled.
        pairing: see `Pairing`.
        most: pairs for each prompt, the first ones; None: as many as there are.
        keep_ties: keep pairs with equal rewards, the earlier sample as the chosen one, as the paper's runs on disjoint
            pairs do: half of what such a pair says is wrong. Otherwise they are left out, once `most` has been counted.

    Raises:
        PipelineError: no pair is left.
    """
    prompts: dict[str, list[PointwiseRow]] = {}
    for row in rows:
        prompts.setdefault(row["problem_id"], []).append(row)
    found = [
        _ordered(first, second)
        for group in prompts.values()
        for first, second in _candidates(group, pairing)[:most]
        if keep_ties or first["reward"] != second["reward"]
    ]
    if not found:
        raise PipelineError(
            f"no pair is left of {len(prompts)} prompts: within each of them rewards are equal, or there is one "
            "completion; take more completions, easier problems, or another pairing"
        )
    return found


def pair_rows(pairs: Iterable[Pair]) -> list[PairRow]:
    """Rows for the paired objectives."""
    return [
        PairRow(
            problem_id=pair.chosen["problem_id"],
            prompt_ids=pair.chosen["prompt_ids"],
            chosen_ids=pair.chosen["completion_ids"],
            rejected_ids=pair.rejected["completion_ids"],
            chosen_reward=pair.chosen["reward"],
            rejected_reward=pair.rejected["reward"],
        )
        for pair in pairs
    ]


def selected(pairs: Iterable[Pair], selector: Selector, *, seed: int) -> list[PointwiseRow]:
    """Rows for the pointwise objectives, of the same completions that the paired ones see.

    Args:
        selector: see `Selector`.
        seed: of the coins; a pair's does not depend on the other pairs.
    """
    rows: list[PointwiseRow] = []
    for pair in pairs:
        match selector:
            case "both":
                rows += pair
            case "chosen":
                rows.append(pair.chosen)
            case "rejected":
                rows.append(pair.rejected)
            case "random":
                rows.append(pair[_coin(seed, pair)])
    return rows


def _candidates(group: Sequence[PointwiseRow], pairing: Pairing) -> list[tuple[PointwiseRow, PointwiseRow]]:
    if len(group) < 2:
        return []
    match pairing:
        case "best_worst":
            best = max(group, key=lambda row: row["reward"])
            return [(best, min((row for row in group if row is not best), key=lambda row: row["reward"]))]
        case "ranked":
            order = sorted(group, key=lambda row: -row["reward"])
            return [(order[place], order[-1 - place]) for place in range(len(order) // 2)]
        case "first_two":
            return [(group[0], group[1])]
        case "disjoint":
            return list(zip(group[::2], group[1::2], strict=False))


def _ordered(first: PointwiseRow, second: PointwiseRow) -> Pair:
    return Pair(second, first) if second["reward"] > first["reward"] else Pair(first, second)


def _coin(seed: int, pair: Pair) -> int:
    named = (seed, pair.chosen["problem_id"], pair.chosen["completion_ids"], pair.rejected["completion_ids"])
    return hashlib.sha256(repr(named).encode()).digest()[0] & 1
