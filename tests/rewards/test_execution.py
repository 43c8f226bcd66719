from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterable, Iterator
from typing import Unpack

import pytest

from rewards.execution import ExecutionReward, Scored
from rewards.shapes import compiles, fraction, mixed, threshold, weighted
from sandbox import JudgeResult, Problem, Sandbox, Verdict
from sandbox.messages import host_failed_result
from sandbox.options import JudgeOptions

TWICE = Problem(id="twice", tests=("assert twice(2) == 4", "assert twice(0) == 0", "assert twice(5) == 10"))
NEXT = Problem(id="next", tests=("assert following(2) == 3",))
RIGHT = "Sure:\n```python\ndef twice(n):\n    return 2 * n\n```"
HALF_RIGHT = "```python\ndef twice(n):\n    return n * n\n```"
BOTH = f"{RIGHT}\nor\n{HALF_RIGHT}"
NONE = "I cannot."


def rewards_of(scored: list[Scored]) -> list[float | None]:
    return [item.reward for item in scored]


def test_the_reward_is_the_fraction_of_tests_passed(box: Sandbox) -> None:
    reward = ExecutionReward([TWICE, NEXT], sandbox=box)
    scored = reward.score([("twice", RIGHT), ("twice", HALF_RIGHT), ("next", RIGHT), ("twice", NONE)])
    assert rewards_of(scored) == pytest.approx([1.0, 2 / 3, 0.0, 0.0])
    assert [item.result.verdict for item in scored] == [Verdict.AC, Verdict.WA, Verdict.RE, Verdict.NO_CODE]


def test_all_or_nothing_is_1_for_accepted_and_else_0(box: Sandbox) -> None:
    reward = ExecutionReward([TWICE], sandbox=box, reward="all")
    assert rewards_of(reward.score([("twice", RIGHT), ("twice", HALF_RIGHT), ("twice", NONE)])) == [1.0, 0.0, 0.0]


def test_the_last_block_counts_unless_the_first_is_asked_for(box: Sandbox) -> None:
    assert rewards_of(ExecutionReward([TWICE], sandbox=box).score([("twice", BOTH)])) == pytest.approx([2 / 3])
    assert rewards_of(ExecutionReward([TWICE], sandbox=box, which="first").score([("twice", BOTH)])) == [1.0]


def test_results_are_in_input_order_and_progress_sees_each_once(box: Sandbox) -> None:
    slow = "```python\nfor _ in range(10**7): pass\ndef twice(n):\n    return 2 * n\n```"
    completions = [("twice", slow), *[("twice", HALF_RIGHT), ("twice", RIGHT)] * 3]
    seen: dict[int, Scored] = {}
    scored = ExecutionReward([TWICE], sandbox=box).score(completions, progress=seen.__setitem__)
    assert rewards_of(scored) == pytest.approx([1.0, *[2 / 3, 1.0] * 3])
    assert seen == dict(enumerate(scored))


def test_an_unknown_problem_is_an_error_before_anything_runs(box: Sandbox) -> None:
    with pytest.raises(ValueError, match="no problem has the id 'thrice'; 1 are known"):
        ExecutionReward([TWICE], sandbox=box).score([("twice", RIGHT), ("thrice", RIGHT)])


def test_nothing_to_score_is_nothing(box: Sandbox) -> None:
    assert ExecutionReward([TWICE], sandbox=box).score([]) == []


def test_it_starts_a_sandbox_of_its_own_and_closes_only_that(box: Sandbox) -> None:
    with ExecutionReward([TWICE], workers=1) as reward:
        assert rewards_of(reward.score([("twice", RIGHT)])) == [1.0]
    with ExecutionReward([TWICE], sandbox=box):
        pass
    assert box.judge(TWICE, "twice = int").verdict is Verdict.WA


def test_options_that_contradict_each_other_are_errors(box: Sandbox) -> None:
    with pytest.raises(ValueError, match="'twice'"):
        ExecutionReward([TWICE, TWICE])
    with pytest.raises(ValueError, match="its own workers count"):
        ExecutionReward([TWICE], sandbox=box, workers=2)
    with pytest.raises(ValueError, match="'half'"):
        ExecutionReward([TWICE], reward="half")  # type: ignore[arg-type]


class FailingHost:
    """A judge whose host fails every submission."""

    def judge_as_completed(
        self, submissions: Iterable[tuple[Problem, str | None]], /, **options: Unpack[JudgeOptions]
    ) -> Iterator[tuple[int, JudgeResult]]:
        assert options == {"on_host_failure": "return"}
        for place, (problem, _) in enumerate(submissions):
            yield place, host_failed_result(problem, "userns", "no memory left")


def test_a_failure_of_the_host_is_no_reward() -> None:
    scored = ExecutionReward([TWICE], sandbox=FailingHost()).score([("twice", RIGHT), ("twice", RIGHT)])
    assert [(item.reward, item.result.verdict) for item in scored] == [(None, Verdict.IE)] * 2


def test_a_failure_of_the_host_is_no_reward_whatever_the_shape() -> None:
    reward = ExecutionReward([TWICE], sandbox=FailingHost(), reward=mixed((0.5, fraction), (0.5, compiles)))
    assert reward(prompts=[], completions=[RIGHT], problem_id=["twice"]) == [None]


def test_completions_without_a_reward_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    ExecutionReward([TWICE], sandbox=FailingHost())(prompts=[], completions=[RIGHT], problem_id=["twice"])
    (record,) = caplog.records
    assert record.getMessage() == (
        "execution_fraction: 1 of 1 completions have no reward, so that nothing can be learnt from this batch; "
        "the first: no memory left"
    )


def test_a_function_of_ones_own_is_a_reward(box: Sandbox) -> None:
    reward = ExecutionReward([TWICE], sandbox=box, reward=lambda problem, result: len(problem.id) * result.pass_rate)
    assert rewards_of(reward.score([("twice", RIGHT)])) == [5.0]
    assert reward.__name__ == "execution"


def test_the_asynchronous_twins_give_the_same_and_leave_the_event_loop_free(box: Sandbox) -> None:
    slow = "```python\nfor _ in range(10**7): pass\ndef twice(n):\n    return 2 * n\n```"
    reward = ExecutionReward([TWICE], sandbox=box, cache_size=0)

    async def measured() -> tuple[list[Scored], list[float | None], int]:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.001)

        counting = asyncio.create_task(count())
        scored = await reward.score_async([("twice", slow), ("twice", HALF_RIGHT)])
        answered = await reward.asynchronous(prompts=[], completions=[NONE, RIGHT], problem_id=[None, "twice"])
        counting.cancel()
        return scored, answered, turns

    scored, answered, turns = asyncio.run(measured())
    assert rewards_of(scored) == pytest.approx([1.0, 2 / 3])
    assert answered == [None, 1.0]
    assert turns > 20
    assert reward.asynchronous.__name__ == "execution_fraction"


def test_it_can_be_sent_to_another_process_before_it_has_started_a_sandbox() -> None:
    reward = ExecutionReward([TWICE], reward=threshold(0.5, weighted({"twice": [3, 1, 0]})), workers=1)
    with pickle.loads(pickle.dumps(reward)) as copy:
        assert rewards_of(copy.score([("twice", HALF_RIGHT)])) == [1.0]


def test_trl_gets_one_reward_for_each_completion_and_none_where_no_problem_is_named(box: Sandbox) -> None:
    reward = ExecutionReward([TWICE, NEXT], sandbox=box)
    answered = reward(
        prompts=["p"] * 3,
        completions=[RIGHT, RIGHT, HALF_RIGHT],
        problem_id=["twice", None, "twice"],
        completion_ids=[[1]] * 3,
        trainer_state=None,
    )
    assert answered == [1.0, None, pytest.approx(2 / 3)]


def test_of_a_conversation_the_last_turn_of_the_assistant_counts(box: Sandbox) -> None:
    turns = [
        [{"role": "assistant", "content": RIGHT}],
        [
            {"role": "assistant", "content": RIGHT},
            {"role": "tool", "content": "1"},
            {"role": "assistant", "content": NONE},
        ],
        [{"role": "assistant", "content": [{"type": "text", "text": RIGHT}, {"type": "image"}]}],
        [{"role": "assistant", "content": None, "tool_calls": []}],
        [{"role": "user", "content": RIGHT}],
    ]
    reward = ExecutionReward([TWICE], sandbox=box)
    assert reward(prompts=[], completions=turns, problem_id=["twice"] * 5) == [1.0, 0.0, 1.0, 0.0, 0.0]


def test_shares_of_verdicts_and_the_verdicts_are_logged(box: Sandbox) -> None:
    metrics: dict[str, float] = {}
    columns: dict[str, list[str | None]] = {}
    ExecutionReward([TWICE], sandbox=box)(
        prompts=[],
        completions=[RIGHT, NONE, HALF_RIGHT, RIGHT, RIGHT],
        problem_id=["twice", "twice", "twice", "twice", None],
        log_metric=metrics.__setitem__,
        log_extra=columns.__setitem__,
    )
    assert {name: share for name, share in metrics.items() if share} == {
        "execution_fraction/AC": 0.5,
        "execution_fraction/WA": 0.25,
        "execution_fraction/NO_CODE": 0.25,
    }
    assert columns == {"verdict": ["AC", "NO_CODE", "WA", "AC", None]}
