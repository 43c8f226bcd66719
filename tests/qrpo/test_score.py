"""Judging into a journal: what `qrpo.score` and the evaluation rest on."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Unpack

import pytest
from pydantic import ValidationError
from rich.console import Console

from qrpo.display import Display
from qrpo.judging import count_verdicts, judge_rollouts
from qrpo.records import Completion, Rollout, ScoredRollout
from rewards import ExecutionReward
from sandbox import InfrastructureError, JudgeResult, Problem, Sandbox, Verdict
from sandbox.messages import host_failed_result
from sandbox.options import JudgeOptions

PROBLEMS = [
    Problem(id="inc", tests=("assert f(1) == 2", "assert f(2) == 3")),
    Problem(id="dec", tests=("assert f(1) == 0", "assert f(2) == 1")),
]
TEXTS = {
    "right": "```python\ndef f(x):\n    return x + 1\n```",
    "half": "```python\ndef f(x):\n    return 2\n```",
    "broken": "```python\ndef f(x) return\n```",
    "prose": "I cannot.",
}


@pytest.fixture
def display() -> Display:
    return Display(Console(file=io.StringIO()))


@pytest.fixture(scope="session")
def box() -> Iterator[Sandbox]:
    with Sandbox(workers=2) as found:
        yield found


def rollouts() -> list[Rollout]:
    completions = tuple(Completion(text=text, token_ids=(1,), finish_reason="stop") for text in TEXTS.values())
    return [Rollout(problem_id=problem.id, prompt=(), prompt_ids=(1,), completions=completions) for problem in PROBLEMS]


def test_rewards_and_verdicts_stand_beside_their_completions(display: Display, box: Sandbox, tmp_path: Path) -> None:
    found = judge_rollouts(
        ExecutionReward(PROBLEMS, sandbox=box), rollouts(), tmp_path / "j", chunk=1, display=display, what="test"
    )
    assert [rollout.problem_id for rollout in found] == ["inc", "dec"]
    assert found[0].rewards == (1.0, 0.5, 0.0, 0.0)
    assert found[0].verdicts == ("AC", "WA", "CE", "NO_CODE")
    assert found[1].rewards[0] == 0.0
    assert count_verdicts(found) == {"AC": 1, "WA": 3, "CE": 2, "NO_CODE": 2}


def test_what_is_in_the_journal_is_not_judged_again(display: Display, box: Sandbox, tmp_path: Path) -> None:
    class Counting:
        judged = 0

        def judge_as_completed(
            self, submissions: Iterable[tuple[Problem, str | None]], /, **options: Unpack[JudgeOptions]
        ) -> Iterator[tuple[int, JudgeResult]]:
            for item in box.judge_as_completed(submissions, **options):
                self.judged += 1
                yield item

    judge = Counting()
    reward = ExecutionReward(PROBLEMS, sandbox=judge, cache_size=0)
    whole = list(judge_rollouts(reward, rollouts(), tmp_path / "j", chunk=1, display=display, what="test"))
    first = (tmp_path / "j").read_bytes().splitlines(keepends=True)[0]
    (tmp_path / "j").write_bytes(first + b'{"problem_id": "de')
    assert judge.judged == 8
    again = judge_rollouts(reward, rollouts(), tmp_path / "j", chunk=1, display=display, what="test")
    assert list(again) == whole
    assert judge.judged == 12


def test_a_failure_of_the_host_ends_the_judging_and_what_is_in_the_journal_stays(
    display: Display, box: Sandbox, tmp_path: Path
) -> None:
    class FailingLater:
        judged = 0

        def judge_as_completed(
            self, submissions: Iterable[tuple[Problem, str | None]], /, **options: Unpack[JudgeOptions]
        ) -> Iterator[tuple[int, JudgeResult]]:
            for place, result in box.judge_as_completed(submissions, **options):
                self.judged += 1
                failed = host_failed_result(PROBLEMS[1], result.enforcement, "no memory left")
                yield place, failed if self.judged > 5 else result

    reward = ExecutionReward(PROBLEMS, sandbox=FailingLater())
    with pytest.raises(InfrastructureError, match="no memory left"):
        judge_rollouts(reward, rollouts(), tmp_path / "j", chunk=1, display=display, what="test")
    kept = [ScoredRollout.model_validate_json(line) for line in (tmp_path / "j").read_text().splitlines()]
    assert [rollout.problem_id for rollout in kept] == ["inc"]
    whole = judge_rollouts(
        ExecutionReward(PROBLEMS, sandbox=box), rollouts(), tmp_path / "j", chunk=1, display=display, what="test"
    )
    assert whole[0] == kept[0]
    assert Verdict.IE not in whole[1].verdicts


def test_as_many_rewards_as_completions_or_none_at_all() -> None:
    with pytest.raises(ValidationError, match="4 completions, 1 rewards"):
        ScoredRollout(**rollouts()[0].model_dump(), rewards=(1.0,), verdicts=("AC",))
