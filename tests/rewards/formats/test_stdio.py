from __future__ import annotations

import pytest

from rewards.formats.stdio import StdioRow
from sandbox.checker import Checker, Compare
from sandbox.limits import Limits
from sandbox.problem import Kind, StdioTest

ROW = {"id": "sum", "prompt": "Add.", "inputs": ["1 2\n", ["3", "4"]], "outputs": ["3", ["7"]]}


def test_texts_stay_and_lists_are_lines() -> None:
    problem = StdioRow.model_validate(ROW).to_entry().problem
    assert problem.kind is Kind.STDIO
    assert problem.tests == (StdioTest(stdin="1 2\n", stdout="3"), StdioTest(stdin="3\n4\n", stdout="7\n"))


def test_checker_limits_and_solution_come_along() -> None:
    row = ROW | {"checker": "floats", "limits": {"cpu_s": 1.5}, "solution": "print(3)", "meta": {"level": "1"}}
    problem, solution, *_ = StdioRow.model_validate(row).to_entry()
    assert (problem.checker, problem.limits, solution) == (
        Checker(compare=Compare.FLOATS),
        Limits(cpu_s=1.5),
        "print(3)",
    )
    assert problem.meta["level"] == "1"


def test_an_input_without_an_output_is_an_error() -> None:
    with pytest.raises(ValueError, match="2 inputs but 1 outputs"):
        StdioRow.model_validate(ROW | {"outputs": ["3"]}).to_entry()
