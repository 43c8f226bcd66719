from __future__ import annotations

from pathlib import Path

import pytest

from rewards.formats.leetcode import LeetCodeRow
from rewards.loading import load_problems

ROW = {
    "task_id": "plus-one",
    "prompt": "from typing import *\n",
    "completion": "class Solution:\n    def plusOne(self, n: int) -> int:\n        return n + 1\n",
    "entry_point": "Solution().plusOne",
    "test": "def check(candidate):\n    assert candidate(n = 1) == 2\n",
    "query": "Add one.",
    "response": "Well.",
    "input_output": [{"input": "n = 1", "output": "2"}],
    "meta": {"question_id": 1, "difficulty": "Easy"},
}


def test_the_query_is_the_prompt_and_the_prompt_is_the_prelude() -> None:
    problem, solution, *_ = LeetCodeRow.model_validate(ROW).to_entry()
    assert (problem.id, problem.prompt, problem.prelude) == ("leetcode/plus-one", "Add one.", "from typing import *\n")
    assert (problem.entry_point, problem.tests) == ("Solution().plusOne", (ROW["test"],))
    assert problem.meta["difficulty"] == "Easy"
    assert solution == ROW["completion"]


def test_later_versions_have_the_difficulty_beside_the_rest() -> None:
    row = {name: value for name, value in ROW.items() if name != "meta"}
    later = row | {"difficulty": "Hard", "starter_code": "", "problem_description": "", "estimated_date": "2024-01-01"}
    assert LeetCodeRow.model_validate(later).to_entry().problem.meta["difficulty"] == "Hard"


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("Add.\n```python\nx = 1\n```\nDone.", "Add.\n```python\nx = 1\n```\nDone."),
        ("class Solution: pass", "```python\n" + ROW["completion"] + "```"),
        ("", "```python\n" + ROW["completion"] + "```"),
    ],
)
def test_the_answer_is_the_response_or_without_a_block_in_it_the_solution_as_one(response: str, answer: str) -> None:
    assert LeetCodeRow.model_validate(ROW | {"response": response}).to_entry().as_answer() == answer


@pytest.mark.parametrize(
    ("name", "count"), [("LeetCodeDataset-v0.2.0-train.jsonl.gz", 1890), ("LeetCodeDataset-v0.3.0-test.jsonl.gz", 386)]
)
def test_the_published_set_is_read_whole(data_dir: Path, name: str, count: int) -> None:
    assert len(load_problems(data_dir / name)) == count
