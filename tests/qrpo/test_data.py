"""Scored completions to training rows."""

import itertools

import pytest

from qrpo.data import References, best_and_worst, pointwise_rows
from qrpo.errors import PipelineError
from qrpo.quantiles import quantile_among
from qrpo.records import Completion, Message, ScoredRollout


def rollout(**changes: object) -> ScoredRollout:
    fields: dict[str, object] = {
        "problem_id": "sum/1",
        "prompt": (Message(role="user", content="Add."),),
        "prompt_ids": (5, 6),
        "completions": (
            Completion(text="a", token_ids=(7, 2), finish_reason="stop"),
            Completion(text="b c", token_ids=(8, 9), finish_reason="length"),
        ),
        "rewards": (1.0, 0.25),
        "verdicts": ("AC", "WA"),
    }
    return ScoredRollout.model_validate(fields | changes)


def test_each_completion_is_a_row_with_all_rewards_of_its_prompt() -> None:
    assert pointwise_rows([rollout()]) == [
        {
            "problem_id": "sum/1",
            "prompt_ids": [5, 6],
            "completion_ids": [7, 2],
            "reward": 1.0,
            "ref_rewards": [1.0, 0.25],
            "truncated": False,
        },
        {
            "problem_id": "sum/1",
            "prompt_ids": [5, 6],
            "completion_ids": [8, 9],
            "reward": 0.25,
            "ref_rewards": [1.0, 0.25],
            "truncated": True,
        },
    ]


def test_rows_keep_the_order_of_problems_and_completions() -> None:
    rows = pointwise_rows([rollout(problem_id="b"), rollout(problem_id="a")])
    assert [(row["problem_id"], row["reward"]) for row in rows] == [("b", 1.0), ("b", 0.25), ("a", 1.0), ("a", 0.25)]


def test_cut_completions_that_are_not_trained_on_still_count_as_references() -> None:
    [row] = pointwise_rows([rollout()], keep_truncated=False)
    assert row["completion_ids"] == [7, 2]
    assert row["ref_rewards"] == [1.0, 0.25]


def test_a_failure_of_the_host_is_never_a_reward() -> None:
    with pytest.raises(PipelineError, match=r"'sum/1': completion 1 has the verdict IE"):
        pointwise_rows([rollout(verdicts=("AC", "IE"))])


def test_a_completion_without_tokens_is_refused() -> None:
    empty = Completion(text="", token_ids=(), finish_reason="stop")
    with pytest.raises(PipelineError, match="without tokens"):
        pointwise_rows([rollout(completions=(empty, empty))])


def test_the_best_and_the_worst_go_by_turns() -> None:
    """Best 0.9 (index 3), worst 0.0 (the later of two, 4), second best 0.5 (0), second worst 0.0 (1)."""
    rewards = (0.5, 0.0, 0.3, 0.9, 0.0)
    assert best_and_worst(rewards, 1) == [3]
    assert best_and_worst(rewards, 2) == [3, 4]
    assert best_and_worst(rewards, 3) == [0, 3, 4]
    assert best_and_worst(rewards, 4) == [0, 1, 3, 4]
    assert best_and_worst(rewards, 9) == [0, 1, 2, 3, 4]


def test_completions_that_are_not_trained_on_stay_references() -> None:
    rows = pointwise_rows([rollout()], per_prompt=1)
    assert len(rows) == 1
    assert rows[0]["reward"] == max(rollout().rewards)
    assert rows[0]["ref_rewards"] == list(rollout().rewards)


def four(**changes: object) -> ScoredRollout:
    completions = [Completion(text="", token_ids=(7, index), finish_reason="stop") for index in range(4)]
    fields = {"completions": completions, "rewards": (0.0, 1.0, 0.5, 0.25), "verdicts": ("WA", "AC", "WA", "WA")}
    return rollout(**(fields | changes))


def test_a_completion_may_be_left_out_of_its_own_references() -> None:
    rows = pointwise_rows([four()], references="leave_one_out")
    assert [row["ref_rewards"] for row in rows] == [
        [1.0, 0.5, 0.25],
        [0.0, 0.5, 0.25],
        [0.0, 1.0, 0.25],
        [0.0, 1.0, 0.5],
    ]


def test_disjoint_references_are_those_that_are_not_trained_on() -> None:
    rows = pointwise_rows([four()], references="disjoint", per_prompt=2)
    assert [(row["reward"], row["ref_rewards"]) for row in rows] == [(0.0, [0.5, 0.25]), (1.0, [0.5, 0.25])]
    with pytest.raises(PipelineError, match="none of its 4 completions is left to compare with"):
        pointwise_rows([four()], references="disjoint")


RANKS = (0.0, 0.25, 0.5, 1.0)


@pytest.mark.parametrize(
    ("references", "per_prompt", "mean"), [("all", None, 5 / 8), ("leave_one_out", None, 1 / 2), ("disjoint", 1, 1 / 2)]
)
def test_quantiles_are_unbiased_unless_a_completion_is_among_its_own_references(
    references: References, per_prompt: int | None, mean: float
) -> None:
    """The mean over all orders in which four untied completions can be sampled: (n + 1) / 2n with n = 4, or 1/2."""
    rows = [
        row
        for rewards in itertools.permutations(RANKS)
        for row in pointwise_rows([four(rewards=rewards)], references=references, per_prompt=per_prompt)
    ]
    quantiles = [quantile_among(row["reward"], row["ref_rewards"]).value for row in rows]
    assert sum(quantiles) / len(quantiles) == pytest.approx(mean)


def test_only_so_many_references_are_used() -> None:
    rows = pointwise_rows([four()], num_refs=2)
    assert [row["ref_rewards"] for row in rows] == [[0.0, 1.0]] * 4
