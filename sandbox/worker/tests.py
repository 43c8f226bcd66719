"""Test code cut into statements: what is set-up, what is one test, and which names it takes from the program."""

from __future__ import annotations

import ast
import builtins
from typing import Any, Dict, FrozenSet, List, NamedTuple, Sequence

# Modules that test code may use without importing them, relying on the program's import.
_MODULES = {name: name for name in (
    "bisect", "cmath", "collections", "copy", "datetime", "decimal", "fractions", "functools", "heapq", "itertools",
    "json", "math", "operator", "random", "re", "statistics", "string", "sys", "time", "numpy",
)}  # fmt: skip
_MODULES["np"] = "numpy"


class TestCodeError(Exception):
    """The tests of a problem are no Python, or none of their statements asserts anything."""


class Unit(NamedTuple):
    """One statement."""

    code: Any
    is_test: bool
    piece: int
    """Index of the piece of test code it stands in."""


class TestCode(NamedTuple):
    """All pieces of a problem's tests."""

    units: List[Unit]
    free_names: FrozenSet[str]
    """Names that the statements read and that are not builtins; those the judge lacks come from the program."""
    modules: Dict[str, str]
    """Names used as `name.attribute` that stand for a module, and which: the program's `math` is not believed."""

    @property
    def total(self) -> int:
        """Number of tests."""
        return sum(unit.is_test for unit in self.units)


def compile_tests(pieces: Sequence[str]) -> TestCode:
    """Cut and compile. Raises TestCodeError."""
    units: List[Unit] = []
    names = set()
    bases = set()
    for index, piece in enumerate(pieces):
        try:
            tree = ast.parse(piece, "<test %d>" % index)
            helpers = _asserting_functions(tree)
            for statement in _statements(tree):
                module = ast.Module(body=[statement], type_ignores=[])
                code = compile(module, "<test %d>" % index, "exec", dont_inherit=True)
                units.append(Unit(code, _asserts(statement, helpers), index))
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
            why = str(error) or type(error).__name__
            raise TestCodeError("test %d does not compile: %s" % (index, why)) from None
        names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        attributes = [node.value for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        bases |= {value.id for value in attributes if isinstance(value, ast.Name)}
    if not any(unit.is_test for unit in units):
        raise TestCodeError("no statement of the tests asserts anything")
    free_names = frozenset(name for name in names if not hasattr(builtins, name))
    return TestCode(units, free_names, {name: _MODULES[name] for name in bases if name in _MODULES})


def _statements(tree: ast.Module) -> List[ast.stmt]:
    """The module's statements, with the body of `check(candidate)` in the place of its definition."""
    checks = [statement for statement in tree.body if _is_check(statement)]
    statements: List[ast.stmt] = []
    for statement in tree.body:
        if statement in checks:
            statements += statement.body  # type: ignore[attr-defined]
        elif not (checks and _calls_check(statement)):
            statements.append(statement)
    return statements


def _is_check(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.FunctionDef) or statement.name != "check":
        return False
    return [argument.arg for argument in statement.args.args] == ["candidate"]


def _calls_check(statement: ast.stmt) -> bool:
    """`check(f)` at the end of a HumanEval-like test: the judge does that itself."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "check"


def _asserting_functions(tree: ast.Module) -> FrozenSet[str]:
    """Names of the piece's own functions that assert: a statement that calls one is a test."""
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return frozenset(node.name for node in functions if any(map(_is_assertion, ast.walk(node))))


def _asserts(statement: ast.stmt, helpers: FrozenSet[str]) -> bool:
    """Whether a statement can fail as a test."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return False
    return any(
        _is_assertion(node)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in helpers)
        for node in ast.walk(statement)
    )


def _is_assertion(node: ast.AST) -> bool:
    """An assert statement, but for `assert True`, which cannot fail."""
    return isinstance(node, ast.Assert) and not (isinstance(node.test, ast.Constant) and bool(node.test.value))
