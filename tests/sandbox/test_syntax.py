from __future__ import annotations

import pytest

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


def test_the_faulty_piece_of_a_problem_is_named() -> None:
    with pytest.raises(ValueError, match=r"tests\.1 is not Python: line 1"):
        check_syntax(Problem(id="a", tests=("assert f()", "assert f(")))
    with pytest.raises(ValueError, match=r"prelude is not Python: line 2"):
        check_syntax(Problem(id="a", tests=("assert f()",), prelude="import math\nimport"))


def test_texts_of_a_stdio_problem_need_not_be_python() -> None:
    check_syntax(Problem(id="a", kind=Kind.STDIO, tests=(StdioTest(stdin="1 2", stdout="(("),)))
