from __future__ import annotations

import ast
from pathlib import Path

import pytest

from rewards.formats.humaneval import HumanEvalRow
from rewards.loading import load_problems
from sandbox import Sandbox, Verdict

PROMPT = 'import math\n\n\ndef area(r: float) -> float:\n    """Area of a circle."""\n'
ROW = {
    "task_id": "HumanEval/900",
    "prompt": PROMPT,
    "entry_point": "area",
    "canonical_solution": "    return math.pi * r * r\n",
    "test": "def check(candidate):\n    assert candidate(0) == 0\n",
}


def test_the_prelude_is_the_prompt_without_the_stub_and_the_solution_stands_alone() -> None:
    problem, solution, _, stub, _ = HumanEvalRow.model_validate(ROW).to_entry()
    assert (problem.id, problem.prelude, problem.entry_point) == ("HumanEval/900", "import math\n\n\n", "area")
    assert problem.tests == (ROW["test"],)
    assert PROMPT.strip() in problem.prompt
    assert stub == PROMPT
    assert solution is not None
    scope: dict[str, object] = {}
    exec(solution, scope)
    area = scope["area"]
    assert callable(area)
    assert 3.14 < area(1) < 3.15


def test_the_published_set_is_read_whole(data_dir: Path) -> None:
    entries = load_problems(data_dir / "HumanEval.jsonl.gz")
    assert len(entries) == 164
    for problem, solution, *_ in entries:
        assert solution is not None
        ast.parse(solution)
        assert f"def {problem.entry_point}(" in problem.prompt
        assert f"def {problem.entry_point}(" not in problem.prelude


def test_a_program_without_the_function_passes_no_test_even_where_none_is_right(box: Sandbox) -> None:
    row = ROW | {"test": "def check(candidate):\n    assert candidate(0) is None\n"}
    problem = HumanEvalRow.model_validate(row).to_entry().problem
    assert box.judge(problem, "x = 1").verdict is Verdict.RE
    assert box.judge(problem, "def area(r):\n    return None").verdict is Verdict.AC


def test_a_prompt_without_the_entry_point_is_an_error() -> None:
    with pytest.raises(ValueError, match="no function 'volume'"):
        HumanEvalRow.model_validate(ROW | {"entry_point": "volume"}).to_entry()
