from __future__ import annotations

import ast
from pathlib import Path

from rewards.formats.humaneval import HumanEvalRow
from rewards.loading import load_problems

PROMPT = 'import math\n\n\ndef area(r: float) -> float:\n    """Area of a circle."""\n'
ROW = {
    "task_id": "HumanEval/900",
    "prompt": PROMPT,
    "entry_point": "area",
    "canonical_solution": "    return math.pi * r * r\n",
    "test": "def check(candidate):\n    assert candidate(0) == 0\n",
}


def test_the_prompt_is_the_prelude_and_the_solution_stands_alone() -> None:
    problem, solution, _ = HumanEvalRow.model_validate(ROW).to_entry()
    assert (problem.id, problem.prelude, problem.entry_point) == ("HumanEval/900", PROMPT, "area")
    assert problem.tests == (ROW["test"],)
    assert PROMPT.strip() in problem.prompt
    assert solution is not None
    scope: dict[str, object] = {}
    exec(solution, scope)
    area = scope["area"]
    assert callable(area)
    assert 3.14 < area(1) < 3.15


def test_the_published_set_is_read_whole(data_dir: Path) -> None:
    entries = load_problems(data_dir / "HumanEval.jsonl.gz")
    assert len(entries) == 164
    for problem, solution, _ in entries:
        assert solution is not None
        ast.parse(solution)
        assert f"def {problem.entry_point}(" in problem.prelude
