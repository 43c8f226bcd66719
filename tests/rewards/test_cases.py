"""Tests counted and taken out of test code as the judge sees them."""

import pytest

from rewards.cases import count_tests, first_tests, without_tests
from sandbox import Kind, Problem, StdioTest
from sandbox.worker.tests import compile_tests

CHECK = """METADATA = {}

def check(candidate):
    big = "é" * 3; assert candidate(big) == 3; assert candidate("") == 0
    for k in range(3):
        assert candidate("a" * k) == k  # one test
    assert candidate(
        "abcd"
    ) == 4
"""


def function(*tests: str, prelude: str = "") -> Problem:
    return Problem(id="p", tests=tests, prelude=prelude, entry_point="f")


@pytest.mark.parametrize(
    "problem",
    [
        function(CHECK),
        function("x = 1\nassert f(x)", "assert f(2)\nassert f(3)"),
        function("same(f(1), 2)\nf(3)", prelude="def same(a, b):\n    assert a == b"),
    ],
)
def test_tests_are_counted_as_the_judge_counts_them(problem: Problem) -> None:
    assert count_tests(problem) == compile_tests(problem.tests, problem.prelude).total


def test_only_the_tests_that_are_dropped_are_gone_and_all_else_is_as_it_was() -> None:
    shortened = without_tests(function(CHECK), [0, 2])
    assert shortened is not None
    assert shortened.tests == (
        CHECK.replace("assert candidate(big) == 3", "pass").replace(
            'for k in range(3):\n        assert candidate("a" * k) == k', "pass"
        ),
    )
    assert count_tests(shortened) == 2


def test_the_first_tests_are_kept_over_all_pieces() -> None:
    assert first_tests(function("assert f(1)\nassert f(2)", "assert f(3)"), 2).tests == (
        "assert f(1)\nassert f(2)",
        "pass",
    )
    stdio = Problem(id="s", kind=Kind.STDIO, tests=tuple(StdioTest(stdin=str(k), stdout="") for k in range(4)))
    assert first_tests(stdio, 2).tests == stdio.tests[:2]
    assert first_tests(stdio, 9) is stdio


def test_tests_that_share_a_line_are_dropped_one_by_one() -> None:
    shortened = without_tests(function("é = 1; assert f(1); assert f(\n  2); assert f(3)\nassert f(4)"), [0, 1, 3])
    assert shortened is not None
    assert shortened.tests == ("é = 1; pass; pass; assert f(3)\npass",)


def test_a_problem_without_a_test_left_is_none() -> None:
    assert without_tests(function(CHECK), range(4)) is None


def test_tests_that_only_running_tells_are_not_counted() -> None:
    with pytest.raises(ValueError, match="'shared'"):
        count_tests(Problem(id="u", kind=Kind.SHARED, tests=("import unittest",)))
