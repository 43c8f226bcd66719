"""The tests of a problem one by one: counted as the judge counts them, and taken out of its test code."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sandbox.problem import Kind, Problem, StdioTest
from sandbox.worker.tests import asserting_statements


class FunctionCase(NamedTuple):
    """One test of a `function` problem."""

    piece: int
    """Which of `Problem.tests`."""
    statement: ast.stmt


def function_cases(problem: Problem) -> list[FunctionCase]:
    """All tests of a `function` problem, in the judge's order."""
    return [
        FunctionCase(index, statement)
        for index, piece in enumerate(problem.tests)
        if isinstance(piece, str)
        for statement in asserting_statements(piece, problem.prelude)
    ]


def count_tests(problem: Problem) -> int:
    """How many tests the judge finds.

    Raises:
        ValueError: the problem is `shared`, whose tests only running them tells.
    """
    if problem.kind is Kind.SHARED:
        raise ValueError(f"problem {problem.id!r} is of kind 'shared'; its tests cannot be counted beforehand")
    return len(problem.tests) if problem.kind is Kind.STDIO else len(function_cases(problem))


def without_tests(problem: Problem, dropped: Collection[int]) -> Problem | None:
    """The problem without some of its tests; None where no test is left.

    Args:
        problem: not of kind `shared`.
        dropped: places in the judge's order. What is not a test (set-up, helpers) stays.
    """
    if not dropped:
        return problem
    if problem.kind is Kind.STDIO:
        kept = [test for index, test in enumerate(problem.tests) if index not in dropped]
        left = tuple(test for test in kept if isinstance(test, StdioTest))
        return dataclasses.replace(problem, tests=left) if left else None
    cases = function_cases(problem)
    if all(index in dropped for index in range(len(cases))):
        return None
    return _without_cases(problem, [cases[index] for index in sorted(dropped)])


def first_tests(problem: Problem, most: int) -> Problem:
    """The problem with at most so many tests, >= 1: the first ones.

    Args:
        problem: not of kind `shared`.
    """
    if problem.kind is Kind.FUNCTION:  # whose tests are parsed once, not once to be counted and once to be dropped
        dropped = function_cases(problem)[most:]
        return _without_cases(problem, dropped) if dropped else problem
    shortened = without_tests(problem, range(most, count_tests(problem)))
    assert shortened is not None  # at least the first test is left
    return shortened


def _without_cases(problem: Problem, cases: Sequence[FunctionCase]) -> Problem:
    pieces = [piece for piece in problem.tests if isinstance(piece, str)]
    for index, piece in enumerate(pieces):
        statements = [case.statement for case in cases if case.piece == index]
        if statements:
            pieces[index] = _blanked(piece, statements)
    return dataclasses.replace(problem, tests=tuple(pieces))


def _blanked(piece: str, statements: Sequence[ast.stmt]) -> str:
    """The piece with `pass` in the place of each statement, given in order; all else stays as it was, to the letter."""
    lines = piece.encode().splitlines(keepends=True)  # ast counts columns in bytes
    for statement in reversed(statements):  # from the end, so that places ahead stay what they are
        assert statement.end_lineno is not None
        assert statement.end_col_offset is not None
        before = lines[statement.lineno - 1][: statement.col_offset]
        after = lines[statement.end_lineno - 1][statement.end_col_offset :]
        lines[statement.lineno - 1 : statement.end_lineno] = [before + b"pass" + after]
    return b"".join(lines).decode()
