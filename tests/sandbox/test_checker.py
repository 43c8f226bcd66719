import dataclasses
import math
import pickle

import pytest

from sandbox import Checker, Compare, Kind, Order, Problem, ProblemError, StdioTest
from sandbox.messages import definition
from sandbox.syntax import check_syntax

CASE = StdioTest(stdin="", stdout="1")


def test_the_defaults() -> None:
    checker = Checker(compare=Compare.FLOATS)
    assert (checker.abs_tol, checker.rel_tol, checker.ignore_case) == (1e-6, 1e-6, False)
    assert (checker.order, checker.program) == (Order.KEPT, None)


def test_a_name_stands_for_its_member() -> None:
    checker = Checker(compare="floats", order="any")  # type: ignore[arg-type]
    assert checker.compare is Compare.FLOATS
    assert checker.order is Order.ANY


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"compare": "fuzzy"}, "compare is 'fuzzy'; known are exact, tokens, floats, program"),
        ({"compare": None}, "compare is None"),
        ({"compare": "tokens", "order": "random"}, "order is 'random'; known are kept, any, any_nested"),
        ({"compare": "floats", "abs_tol": -1.0}, "abs_tol is -1.0; .*finite"),
        ({"compare": "floats", "abs_tol": math.inf}, "abs_tol is inf"),
        ({"compare": "floats", "abs_tol": math.nan}, "abs_tol is nan"),
        ({"compare": "floats", "abs_tol": True}, "abs_tol is True"),
        ({"compare": "floats", "rel_tol": 1.0}, "rel_tol is 1.0; .*less than 1"),
        ({"compare": "floats", "rel_tol": "1"}, "rel_tol is '1'"),
        ({"compare": "tokens", "ignore_case": 1}, "ignore_case is 1"),
        ({"compare": "tokens", "program": "exit(0)"}, "program is given, but compare is 'tokens'"),
        ({"compare": "program"}, "program is missing"),
        ({"compare": "program", "program": " \n"}, "program is missing"),
        ({"compare": "program", "program": "pass", "ignore_case": True}, "mean nothing where a program compares"),
        ({"compare": "program", "program": "pass", "order": "any"}, "mean nothing where a program compares"),
    ],
)
def test_what_has_no_meaning_is_refused_when_built(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Checker(**fields)  # type: ignore[arg-type]


def test_it_cannot_be_changed_but_can_be_pickled() -> None:
    checker = Checker(compare=Compare.TOKENS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        checker.compare = Compare.EXACT  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(checker)) == checker


def test_a_problem_names_what_is_no_checker() -> None:
    with pytest.raises(ValueError, match=r"'p': checker is 'tokens'; it must be a sandbox.Checker"):
        Problem(id="p", kind=Kind.STDIO, tests=(CASE,), checker="tokens")  # type: ignore[arg-type]


def test_a_checker_program_is_for_outputs_only() -> None:
    checker = Checker(compare=Compare.PROGRAM, program="exit(0)")
    Problem(id="p", kind=Kind.STDIO, tests=(CASE,), checker=checker)
    with pytest.raises(ValueError, match="'p': a checker program is for kind 'stdio'"):
        Problem(id="p", tests=("assert f()",), checker=checker)


def test_a_checker_program_that_is_no_python_is_told_when_the_problem_is_read() -> None:
    checker = Checker(compare=Compare.PROGRAM, program="exit(")
    with pytest.raises(ProblemError, match="line 1") as caught:
        check_syntax(Problem(id="p", kind=Kind.STDIO, tests=(CASE,), checker=checker))
    assert caught.value.field == "checker"


def test_problems_that_differ_in_a_checkers_field_are_not_taken_for_each_other() -> None:
    checkers = [
        None,
        Checker(compare=Compare.TOKENS),
        Checker(compare=Compare.FLOATS),
        Checker(compare=Compare.FLOATS, abs_tol=1e-5),
        Checker(compare=Compare.FLOATS, rel_tol=1e-5),
        Checker(compare=Compare.FLOATS, ignore_case=True),
        Checker(compare=Compare.FLOATS, order=Order.ANY),
        Checker(compare=Compare.FLOATS, order=Order.ANY_NESTED),
        Checker(compare=Compare.PROGRAM, program="exit(0)"),
        Checker(compare=Compare.PROGRAM, program="exit(1)"),
    ]
    keys = {definition(Problem(id="p", kind=Kind.STDIO, tests=(CASE,), checker=checker))[0] for checker in checkers}
    assert len(keys) == len(checkers)
