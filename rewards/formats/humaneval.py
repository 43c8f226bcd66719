"""HumanEval, and EvalPlus' HumanEval+, which has the same fields.

Source: Chen et al. 2021, arXiv 2107.03374; Liu et al. 2023, arXiv 2305.01210.
"""

from __future__ import annotations

import ast

from rewards.entry import Entry
from rewards.prompts import COMPLETE_REQUEST, fenced
from sandbox.problem import Problem
from sandbox.records import StrictRecord
from sandbox.syntax import parse


class HumanEvalRow(StrictRecord):
    """A row of the set."""

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str

    def to_entry(self) -> Entry:
        """The problem; its prelude is the prompt without the stub.

        The prompt holds imports and helper functions that programs and tests use. The stub at its end must not stay:
        it would stand in for a function that a program lacks, and answer None to every test. The canonical solution
        is only a body, so the whole prompt is put before it.

        Raises:
            ValueError: the prompt has no stub of the entry point.
        """
        problem = Problem(
            id=self.task_id,
            prompt=f"{COMPLETE_REQUEST}\n{fenced(self.prompt)}",
            tests=(self.test,),
            prelude=_without_stub(self.prompt, self.entry_point),
            entry_point=self.entry_point,
            meta={"set": "humaneval"},
        )
        return Entry(problem, self.prompt + self.canonical_solution, stub=self.prompt)


def _without_stub(prompt: str, entry_point: str) -> str:
    """The prompt's code before the function that is to be completed."""
    for node in reversed(parse(prompt).body):
        if isinstance(node, ast.FunctionDef) and node.name == entry_point:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            return "".join(f"{line}\n" for line in prompt.split("\n")[: first - 1])
    raise ValueError(f"prompt: it has no function {entry_point!r}, which `entry_point` names")
