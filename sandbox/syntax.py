"""Whether a problem's own code is of use, known when it is read and not in the midst of a judging."""

from __future__ import annotations

import ast
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from sandbox.errors import ProblemError
from sandbox.problem import Kind, Problem
from sandbox.worker.shared_plan import plan_tests
from sandbox.worker.tests import TestCodeError, compile_tests

_filters = threading.Lock()


def parse(code: str) -> ast.Module:
    r"""The syntax tree of somebody's code, without the warnings that Python has for it ("\d" in a plain string).

    Raises:
        ValueError: it is not Python; the message names the line.
    """
    with _explained(), _no_warnings():
        return ast.parse(code)


def check_syntax(problem: Problem) -> None:
    """Compiles the prelude, the entry point, the test code and the checker program, as judging will.

    Raises:
        ProblemError: one of them is not Python, or no statement of the tests asserts anything.
    """
    _check_code(problem, "prelude", problem.prelude, "exec")
    if problem.checker is not None and problem.checker.program is not None:
        _check_code(problem, "checker", problem.checker.program, "exec")
    count_tests(problem)
    check_entry_point(problem)


def check_entry_point(problem: Problem) -> None:
    """The part of `check_syntax` without which a fault of the problem would look like one of the program.

    Raises:
        ProblemError: the entry point is not an expression, or it is missing where `check(candidate)` needs it.
    """
    if problem.kind is Kind.STDIO:
        return
    if problem.entry_point is not None:
        _check_code(problem, "entry_point", problem.entry_point.lstrip(" \t"), "eval")  # as eval() strips it
    elif any(isinstance(test, str) and _defines_check(test) for test in problem.tests):
        reason = "the tests define check(candidate); the expression to be passed as `candidate` is missing"
        raise ProblemError(problem.id, "entry_point", reason)


def count_tests(problem: Problem) -> int:
    """How many tests a problem has, which its test code tells.

    Raises:
        ProblemError: it is not Python, or has no test.
    """
    pieces = [test for test in problem.tests if isinstance(test, str)]
    try:
        with _no_warnings():
            if problem.kind is Kind.FUNCTION:
                return compile_tests(pieces, problem.prelude).total
            if problem.kind is Kind.SHARED:
                return plan_tests(pieces, problem.prelude).total
    except TestCodeError as error:
        raise ProblemError(problem.id, "tests", str(error)) from None
    return len(problem.tests)


def _check_code(problem: Problem, field: str, code: str, mode: str) -> None:
    try:
        with _explained(), _no_warnings():
            compile(code, f"<{field}>", mode, dont_inherit=True)
    except ValueError as error:
        raise ProblemError(problem.id, field, str(error)) from None


def _defines_check(test: str) -> bool:
    """Whether a piece of test code has a `check` with the single parameter `candidate`."""
    if "candidate" not in test:  # spares nearly all others the parsing
        return False
    try:
        statements = parse(test).body
    except ValueError:
        return False  # compiling the tests tells it better
    return any(
        isinstance(statement, ast.FunctionDef)
        and statement.name == "check"
        and [argument.arg for argument in statement.args.args] == ["candidate"]
        for statement in statements
    )


@contextmanager
def _no_warnings() -> Iterator[None]:
    # The filters belong to the whole process: two threads that change and restore them would mix them up.
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        warnings.simplefilter("ignore", DeprecationWarning)  # what "\d" is before Python 3.12
        yield


@contextmanager
def _explained() -> Iterator[None]:
    """Makes every way in which code can be no Python a ValueError that names the line."""
    try:
        yield
    except SyntaxError as error:
        raise ValueError(f"not Python: line {error.lineno}: {error.msg}") from None
    except (ValueError, OverflowError, MemoryError, RecursionError) as error:  # null bytes, nested too deep
        raise ValueError(f"not Python: {str(error) or type(error).__name__}") from None
