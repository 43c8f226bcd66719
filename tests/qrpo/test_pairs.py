"""Pairs of completions: which, in which order, and what pointwise losses take of them."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qrpo.data import PointwiseRow
from qrpo.errors import PipelineError
from qrpo.pairs import PAIRINGS, SELECTORS, Pairing, pair_rows, paired, selected

rewards = st.lists(st.integers(0, 3).map(float), min_size=0, max_size=9)


def rows(*prompts: list[float]) -> list[PointwiseRow]:
    """One prompt for each list of rewards; completion k of prompt p is [p, k]."""
    return [
        PointwiseRow(
            problem_id=f"p{number}",
            prompt_ids=[1],
            completion_ids=[number, index],
            reward=reward,
            ref_rewards=group,
            truncated=False,
        )
        for number, group in enumerate(prompts)
        for index, reward in enumerate(group)
    ]


def indices(found: list[PointwiseRow], pairing: Pairing, **options: object) -> list[tuple[int, int]]:
    pairs = paired(found, pairing, **options)  # type: ignore[arg-type]
    return [(pair.chosen["completion_ids"][1], pair.rejected["completion_ids"][1]) for pair in pairs]


@pytest.mark.parametrize(
    ("pairing", "expected"),
    [
        ("best_worst", [(2, 1)]),
        ("ranked", [(2, 3), (4, 1)]),  # of equal ones the earlier is the better; 0 is in the middle
        ("first_two", [(0, 1)]),
        ("disjoint", [(0, 1), (2, 3)]),  # 4 has nobody left
    ],
)
def test_pairings_by_hand(pairing: Pairing, expected: list[tuple[int, int]]) -> None:
    assert indices(rows([0.5, 0.0, 1.0, 0.0, 1.0]), pairing) == expected


def test_no_more_pairs_of_a_prompt_than_asked_for() -> None:
    assert indices(rows([0.0, 1.0] * 5), "disjoint", most=2) == [(1, 0), (3, 2)]


def test_tied_pairs_are_left_out_unless_asked_for_and_then_the_earlier_is_chosen() -> None:
    found = rows([1.0, 1.0, 0.0, 1.0])
    assert indices(found, "disjoint") == [(3, 2)]
    assert indices(found, "disjoint", keep_ties=True) == [(0, 1), (3, 2)]


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_where_no_pair_is_left_that_is_said(pairing: Pairing) -> None:
    with pytest.raises(PipelineError, match="no pair is left of 2 prompts"):
        paired(rows([1.0, 1.0], [0.5]), pairing)


@pytest.mark.parametrize("pairing", PAIRINGS)
@given(prompts=st.lists(rewards, min_size=1, max_size=4))
def test_the_chosen_is_never_worse_and_nothing_is_paired_twice_or_across_prompts(
    pairing: Pairing, prompts: list[list[float]]
) -> None:
    try:
        pairs = paired(rows(*prompts), pairing, keep_ties=True)
    except PipelineError:
        assert all(len(group) < 2 for group in prompts)
        return
    for pair in pairs:
        assert pair.chosen["problem_id"] == pair.rejected["problem_id"]
        assert pair.chosen["reward"] >= pair.rejected["reward"]
    used = Counter(tuple(row["completion_ids"]) for pair in pairs for row in pair)
    assert max(used.values()) == 1


def test_rows_of_pairs_hold_both_completions_and_rewards() -> None:
    [row] = pair_rows(paired(rows([0.0, 1.0]), "first_two"))
    assert row == {
        "problem_id": "p0",
        "prompt_ids": [1],
        "chosen_ids": [0, 1],
        "rejected_ids": [0, 0],
        "chosen_reward": 1.0,
        "rejected_reward": 0.0,
    }


def test_selectors_by_hand() -> None:
    pairs = paired(rows([0.0, 1.0], [1.0, 0.0]), "first_two")
    taken = {name: [row["completion_ids"] for row in selected(pairs, name, seed=0)] for name in SELECTORS[:3]}
    assert taken == {
        "both": [[0, 1], [0, 0], [1, 0], [1, 1]],
        "chosen": [[0, 1], [1, 0]],
        "rejected": [[0, 0], [1, 1]],
    }


def test_random_takes_one_of_each_pair_by_a_coin_of_its_own() -> None:
    pairs = paired(rows(*[[0.0, 1.0]] * 200), "first_two")
    once = selected(pairs, "random", seed=0)
    assert len(once) == 200
    assert 60 < sum(row["reward"] for row in once) < 140
    assert selected(pairs[50:], "random", seed=0) == once[50:]
    assert selected(pairs, "random", seed=1) != once
