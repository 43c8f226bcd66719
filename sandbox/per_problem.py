"""What was computed of problems, remembered as long as these live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import ref

from sandbox.problem import Problem

Value = TypeVar("Value")


class PerProblem(Generic[Value]):
    """By identity, as to hash a problem costs as much as to compute most things. Thread-safe.

    Args:
        compute: of a problem; what it raises is raised. Its value must not hold the problem, or both would stay.
    """

    def __init__(self, compute: Callable[[Problem], Value]) -> None:
        self._compute = compute
        self._known: dict[int, tuple[ref[Problem], Value]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def of(self, problem: Problem) -> Value:
        """That of a problem."""
        place = id(problem)
        known = self._known.get(place)
        if known is not None and known[0]() is problem:
            return known[1]
        value = self._compute(problem)

        def forget(dead: ref[Problem]) -> None:
            held = self._known.get(place)
            if held is not None and held[0] is dead:  # its id may be another one's by now
                del self._known[place]

        self._known[place] = (ref(problem, forget), value)
        return value
