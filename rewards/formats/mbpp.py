"""MBPP in its three forms: full, sanitized, and the rows of EvalPlus' MBPP+.

Source: Austin et al. 2021, arXiv 2108.07732; Liu et al. 2023, arXiv 2305.01210.
"""

from __future__ import annotations

import ast

from pydantic import Field

from rewards.entry import Entry
from rewards.prompts import code_request
from sandbox.problem import Problem
from sandbox.records import StrictRecord
from sandbox.syntax import parse


class MbppFullRow(StrictRecord):
    """A row of the full set."""

    task_id: int
    text: str
    code: str
    test_list: list[str] = Field(min_length=1)
    test_setup_code: str = ""
    challenge_test_list: list[str] = Field(default_factory=list)

    def to_entry(self) -> Entry:
        """The problem; all tests, the challenging ones too, count.

        The setup code runs before each test, not in the prelude: it uses classes that the program defines.
        """
        setup = _unix(self.test_setup_code)
        tests = [_unix(test) for test in self.test_list + self.challenge_test_list]
        return _entry(self.task_id, self.text, self.code, [f"{setup}\n{test}" if setup else test for test in tests], "")


class MbppSanitizedRow(StrictRecord):
    """A row of the sanitized set, or of MBPP+, whose `test` holds many more tests in one script."""

    task_id: int
    prompt: str
    code: str
    test_list: list[str] = Field(min_length=1)
    test_imports: list[str] = Field(default_factory=list)
    test: str | None = None
    source_file: str | None = None

    def to_entry(self) -> Entry:
        """The problem; `test`, where there is one, contains the tests of `test_list`."""
        tests = self.test_list if self.test is None else [self.test]
        return _entry(
            self.task_id, self.prompt, self.code, [_unix(test) for test in tests], "\n".join(self.test_imports)
        )


def _entry(task_id: int, text: str, code: str, tests: list[str], prelude: str) -> Entry:
    """The prompt shows the signature: without it a model cannot know the name that the tests call."""
    solution = _unix(code)
    entry_point = _tested_function(solution, tests[0])
    problem = Problem(
        id=f"mbpp/{task_id}",
        prompt=code_request(text.strip(), f"def {entry_point.name}({ast.unparse(entry_point.args)}):"),
        entry_point=entry_point.name,
        tests=tuple(tests),
        prelude=prelude,
        meta={"set": "mbpp"},
    )
    return Entry(problem, solution)


def _tested_function(solution: str, test: str) -> ast.FunctionDef:
    """The function of the solution that the test calls.

    Raises:
        ValueError: the solution defines no function that the test calls, or one of them is not Python.
    """
    called = {node.id for node in ast.walk(parse(test)) if isinstance(node, ast.Name)}
    defined = {node.name: node for node in parse(solution).body if isinstance(node, ast.FunctionDef)}
    for name, node in defined.items():
        if name in called:
            return node
    raise ValueError(f"the test calls none of the functions that `code` defines: {', '.join(defined) or 'none'}")


def _unix(text: str) -> str:
    r"""The set mixes line ends; `\n` only."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
