"""BigCodeBench: functions that use libraries, judged by unittest classes with mocks.

Source: Zhuo et al. 2024, arXiv 2406.15877.
"""

from __future__ import annotations

from rewards.entry import Entry
from sandbox.problem import Kind, Problem
from sandbox.records import StrictRecord


class BigCodeBenchRow(StrictRecord):
    """A row of the set."""

    task_id: str
    complete_prompt: str
    instruct_prompt: str
    canonical_solution: str
    code_prompt: str
    test: str
    entry_point: str
    doc_struct: str = ""
    libs: str = ""

    def to_entry(self) -> Entry:
        """The problem as it is put to chat models; programs hold the imports and the function's head themselves.

        The names that the set's own harness offers to all programs are in the prelude.
        """
        problem = Problem(
            id=self.task_id,
            prompt=self.instruct_prompt,
            kind=Kind.SHARED,
            tests=(self.test,),
            prelude="import os, sys\nfrom os import environ\n",
            entry_point=self.entry_point,
            meta={"set": "bigcodebench", "libs": self.libs},
        )
        return Entry(problem, self.code_prompt + self.canonical_solution, stub=self.complete_prompt)
