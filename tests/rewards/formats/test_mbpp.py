from __future__ import annotations

from pathlib import Path

import pytest

from rewards.formats.mbpp import MbppFullRow, MbppSanitizedRow
from rewards.loading import load_problems

FULL = {
    "task_id": 7,
    "text": "Write a function to double a number.",
    "code": "def helper(x):\r\n  return x\r\ndef double(n, times=1):\r\n  return 2 * helper(n)",
    "test_list": ["assert double(2) == 4", "assert double(0) == 0"],
    "test_setup_code": "",
    "challenge_test_list": ["assert double(-1) == -2"],
}


def test_all_tests_of_a_full_row_count_and_line_ends_are_plain() -> None:
    problem, solution, *_ = MbppFullRow.model_validate(FULL).to_entry()
    assert problem.id == "mbpp/7"
    assert problem.tests == ("assert double(2) == 4", "assert double(0) == 0", "assert double(-1) == -2")
    assert solution is not None
    assert "\r" not in solution


def test_the_prompt_shows_the_signature_of_the_tested_function_and_no_test() -> None:
    prompt = MbppFullRow.model_validate(FULL).to_entry().problem.prompt
    assert "Write a function to double a number." in prompt
    assert "def double(n, times=1):" in prompt
    assert "helper" not in prompt
    assert "assert" not in prompt


def test_setup_code_runs_before_each_test_after_the_program() -> None:
    row = FULL | {"test_setup_code": "root = Node(1)\r\nroot.left = Node(2)", "challenge_test_list": []}
    problem = MbppFullRow.model_validate(row).to_entry().problem
    assert problem.prelude == ""
    assert problem.tests[1] == "root = Node(1)\nroot.left = Node(2)\nassert double(0) == 0"


def test_imports_of_a_sanitized_row_are_the_prelude() -> None:
    row = {
        "source_file": "a.ipynb",
        "task_id": 8,
        "prompt": "Write a function to find the square root.",
        "code": "import math\ndef root(n):\n return math.sqrt(n)",
        "test_imports": ["import math", "import re"],
        "test_list": ["assert root(4) == 2"],
    }
    problem = MbppSanitizedRow.model_validate(row).to_entry().problem
    assert (problem.prelude, problem.tests) == ("import math\nimport re", ("assert root(4) == 2",))
    plus = MbppSanitizedRow.model_validate(row | {"test": "assert root(9) == 3"}).to_entry().problem
    assert plus.tests == ("assert root(9) == 3",)


def test_a_solution_without_the_tested_function_is_an_error() -> None:
    with pytest.raises(ValueError, match="none of the functions that `code` defines: other"):
        MbppFullRow.model_validate(FULL | {"code": "def other(n):\n  return 0"}).to_entry()


@pytest.mark.parametrize(("name", "count", "tests"), [("mbpp.jsonl", 974, 2938), ("sanitized-mbpp.json", 427, 1324)])
def test_the_published_set_is_read_whole(data_dir: Path, name: str, count: int, tests: int) -> None:
    entries = load_problems(data_dir / name)
    assert (len(entries), sum(len(entry.problem.tests) for entry in entries)) == (count, tests)
