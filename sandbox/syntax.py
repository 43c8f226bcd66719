"""Whether a problem's own code is Python, known when it is read and not in the midst of a judging."""

from __future__ import annotations

import ast
import warnings

from sandbox.problem import Problem


def parse(code: str) -> ast.Module:
    r"""The syntax tree of somebody's code, without the warnings that Python has for it ("\d" in a plain string).

    Raises:
        ValueError: it is not Python; the message names the line.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)  # what "\d" is before Python 3.12
            return ast.parse(code)
    except SyntaxError as error:
        raise ValueError(f"not Python: line {error.lineno}: {error.msg}") from None
    except (ValueError, MemoryError, RecursionError) as error:  # null bytes, nested too deep
        raise ValueError(f"not Python: {error}") from None


def check_syntax(problem: Problem) -> None:
    """Parses the prelude and the test code.

    Raises:
        ValueError: one of them is not Python; the message says which and where.
    """
    pieces = {f"tests.{index}": test for index, test in enumerate(problem.tests) if isinstance(test, str)}
    for field, code in {"prelude": problem.prelude, **pieces}.items():
        try:
            parse(code)
        except ValueError as error:
            raise ValueError(f"{field} is {error}") from None
