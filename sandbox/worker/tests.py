"""Test code cut into statements: what is set-up, what is one test, and which names it takes from the program."""

from __future__ import annotations

import ast
import builtins
from typing import Any, Dict, FrozenSet, Iterable, List, NamedTuple, Sequence, Set

from .nodes import children, walk
from .purity import leaves_nothing

# Modules that test code may use without importing them, relying on the program's import.
_MODULES = {name: name for name in (
    "bisect", "cmath", "collections", "copy", "datetime", "decimal", "fractions", "functools", "heapq", "itertools",
    "json", "math", "operator", "random", "re", "statistics", "string", "sys", "time", "numpy",
)}  # fmt: skip
_MODULES["np"] = "numpy"

EQUAL = "checker.equal"
"""The name, which no source can spell, by which test code calls the checker in place of `==`."""
DIFFERENT = "checker.different"
"""Likewise for `!=`."""
_STANDS_FOR: Dict[type, str] = {ast.Eq: EQUAL, ast.NotEq: DIFFERENT}


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
    """Names that the statements read and neither bind nor find in builtins; the judge takes those it lacks from the
    program."""
    modules: Dict[str, str]
    """Names used as `name.attribute` that stand for a module, and which: the program's `math` is not believed."""
    leaves_nothing: bool
    """See purity.py."""

    @property
    def total(self) -> int:
        """Number of tests."""
        return sum(unit.is_test for unit in self.units)


def compile_tests(pieces: Sequence[str], prelude: str = "", *, has_checker: bool = False) -> TestCode:
    """Cut and compile. Raises TestCodeError.

    Args:
        prelude: the problem's; a statement that calls one of its functions that assert is a test.
        has_checker: whether `==` and `!=` in assertions become calls of EQUAL and DIFFERENT.
    """
    units: List[Unit] = []
    names = set()
    bases = set()
    trees = []
    scope = _ModuleScope()
    outer_helpers = _helpers_of_prelude(prelude)
    for index, piece in enumerate(pieces):
        try:
            tree = ast.parse(piece, "<test %d>" % index)
            nodes = walk(tree)
            trees.append(tree)
            helpers = _asserting_functions(nodes) | outer_helpers
            names |= {node.id for node in nodes if isinstance(node, ast.Name)}
            for statement in _statements(tree):
                scope.visit(statement)
                if has_checker:
                    _Comparisons().visit(statement)
                module = ast.Module(body=[statement], type_ignores=[])
                code = compile(module, "<test %d>" % index, "exec", dont_inherit=True)
                units.append(Unit(code, _asserts(statement, helpers), index))
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
            why = str(error) or type(error).__name__
            raise TestCodeError("test %d does not compile: %s" % (index, why)) from None
        attributes = [node.value for node in nodes if isinstance(node, ast.Attribute)]
        bases |= {value.id for value in attributes if isinstance(value, ast.Name)}
    if not any(unit.is_test for unit in units):
        raise TestCodeError("no statement of the tests asserts anything")
    free_names = frozenset(name for name in names - scope.bound if not hasattr(builtins, name))
    modules = {name: _MODULES[name] for name in bases if name in _MODULES}
    imports = ["import %s as %s" % (module, name) for name, module in modules.items()]
    return TestCode(units, free_names, modules, leaves_nothing([prelude, *trees, *imports]))


def asserting_statements(piece: str, prelude: str = "") -> List[ast.stmt]:
    """The statements of a piece that are one test each, with their places in it. Raises SyntaxError and its like."""
    tree = ast.parse(piece)
    helpers = _asserting_functions(walk(tree)) | _helpers_of_prelude(prelude)
    return [statement for statement in _statements(tree) if _asserts(statement, helpers)]


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


class _Comparisons(ast.NodeTransformer):
    """Gives the comparisons in assertions, but for chains, to the checker."""

    def __init__(self) -> None:
        self._is_asserting = False

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        was_asserting, self._is_asserting = self._is_asserting, True
        node.test = self.visit(node.test)
        self._is_asserting = was_asserting
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        name = _STANDS_FOR.get(type(node.ops[0])) if len(node.ops) == 1 else None
        if not self._is_asserting or name is None:
            return node
        call = ast.Call(ast.Name(name, ast.Load()), [node.left, node.comparators[0]], [])
        return ast.fix_missing_locations(ast.copy_location(call, node))


class _ModuleScope(ast.NodeVisitor):
    """Which names the statements bind before they read them.

    Those are never the program's, not even where a statement fails before it has bound them. What functions read, they
    read later.
    """

    def __init__(self) -> None:
        self.bound: Set[str] = set()
        self._read: Set[str] = set()

    def generic_visit(self, node: ast.AST) -> None:
        for child in children(node):
            self.visit(child)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            if node.id not in self.bound:
                self._read.add(node.id)
        else:
            self._bind(node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        for part in (node.value, *node.targets):  # in the order of their evaluation
            self.visit(part)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self.visit(node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name) and node.target.id not in self.bound:
            self._read.add(node.target.id)
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self.visit(node.iter)
        self.visit(node.target)
        for statement in (*node.body, *node.orelse):
            self.visit(statement)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for part in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(part)
        self._bind(node.name)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._bind(node.name)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in (*node.decorator_list, *node.bases):
            self.visit(part)
        self._bind(node.name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Its body is read later, its parameters are its own."""

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """Its variables are its own."""
        self.visit(node.iter)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._bind(alias.asname or alias.name.split(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self._bind(alias.asname or alias.name)

    def _bind(self, name: str) -> None:
        if name not in self._read:
            self.bound.add(name)


def _helpers_of_prelude(prelude: str) -> FrozenSet[str]:
    try:
        return _asserting_functions(walk(ast.parse(prelude)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()  # compiling it tells it better


def _is_check(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.FunctionDef) or statement.name != "check":
        return False
    return [argument.arg for argument in statement.args.args] == ["candidate"]


def _calls_check(statement: ast.stmt) -> bool:
    """`check(f)` at the end of a HumanEval-like test: the judge does that itself."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "check"


def _asserting_functions(nodes: Iterable[ast.AST]) -> FrozenSet[str]:
    """Names of those functions among a piece's nodes that assert: a statement that calls one is a test."""
    functions = [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return frozenset(node.name for node in functions if any(map(_is_assertion, walk(node))))


def _asserts(statement: ast.stmt, helpers: FrozenSet[str]) -> bool:
    """Whether a statement can fail as a test."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return False
    return any(
        _is_assertion(node)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in helpers)
        for node in walk(statement)
    )


def _is_assertion(node: ast.AST) -> bool:
    """An assert statement, but for `assert True`, which cannot fail."""
    return isinstance(node, ast.Assert) and not (isinstance(node.test, ast.Constant) and bool(node.test.value))
