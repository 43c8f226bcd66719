import dataclasses
import pickle

import pytest

from sandbox import Checker, Compare, Kind, Limits, Problem, StdioTest

CASE = StdioTest(stdin="1", stdout="2")


def test_the_defaults() -> None:
    problem = Problem(id="p", tests=("assert f()",))
    assert (problem.kind, problem.checker, problem.entry_point) == (Kind.FUNCTION, None, None)
    assert problem.language == "python"
    assert problem.limits == Limits()
    assert dict(problem.meta) == {}


def test_a_problem_without_tests_cannot_be_made() -> None:
    for kind in Kind:
        with pytest.raises(ValueError, match=r"'p' has no tests"):
            Problem(id="p", kind=kind, tests=())


def test_tests_must_fit_the_kind() -> None:
    Problem(id="p", kind=Kind.STDIO, tests=(CASE,))
    with pytest.raises(ValueError, match=r"'p': test 1 is a StdioTest; kind 'function' takes str"):
        Problem(id="p", tests=("assert f()", CASE))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"'p': test 0 is a str; kind 'stdio' takes StdioTest"):
        Problem(id="p", kind=Kind.STDIO, tests=("assert f()",))


def test_another_language_than_python_needs_stdin_and_stdout() -> None:
    assert Problem(id="p", kind=Kind.STDIO, language="cpp", tests=(CASE,)).language == "cpp"
    with pytest.raises(ValueError, match="'p': language is 'cpp', which needs kind 'stdio'"):
        Problem(id="p", language="cpp", tests=("assert f()",))
    with pytest.raises(ValueError, match="'p': language is 'c#'; known are python, c, cpp"):
        Problem(id="p", kind=Kind.STDIO, language="c#", tests=(CASE,))


def test_problems_cannot_be_changed_but_can_be_pickled() -> None:
    problem = Problem(id="p", tests=("assert f()",))
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.id = "q"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(problem)) == problem


def test_shared_tests_take_no_checker() -> None:
    with pytest.raises(ValueError, match="'p': a checker means nothing for kind 'shared'"):
        Problem(id="p", kind=Kind.SHARED, tests=("assert True == f()",), checker=Checker(compare=Compare.FLOATS))


def test_a_kind_may_be_named() -> None:
    assert Problem(id="p", kind="stdio", tests=[CASE]) == Problem(id="p", kind=Kind.STDIO, tests=(CASE,))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'p': kind is 'sdtio'; known are function, stdio, shared"):
        Problem(id="p", kind="sdtio", tests=(CASE,))  # type: ignore[arg-type]


def test_a_string_is_no_list_of_tests() -> None:
    with pytest.raises(ValueError, match="'p': tests is a string"):
        Problem(id="p", tests="assert f()")  # type: ignore[arg-type]


def test_a_test_of_a_script_is_text() -> None:
    with pytest.raises(ValueError, match=r"StdioTest\.stdout is b'1'; it must be text"):
        StdioTest(stdin="", stdout=b"1")  # type: ignore[arg-type]
