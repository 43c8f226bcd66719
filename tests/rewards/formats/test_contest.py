from __future__ import annotations

import base64
import json
import pickle
import zlib
from pathlib import Path

import pytest

from rewards.formats.contest import ContestRow, LiveCodeBenchRow
from sandbox.problem import Kind, StdioTest

TEXTS = {"inputs": ["1\n", "2\n"], "outputs": ["1\n", ["2"]]}
CALLS = {"fn_name": "f", "inputs": [[[1, 2], "a"], [[], None]], "outputs": [[1], True]}
CASES = [{"input": "1\n", "output": "1", "testtype": "stdin"}]
LIVE = {
    "question_id": "q1",
    "question_title": "T",
    "question_content": "Do it.",
    "public_test_cases": json.dumps(CASES),
    "private_test_cases": json.dumps(CASES * 2),
}


def contest(cases: object, **fields: object) -> ContestRow:
    return ContestRow.model_validate({"question": "Do it.", "input_output": json.dumps(cases)} | fields)


def packed(content: object) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(content))).decode()


def test_texts_become_a_stdio_problem_with_the_first_solution() -> None:
    row = contest(TEXTS, problem_id=3, solutions='["a = 1", "b"]', difficulty="interview", url="u", starter_code="")
    problem, solution, *_ = row.to_entry()
    assert (problem.id, problem.kind, solution) == ("contest/3", Kind.STDIO, "a = 1")
    assert problem.tests == (StdioTest(stdin="1\n", stdout="1\n"), StdioTest(stdin="2\n", stdout="2\n"))
    assert problem.meta["difficulty"] == "interview"


def test_a_row_without_an_id_gets_one_from_its_question() -> None:
    assert contest(TEXTS).to_entry().problem.id == contest(CALLS, name="other").to_entry().problem.id
    assert contest(TEXTS).to_entry().problem.id != contest(TEXTS, question="Do that.").to_entry().problem.id


def test_fields_that_taco_names_with_blanks_are_known() -> None:
    assert contest(TEXTS, **{"Expected Auxiliary Space": None, "Expected Time Complexity": "O(n)", "tags": "[]"})


def test_calls_become_a_function_problem() -> None:
    problem = contest(CALLS, starter_code="def f(a, b):\n").to_entry().problem
    assert problem.entry_point == "f"
    assert problem.tests == (
        "def check(candidate):\n    assert candidate([1, 2], 'a') == [1]",
        "def check(candidate):\n    assert candidate([], None) == True",
    )
    in_class = contest(CALLS, starter_code="class Solution:\n    def f(self, a, b):\n").to_entry().problem
    assert in_class.entry_point == "Solution().f"
    assert "class Solution" in in_class.prompt


@pytest.mark.parametrize(
    ("cases", "reason"),
    [
        ({"inputs": [], "outputs": []}, "input_output"),
        ({"inputs": ["1"], "outputs": ["1", "2"]}, "1 inputs but 2 outputs"),
        ({"inputs": [1], "outputs": ["1"]}, r"input_output\.inputs"),
        ({"inputs": ["1"], "outputs": ["1"], "fn_name": "f"}, r"input_output\.inputs"),
        ({"fn_name": "f", "inputs": [[1]], "outputs": [1, 2]}, "1 inputs but 2 outputs"),
        ("", "input_output"),
    ],
)
def test_malformed_tests_are_errors(cases: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        contest(cases).to_entry()


def test_public_and_private_tests_are_judged() -> None:
    problem = LiveCodeBenchRow.model_validate(LIVE).to_entry().problem
    assert (problem.id, len(problem.tests), problem.kind) == ("livecodebench/q1", 3, Kind.STDIO)
    same = LiveCodeBenchRow.model_validate(LIVE | {"private_test_cases": packed(json.dumps(CASES * 2))})
    assert same.to_entry().problem == problem


def test_functional_tests_have_an_argument_a_line() -> None:
    cases = json.dumps([{"input": '[1, 2]\n"a"', "output": "null", "testtype": "functional"}])
    row = LIVE | {"public_test_cases": cases, "private_test_cases": "[]", "metadata": '{"func_name": "f"}'}
    problem = (
        LiveCodeBenchRow.model_validate(row | {"starter_code": "class Solution:\n    def f(self):"}).to_entry().problem
    )
    assert problem.entry_point == "Solution().f"
    assert problem.tests == ("def check(candidate):\n    assert candidate([1, 2], 'a') == None",)
    with pytest.raises(ValueError, match="func_name is None"):
        LiveCodeBenchRow.model_validate(row | {"metadata": "{}"}).to_entry()


class Harmful:
    """Unpickled without care, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_packed_tests_cannot_run_code(tmp_path: Path) -> None:
    row = LiveCodeBenchRow.model_validate(LIVE | {"private_test_cases": packed(Harmful(tmp_path / "made"))})
    with pytest.raises(ValueError, match="only text is accepted"):
        row.to_entry()
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("cases", ["", "!", "AAAA", packed(3), base64.b64encode(zlib.compress(b"")).decode()])
def test_broken_packed_tests_are_errors(cases: str) -> None:
    with pytest.raises(ValueError, match="private_test_cases"):
        LiveCodeBenchRow.model_validate(LIVE | {"private_test_cases": cases}).to_entry()
