"""A batch: what is judged once, what for itself, and what becomes of one that is given up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Unpack

import httpx2
import pytest

from rewards.execution import ExecutionReward
from sandbox import Checker, JudgeResult, Limits, Problem, ProblemError, Sandbox, SandboxClient, StdioTest, Verdict
from sandbox.options import JudgeOptions

ONE = Problem(id="one", tests=("assert one() == 1",), limits=Limits(cpu_s=0.2))
SAME_ELSEWHERE = Problem(id="elsewhere", tests=("assert one() == 1",), limits=Limits(cpu_s=0.2))
WIDER = Problem(id="wider", tests=("assert one() == 1",), limits=Limits(cpu_s=0.3))
AC = "def one(): return 1"
WA = "def one(): return 2"
RE = "def one(): raise KeyError(1)"
CE = "def one() return 1"
TLE = "def one():\n    while True: pass"
NEVER = Limits(cpu_s=60)


def block(code: str) -> str:
    return f"```python\n{code}\n```"


class Counting:
    """A sandbox that notes what it is asked, and how many answers are taken."""

    def __init__(self, box: Sandbox) -> None:
        self.box = box
        self.asked: list[str | None] = []
        self.answered = 0

    def judge_as_completed(
        self, submissions: Iterable[tuple[Problem, str | None]], /, **options: Unpack[JudgeOptions]
    ) -> Iterator[tuple[int, JudgeResult]]:
        def noted() -> Iterator[tuple[Problem, str | None]]:
            for problem, code in submissions:
                self.asked.append(code)
                yield problem, code

        for item in self.box.judge_as_completed(noted(), **options):
            self.answered += 1
            yield item


@pytest.fixture
def judge(box: Sandbox) -> Counting:
    return Counting(box)


def verdicts(reward: ExecutionReward, *named: tuple[str, str]) -> list[str]:
    return [item.result.verdict.value for item in reward.score([(name, block(code)) for name, code in named])]


def test_the_same_program_is_judged_once_in_a_batch_and_not_at_all_in_the_next(judge: Counting) -> None:
    reward = ExecutionReward([ONE], sandbox=judge)
    batch = [("one", code) for code in (AC, WA, AC, RE, CE, AC, RE, CE, WA)]
    expected = ["AC", "WA", "AC", "RE", "CE", "AC", "RE", "CE", "WA"]
    assert verdicts(reward, *batch) == expected
    assert judge.asked == [AC, WA, RE, CE]
    assert verdicts(reward, *batch) == expected
    assert len(judge.asked) == 4


def test_what_ran_out_of_time_is_judged_for_each_and_again(judge: Counting) -> None:
    reward = ExecutionReward([ONE], sandbox=judge)
    assert verdicts(reward, ("one", TLE), ("one", TLE)) == ["TLE", "TLE"]
    assert verdicts(reward, ("one", TLE)) == ["TLE"]
    assert judge.asked == [TLE] * 3


def test_a_duplicate_of_what_ran_out_of_time_by_chance_gets_a_verdict_of_its_own(box: Sandbox) -> None:
    class SlowAtFirst(Counting):
        def judge_as_completed(
            self, submissions: Iterable[tuple[Problem, str | None]], /, **options: Unpack[JudgeOptions]
        ) -> Iterator[tuple[int, JudgeResult]]:
            first = not self.asked
            asked = ((problem, TLE if first else code) for problem, code in submissions)
            return super().judge_as_completed(asked, **options)

    assert verdicts(ExecutionReward([ONE], sandbox=SlowAtFirst(box)), ("one", AC), ("one", AC)) == ["TLE", "AC"]


def test_a_test_that_ran_out_of_time_beside_one_that_fails_otherwise_keeps_the_result_from_standing_for_others(
    judge: Counting,
) -> None:
    both = Problem(id="both", tests=("assert f(1) == 1", "assert f(2) == 2"), limits=Limits(memory_bytes=64 << 20))
    code = "def f(n):\n    if n == 2: return 0\n    return len(bytearray(200 << 20))"
    reward = ExecutionReward([both], sandbox=judge)
    assert verdicts(reward, ("both", code), ("both", code)) == ["MLE", "MLE"]
    assert judge.asked == [code] * 2


def test_other_tests_or_limits_are_another_judging_and_another_id_is_not(judge: Counting) -> None:
    reward = ExecutionReward([ONE, SAME_ELSEWHERE, WIDER], sandbox=judge)
    assert verdicts(reward, ("one", AC), ("elsewhere", AC), ("wider", AC)) == ["AC"] * 3
    assert len(judge.asked) == 2


def test_programs_that_differ_in_language_only_are_judged_each(judge: Counting) -> None:
    tests = (StdioTest(stdin="", stdout="1"),)
    problems = [
        Problem(id=name, kind="stdio", tests=tests, language=name)  # type: ignore[arg-type]  # a kind by its name
        for name in ("python", "bash")
    ]
    scored = ExecutionReward(problems, sandbox=judge).score(
        [("python", "```\nprint(1)\n```"), ("bash", "```\nprint(1)\n```")]
    )
    assert [item.reward for item in scored] == [1.0, 0.0]
    assert len(judge.asked) == 2


def test_what_a_checker_program_decided_is_decided_for_each(judge: Counting) -> None:
    accepts = Checker(compare="program", program="raise SystemExit(0)")  # type: ignore[arg-type]  # by its name
    problem = Problem(id="any", kind="stdio", tests=(StdioTest(stdin="", stdout="1"),), checker=accepts)  # type: ignore[arg-type]
    reward = ExecutionReward([problem], sandbox=judge)
    assert verdicts(reward, ("any", "print(2)"), ("any", "print(2)")) == ["AC", "AC"]
    assert len(judge.asked) == 2


def test_a_cache_of_size_0_judges_each_completion(judge: Counting) -> None:
    assert verdicts(ExecutionReward([ONE], sandbox=judge, cache_size=0), ("one", AC), ("one", AC)) == ["AC", "AC"]
    assert judge.asked == [AC, AC]


def test_a_full_cache_forgets_what_was_used_longest_ago(judge: Counting) -> None:
    reward = ExecutionReward([ONE], sandbox=judge, cache_size=2)
    for code in (AC, WA, AC, RE, AC, WA):
        verdicts(reward, ("one", code))
    assert judge.asked == [AC, WA, RE, WA]


def test_what_is_not_judged_in_time_has_no_reward_and_the_time_is_kept() -> None:
    forever = Problem(id="forever", tests=("assert f() == 1",), limits=NEVER)
    quick, endless = block("def f(): return 1"), block("def f():\n    while True: pass")
    with Sandbox(workers=1) as own:
        own.judge(forever, "def f(): return 1")  # is warm
        seen: list[int] = []
        reward = ExecutionReward([forever], sandbox=own, timeout_s=1.0, cache_size=0)
        began_s = time.monotonic()
        scored = reward.score(
            [("forever", text) for text in (quick, endless, quick, quick)],
            progress=lambda place, item: seen.append(place),
        )
        assert 0.9 < time.monotonic() - began_s < 1.6
    assert [item.reward for item in scored] == [1.0, None, None, None]
    assert [item.result.verdict for item in scored] == [Verdict.AC, *[Verdict.IE] * 3]
    assert "not judged within its 1.0 s" in scored[1].result.message
    assert sorted(seen) == [0, 1, 2, 3]


def test_what_waits_when_the_time_is_over_is_cancelled(eventually: Callable[[Callable[[], object]], None]) -> None:
    tired = Problem(id="tired", tests=("assert f() == 1",), limits=Limits(cpu_s=0.6))
    with Sandbox(workers=1) as own:
        judge = Counting(own)
        reward = ExecutionReward([tired], sandbox=judge, timeout_s=0.3, cache_size=0)
        reward.score([("tired", block("def f():\n    while True: pass"))] * 100)
        eventually(lambda: own.activity.busy == own.activity.waiting == 0)
    assert len(judge.asked) < 10
    assert judge.answered == 1


@pytest.mark.parametrize("is_asynchronous", [False, True], ids=["sync", "async"])
def test_what_servers_hold_when_the_time_is_over_is_dropped_though_no_result_comes(
    start_server: Callable[..., Any], is_asynchronous: bool
) -> None:
    asleep = Problem(id="asleep", tests=("assert f() == 1",), limits=Limits(idle_s=6))
    named = [("asleep", block("import time\ndef f(): time.sleep(60)"))] * 40
    server = start_server()

    def depth() -> int:
        headers = {"authorization": f"Bearer {server.token}"}
        depth: int = httpx2.get(f"{server.address}/v1/stats", headers=headers, trust_env=False).json()["depth"]
        return depth

    with SandboxClient(server.url) as client:
        reward = ExecutionReward([asleep], sandbox=client, timeout_s=1.0, cache_size=0)
        began_s = time.monotonic()
        scored = asyncio.run(reward.score_async(named)) if is_asynchronous else reward.score(named)
        assert time.monotonic() - began_s < 2
        assert [item.reward for item in scored] == [None] * 40
        while depth() > 1:  # what runs cannot be cancelled
            assert time.monotonic() - began_s < 4
            time.sleep(0.05)


@pytest.mark.parametrize("is_asynchronous", [False, True], ids=["sync", "async"])
def test_servers_give_the_rewards_that_a_sandbox_gives(start_server: Callable[..., Any], is_asynchronous: bool) -> None:
    named = [("one", block(code)) for code in (AC, WA, RE, CE, TLE, AC)] + [("one", "I cannot.")]
    with SandboxClient(start_server().url) as client, ExecutionReward([ONE], sandbox=client) as reward:
        scored = asyncio.run(reward.score_async(named)) if is_asynchronous else reward.score(named)
    assert [item.reward for item in scored] == [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert [item.result.verdict.value for item in scored] == ["AC", "WA", "RE", "CE", "TLE", "AC", "NO_CODE"]


def test_servers_that_cannot_be_reached_are_no_reward() -> None:
    with SandboxClient("http://127.0.0.1:9", patience_s=0.2) as client:
        (scored,) = ExecutionReward([ONE], sandbox=client).score([("one", block(AC))])
    assert (scored.reward, scored.result.verdict) == (None, Verdict.IE)


def test_a_judge_that_never_answers_keeps_nobody_waiting() -> None:
    class Silent:
        released = threading.Event()

        def judge_as_completed(
            self, submissions: Iterable[tuple[Problem, str | None]], /, **options: Unpack[JudgeOptions]
        ) -> Iterator[tuple[int, JudgeResult]]:
            self.released.wait()
            yield from ()

    judge = Silent()
    began_s = time.monotonic()
    reward = ExecutionReward([ONE], sandbox=judge, timeout_s=0.2)
    assert reward.score([("one", AC)])[0].reward is None
    assert time.monotonic() - began_s < 1
    judge.released.set()


def test_cancelling_an_asynchronous_batch_cancels_what_waits(
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    tired = Problem(id="tired", tests=("assert f() == 1",), limits=Limits(cpu_s=0.5))
    with Sandbox(workers=1) as own:
        judge = Counting(own)
        reward = ExecutionReward([tired], sandbox=judge, cache_size=0)

        async def give_up() -> None:
            many = [("tired", block("def f():\n    while True: pass"))] * 100
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reward.score_async(many), timeout=0.3)

        began_s = time.monotonic()
        asyncio.run(give_up())
        assert time.monotonic() - began_s < 1
        eventually(lambda: own.activity.busy == own.activity.waiting == 0)
        assert len(judge.asked) < 20


def test_what_the_judge_raises_is_raised(box: Sandbox) -> None:
    broken = Problem(id="broken", tests=("assert",))
    with pytest.raises(ProblemError, match="broken"):
        ExecutionReward([broken], sandbox=box).score([("broken", block(AC))])


def test_what_progress_raises_ends_the_batch(judge: Counting) -> None:
    def refuse(place: int, scored: object) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        ExecutionReward([ONE], sandbox=judge, cache_size=0).score([("one", block(AC))] * 500, progress=refuse)
    assert len(judge.asked) < 500
