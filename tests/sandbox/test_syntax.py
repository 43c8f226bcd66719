from __future__ import annotations

from typing import Any

import pytest

from sandbox.errors import ProblemError
from sandbox.problem import Kind, Problem, StdioTest
from sandbox.syntax import check_syntax, parse


def test_code_that_python_warns_of_is_parsed_in_silence() -> None:
    assert parse("x = '\\d'\nassert x is 'a'")


@pytest.mark.parametrize(
    ("code", "reason"),
    [("x =", "line 1"), ("x = 1\n y = 2", "line 2: unexpected indent"), ("\0", "null"), ("(" * 500, "not Python")],
)
def test_what_is_not_python_is_a_value_error_with_the_line(code: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(code)


CHECK = "def check(candidate):\n    assert candidate(1) == 1"


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"tests": ("assert f()", "x = 1\nassert f(")}, "tests", r"test 1 does not compile: .*line 2"),
        ({"tests": ("x = 1", "f(x)")}, "tests", "asserts anything"),
        ({"tests": ("return f()",)}, "tests", "outside function"),
        ({"prelude": "import math\nimport"}, "prelude", "not Python: line 2"),
        ({"prelude": "return 1"}, "prelude", "outside function"),
        ({"entry_point": "f("}, "entry_point", "not Python: line 1"),
        ({"entry_point": "import f"}, "entry_point", "not Python: line 1"),
        ({"entry_point": ""}, "entry_point", "not Python"),
        ({"tests": ("x = 1", CHECK)}, "entry_point", r"check\(candidate\)"),
        ({"kind": Kind.SHARED, "tests": ("import unittest",)}, "tests", "no test method"),
        (
            {"kind": Kind.SHARED, "tests": ("def test_a(): f()\ntest_a(",)},
            "tests",
            r"test 0 does not compile: .*line 2",
        ),
    ],
)
def test_the_faulty_field_of_a_problem_is_named(fields: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(ProblemError, match=reason) as caught:
        check_syntax(Problem(**{"id": "a", "tests": ("assert f()",)} | fields))
    assert (caught.value.problem_id, caught.value.field) == ("a", field)
    assert str(caught.value).startswith(f"problem 'a': {field}: ")


@pytest.mark.parametrize(
    "fields",
    [
        {"tests": (CHECK,), "entry_point": "Solution().f"},
        {"tests": (CHECK,), "entry_point": " f"},
        {"tests": ("candidate = f\nassert candidate(1)",)},
        {"kind": Kind.STDIO, "tests": (StdioTest(stdin="1 2", stdout="(("),), "entry_point": "f("},
    ],
)
def test_what_can_be_judged_is_let_through(fields: dict[str, Any]) -> None:
    check_syntax(Problem(id="a", **fields))


def test_code_that_python_warns_of_is_compiled_in_silence() -> None:
    check_syntax(
        Problem(id="a", tests=("assert f('\\d') is 1",), prelude="x = '\\d'", entry_point="f if 1 is 1 else f")
    )
