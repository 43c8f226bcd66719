from __future__ import annotations

from rewards.entry import Entry
from rewards.formats.native import NativeRow
from sandbox.problem import Problem


def test_a_row_of_the_judge_is_a_row_here_with_or_without_a_solution() -> None:
    row = {"id": "a", "tests": ["assert f() == 1"]}
    problem = Problem(id="a", tests=("assert f() == 1",))
    assert NativeRow.model_validate(row).to_entry() == Entry(problem)
    assert NativeRow.model_validate(row | {"solution": "f = int"}).to_entry() == Entry(problem, "f = int")
