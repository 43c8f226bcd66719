"""A problem with a program known to solve it."""

from __future__ import annotations

from typing import NamedTuple

from sandbox.problem import Problem


class Entry(NamedTuple):
    """A problem as a data set gives it."""

    problem: Problem
    solution: str | None = None
    """The canonical program, whole; None where the data set has none."""
    wrong: tuple[str, ...] = ()
    """Programs that must not be accepted; only the problem set of our own has them."""
    stub: str = ""
    """The code that a model which is no chat model continues; empty where the data set has none."""
