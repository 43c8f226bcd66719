"""A problem with a program known to solve it."""

from __future__ import annotations

from typing import NamedTuple

from rewards.prompts import fenced
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
    answer: str = ""
    """What was once answered to the prompt, prose included; empty where the data set has at most a program."""

    def as_answer(self) -> str | None:
        """How a model that solves it may answer: `answer`, else the solution as a block; None: there is neither."""
        if self.answer or self.solution is None:
            return self.answer or None
        return fenced(self.solution, self.problem.language)
