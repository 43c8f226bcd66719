from __future__ import annotations

import pytest

from rewards.evaluation.summary import summarise
from sandbox import Problem, Verdict
from sandbox.records import ResultRecord


def problem(name: str, **meta: str) -> Problem:
    return Problem(id=name, tests=("assert f()",), meta=meta)


def result(name: str, verdict: str, message: str = "") -> ResultRecord:
    return ResultRecord(
        problem_id=name,
        verdict=Verdict(verdict),
        passed=int(verdict == "AC"),
        total=1,
        pass_rate=float(verdict == "AC"),
        tests=[],
        message=message,
        cpu_s=0.0,
        wall_s=0.0,
        peak_memory_bytes=0,
        enforcement="userns",
        tamper_proof=True,
    )


def results(**verdicts: str) -> list[ResultRecord]:
    return [result(name, verdict) for name, its in verdicts.items() for verdict in its.split()]


def test_pass_at_k_is_the_mean_over_problems() -> None:
    """1 of 4 and 2 of 4 right: pass@1 is 1/4 and 1/2; pass@2 is 1 - C(3,2)/C(4,2) = 1/2 and 1 - C(2,2)/C(4,2) = 5/6."""
    found = summarise([problem("a"), problem("b")], results(a="AC WA WA RE", b="AC AC CE TLE"), [1, 2])
    one, two = found.overall.pass_at
    assert (one.value, two.value) == pytest.approx((3 / 8, 2 / 3))
    # A mean of two is one of them or both: a quarter of the resamplings each, a half.
    assert (one.low, one.high) == pytest.approx((1 / 4, 1 / 2))
    assert (found.overall.solved, found.overall.samples) == (2, 8)


def test_a_failure_of_the_host_counts_as_if_the_sample_were_not_there() -> None:
    found = summarise([problem("a"), problem("b")], results(a="AC IE", b="IE IE"), [1, 2])
    (one,) = found.overall.pass_at
    assert (one.k, one.value, one.problems) == (1, 1.0, 1)
    assert (found.host_failures, found.overall.samples, found.overall.attempted) == (3, 1, 1)
    assert found.verdicts == {Verdict.AC: 1}
    assert found.failures == ()
    assert found.not_attempted == ()


def test_problems_without_samples_have_no_part_in_pass_at_k_and_are_named() -> None:
    found = summarise([problem("a"), problem("b"), problem("c")], results(a="AC WA"), [1])
    (one,) = found.overall.pass_at
    assert (one.value, one.problems, one.with_missing_as_failed) == pytest.approx((0.5, 1, 1 / 6))
    assert found.not_attempted == ("b", "c")


def test_pass_at_k_is_over_problems_with_as_many_samples() -> None:
    found = summarise([problem("a"), problem("b")], results(a="AC WA", b="WA"), [1, 2, 3])
    assert [(it.k, it.value, it.problems) for it in found.overall.pass_at] == [(1, 0.25, 2), (2, 1.0, 1)]


def test_groups_are_by_difficulty_before_topic() -> None:
    problems = [problem("a", difficulty="easy", topic="x"), problem("b", difficulty="hard"), problem("c", topic="x")]
    found = summarise(problems, results(a="AC", b="WA", c="AC"), [1])
    assert found.grouped_by == "difficulty"
    assert {group.name: group.pass_at[0].value for group in found.groups} == {"easy": 1, "hard": 0, "none given": 1}
    assert summarise(problems[2:], results(c="AC"), [1]).grouped_by == "topic"
    assert summarise([problem("d")], results(d="AC"), [1]).groups == ()


def test_failures_are_counted_by_verdict_and_last_line() -> None:
    rows = [
        result("a", "RE", "Traceback\nNameError: x"),
        result("b", "RE", "NameError: x"),
        result("a", "WA", "NameError: x"),
        result("a", "AC"),
        result("a", "RE", "NameError: x"),
        result("b", "RE", f"\x1b[31m\u202e\ud800{'y' * 500}"),
    ]
    first, second, third = summarise([problem("a"), problem("b")], rows, [1]).failures
    assert (first.verdict, first.message, first.samples, first.problems, first.example) == (
        "RE",
        "NameError: x",
        3,
        2,
        0,
    )
    assert (second.verdict, second.example) == ("WA", 2)
    assert third.message.startswith(r"\x1b[31m\u202e\ud800yyy")
    assert len(third.message) == 160


def test_verdicts_are_counted_the_best_first() -> None:
    assert list(summarise([problem("a")], results(a="CE WA AC CE"), [1]).verdicts.items()) == [
        (Verdict.AC, 1),
        (Verdict.WA, 1),
        (Verdict.CE, 2),
    ]
