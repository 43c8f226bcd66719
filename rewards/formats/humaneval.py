"""HumanEval, and EvalPlus' HumanEval+, which has the same fields.

Source: Chen et al. 2021, arXiv 2107.03374; Liu et al. 2023, arXiv 2305.01210.
"""

from __future__ import annotations

from rewards.entry import Entry
from rewards.prompts import COMPLETE_REQUEST, fenced
from sandbox.problem import Problem
from sandbox.records import StrictRecord


class HumanEvalRow(StrictRecord):
    """A row of the set."""

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str

    def to_entry(self) -> Entry:
        """The problem; its prelude is the prompt.

        The prompt holds imports and helper functions that programs and tests use, then the stub, which a program
        replaces. The canonical solution is only a body, so the prompt is put before it.
        """
        problem = Problem(
            id=self.task_id,
            prompt=f"{COMPLETE_REQUEST}\n{fenced(self.prompt)}",
            tests=(self.test,),
            prelude=self.prompt,
            entry_point=self.entry_point,
            meta={"set": "humaneval"},
        )
        return Entry(problem, self.prompt + self.canonical_solution)
