"""From the result of a judging to a reward: small functions that can be put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final, Literal

from sandbox.problem import Problem
from sandbox.result import JudgeResult
from sandbox.verdict import Verdict

Shape = Callable[[Problem, JudgeResult], float]
"""A reward; it is not asked about results of verdict IE, which are none."""
ShapeName = Literal["fraction", "all"]
_ROUNDING = 1e-9
"""A rate that misses a threshold by no more than rounding meets it."""


def fraction(problem: Problem, result: JudgeResult) -> float:  # noqa: ARG001  # a Shape
    """Of the tests, those passed; in [0, 1]."""
    return result.pass_rate


def all_or_nothing(problem: Problem, result: JudgeResult) -> float:  # noqa: ARG001  # a Shape
    """1 for AC, else 0."""
    return float(result.verdict is Verdict.AC)


def compiles(problem: Problem, result: JudgeResult) -> float:  # noqa: ARG001  # a Shape
    """1 where the completion holds a program that compiles, whatever it does; else 0."""
    return float(result.verdict not in {Verdict.NO_CODE, Verdict.CE})


def threshold(at_least: float, of: Shape = fraction) -> Shape:
    """1 where `of` is at least so much, else 0.

    Raises:
        ValueError: `at_least` is not in (0, 1]; 0 would be reached by every program.
    """
    if not 0 < at_least <= 1:
        raise ValueError(f"threshold({at_least!r}): it must be greater than 0, at most 1")
    return partial(_reaches, at_least, of)


def weighted(weights: Mapping[str, Sequence[float]]) -> Shape:
    """The weight of the tests passed, as a part of that of all; in [0, 1].

    Args:
        weights: of each test, in the order of `JudgeResult.tests`, by the problem's id. The tests of a problem that is
            left out weigh the same.

    Raises:
        ValueError: a weight is negative, or all those of a problem are 0. The function itself raises it where a problem
            has another number of tests than weights.
    """
    for problem_id, its in weights.items():
        if not all(0 <= weight < float("inf") for weight in its) or not sum(its) > 0:
            raise ValueError(f"weights of {problem_id!r} are {its!r}; none may be negative, and one must be above 0")
    return partial(_weighted_fraction, {problem_id: tuple(its) for problem_id, its in weights.items()})


def mixed(*parts: tuple[float, Shape]) -> Shape:
    """The sum of shapes, each times its factor, such as `mixed((0.9, fraction), (0.1, compiles))`.

    Raises:
        ValueError: no part is given.
    """
    if not parts:
        raise ValueError("mixed() of nothing; give at least one (factor, shape)")
    return partial(_sum, parts)


SHAPES: Final[Mapping[ShapeName, Shape]] = MappingProxyType({"fraction": fraction, "all": all_or_nothing})


# What the factories return are partials of these rather than closures, so that a reward can be sent to other processes.


def _reaches(at_least: float, of: Shape, problem: Problem, result: JudgeResult) -> float:
    return float(of(problem, result) >= at_least - _ROUNDING)


def _weighted_fraction(weights: Mapping[str, tuple[float, ...]], problem: Problem, result: JudgeResult) -> float:
    its = weights.get(problem.id)
    if its is None:
        return result.pass_rate
    if len(its) != result.total:
        raise ValueError(f"problem {problem.id!r} has {result.total} tests but {len(its)} weights; give one for each")
    # Of a completion without a program no test is listed.
    passed = sum(weight for weight, test in zip(its, result.tests, strict=False) if test.verdict is Verdict.AC)
    return passed / sum(its)


def _sum(parts: Sequence[tuple[float, Shape]], problem: Problem, result: JudgeResult) -> float:
    return sum(factor * shape(problem, result) for factor, shape in parts)
