from __future__ import annotations

import pytest

from rewards.shapes import all_or_nothing, compiles, fraction, mixed, threshold, weighted
from sandbox import JudgeResult, Problem, Verdict
from sandbox import TestResult as OneTest

PROBLEM = Problem(id="p", tests=("assert f(1)", "assert f(2)", "assert f(3)", "assert f(4)"))


def result(*verdicts: Verdict, verdict: Verdict | None = None) -> JudgeResult:
    """Of `PROBLEM`; no verdicts of tests: there was no program to run."""
    return JudgeResult(
        verdict=verdict or min(verdicts, key=list(Verdict).index),
        passed=verdicts.count(Verdict.AC),
        total=4,
        tests=tuple(OneTest(verdict=item, message="", wall_s=0.0) for item in verdicts),
        message="",
        cpu_s=0.0,
        wall_s=0.0,
        peak_memory_bytes=0,
        enforcement="userns",
        tamper_proof=True,
    )


AC, WA, RE, CE, SKIPPED = Verdict.AC, Verdict.WA, Verdict.RE, Verdict.CE, Verdict.SKIPPED
NO_CODE = result(verdict=Verdict.NO_CODE)


def test_fraction_and_all_or_nothing() -> None:
    assert fraction(PROBLEM, result(AC, WA, AC, RE)) == 0.5
    assert all_or_nothing(PROBLEM, result(AC, AC, AC, WA)) == 0.0
    assert all_or_nothing(PROBLEM, result(AC, AC, AC, AC)) == 1.0


def test_a_program_that_compiles_is_one_whatever_it_does() -> None:
    assert [compiles(PROBLEM, item) for item in (result(RE, RE, RE, RE), result(CE, CE, CE, CE), NO_CODE)] == [1, 0, 0]


def test_a_threshold_is_met_by_the_rate_itself_and_by_nothing_below() -> None:
    half = threshold(0.5)
    rates = (result(AC, AC, WA, WA), result(AC, WA, WA, WA), result(AC, AC, AC, SKIPPED), NO_CODE)
    assert [half(PROBLEM, item) for item in rates] == [1.0, 0.0, 1.0, 0.0]


def test_rounding_does_not_miss_a_threshold() -> None:
    tenths = mixed(*[(0.1, all_or_nothing)] * 3)  # 0.30000000000000004 in another order, 0.1 + 0.1 + 0.1 < 0.3 in none
    assert threshold(0.3 + 1e-12, tenths)(PROBLEM, result(AC, AC, AC, AC)) == 1.0


def test_weights_count_instead_of_numbers_of_tests() -> None:
    shape = weighted({"p": [5, 3, 2, 0]})
    assert shape(PROBLEM, result(AC, WA, WA, WA)) == 0.5
    assert shape(PROBLEM, result(WA, AC, AC, WA)) == 0.5
    assert shape(PROBLEM, result(AC, AC, AC, WA)) == 1.0
    assert shape(PROBLEM, NO_CODE) == 0.0


def test_tests_of_a_problem_without_weights_weigh_the_same() -> None:
    assert weighted({"q": [1]})(PROBLEM, result(AC, WA, WA, WA)) == 0.25


def test_parts_are_added_up() -> None:
    shape = mixed((0.9, threshold(1.0)), (0.1, compiles))
    values = [shape(PROBLEM, item) for item in (result(AC, AC, AC, AC), result(AC, AC, AC, WA), NO_CODE)]
    assert values == pytest.approx([1.0, 0.1, 0.0])


def test_what_cannot_be_meant_is_an_error() -> None:
    for share in (0, -0.5, 1.5, float("nan")):
        with pytest.raises(ValueError, match="greater than 0, at most 1"):
            threshold(share)
    for weights in ([1, -1], [0, 0], [], [float("inf")], [float("nan")]):
        with pytest.raises(ValueError, match="weights of 'p'"):
            weighted({"p": weights})
    with pytest.raises(ValueError, match="'p' has 4 tests but 2 weights"):
        weighted({"p": [1, 1]})(PROBLEM, result(AC, WA, WA, WA))
    with pytest.raises(ValueError, match="nothing"):
        mixed()
