"""LeetCodeDataset, all versions. Source: Xia et al. 2025, arXiv 2504.14655."""

from __future__ import annotations

import datetime as dt

from pydantic import JsonValue

from rewards.entry import Entry
from sandbox.extraction import extract_code
from sandbox.problem import Problem
from sandbox.records import StrictRecord


class LeetCodeRow(StrictRecord):
    """A row of the set. `prompt` is not the prompt: it holds imports and helper classes; `query` is what is asked."""

    task_id: str
    prompt: str
    completion: str
    entry_point: str
    test: str
    query: str
    response: str = ""
    input_output: JsonValue = None
    """The tests once more as text; `test` is what counts."""
    meta: dict[str, JsonValue] | None = None
    # Since v0.3.1 these stand beside the others instead of in `meta`.
    question_id: int | None = None
    difficulty: str | None = None
    tags: list[str] | None = None
    problem_description: str | None = None
    starter_code: str | None = None
    estimated_date: str | dt.datetime | None = None

    def to_entry(self) -> Entry:
        """The problem as a `check(candidate)` test."""
        difficulty = self.difficulty or (self.meta or {}).get("difficulty")
        problem = Problem(
            id=f"leetcode/{self.task_id}",
            prompt=self.query,
            tests=(self.test,),
            prelude=self.prompt,
            entry_point=self.entry_point,
            meta={"set": "leetcode"} | ({"difficulty": str(difficulty)} if difficulty else {}),
        )
        # Many rows of later versions answer in bare code, which their own prompts forbid.
        answer = self.response if extract_code(self.response) is not None else ""
        return Entry(problem, self.completion, answer=answer)
