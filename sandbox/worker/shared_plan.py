"""What the tests of a `shared` problem are, read from their text: no program has a say in their number or names."""

from __future__ import annotations

import ast
import marshal
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from .tests import TestCodeError, compile_tests

SETUP, STATEMENT, FUNCTION, CASE = "setup", "statement", "function", "case"
_MAKES_TESTS = ("ddt", "expand", "parameterized_class")
_MODULES_BY_WORD = {
    "unittest": "unittest", "mock": "unittest.mock", "Isolated": "unittest.async_case", "numpy": "numpy",
    "numpy.testing": "numpy.testing", "np.testing": "numpy.testing", "pandas.testing": "pandas.testing",
    "pd.testing": "pandas.testing",
}  # fmt: skip
_FIXTURES = ("setUpModule", "tearDownModule")


class Step(NamedTuple):
    """A test, or the code that those after it need."""

    kind: str
    piece: int
    """Index of the piece of test code it stands in."""
    name: str
    """Of a test function, or of a class and its method, with a dot between; empty for other code."""
    code: bytes
    """Marshalled; empty for what is called by its name."""
    fails_on_purpose: bool = False
    """unittest.expectedFailure."""

    @property
    def is_test(self) -> bool:
        """Whether it has a verdict."""
        return self.kind != SETUP

    @property
    def group(self) -> Tuple[int, str]:
        """Equal for the tests that share class fixtures."""
        return self.piece, self.name.partition(".")[0] if self.kind == CASE else ""


class Plan(NamedTuple):
    """All pieces of a problem's tests."""

    steps: List[Step]
    modules: List[str]
    """That the tests compare by: imported, and looked at, before the program can change them."""

    @property
    def total(self) -> int:
        """Number of tests."""
        return sum(step.is_test for step in self.steps)


def plan_tests(pieces: Sequence[str], prelude: str = "") -> Plan:
    """What to execute and to call, in order. Raises TestCodeError.

    Args:
        prelude: the problem's, whose classes the tests may inherit from.
    """
    classes = _Classes()
    steps: List[Step] = []
    try:
        classes.read(ast.parse(prelude))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise TestCodeError("the prelude does not compile: %s" % error) from None
    for index, piece in enumerate(pieces):
        try:
            tree = ast.parse(piece, "<test %d>" % index)
            tests = _named_tests(tree, index, classes)
            if tests or any(_name(statement) in _FIXTURES for statement in tree.body):
                tree.body = [statement for statement in tree.body if not _starts_unittest(statement)]
                code = compile(tree, "<test %d>" % index, "exec", dont_inherit=True)
                steps += [Step(SETUP, index, "", marshal.dumps(code)), *tests]
            else:
                steps += _statements(piece, index, prelude)
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
            raise TestCodeError("test %d does not compile: %s" % (index, str(error) or type(error).__name__)) from None
    if not any(step.is_test for step in steps):
        raise TestCodeError("the tests have no test method, no function test_*, and no statement that asserts")
    text = "\n".join((prelude, *pieces))
    return Plan(steps, [module for word, module in _MODULES_BY_WORD.items() if word in text])


def _statements(piece: str, index: int, prelude: str) -> List[Step]:
    """As `function` tests are cut. The last unit lets a piece be set-up only, which is an error there."""
    units = compile_tests([piece + "\nassert 0"], prelude).units[:-1]
    return [Step(STATEMENT if unit.is_test else SETUP, index, "", marshal.dumps(unit.code)) for unit in units]


def _named_tests(tree: ast.Module, index: int, classes: "_Classes") -> List[Step]:
    """Test methods, class by class as these are defined, sorted by name as unittest does; then test functions."""
    found = list(_top_level(tree.body))
    cases = classes.read(tree)
    for statement in found:
        _refuse_what_no_text_tells(statement, classes)
    steps: Dict[str, Step] = {}
    for name in cases:
        for method, expects in sorted(classes.tests_of(name).items()):
            full = "%s.%s" % (name, method)
            steps[full] = Step(CASE, index, full, b"", expects)
    for statement in found:
        if _name(statement).startswith("test_") and not _is_marked(statement, ("skip",)):
            steps[_name(statement)] = Step(FUNCTION, index, _name(statement), b"")
    return list(steps.values())


class _Classes:
    """The classes that test code defines, and which of them are test cases."""

    def __init__(self) -> None:
        self._bases: Dict[str, List[str]] = {}
        self._own: Dict[str, Dict[str, Optional[bool]]] = {}
        self._skipped: Set[str] = set()

    def read(self, tree: ast.Module) -> List[str]:
        """Add a module's classes; the names of those that are test cases."""
        aliases = {
            alias.asname: alias.name
            for node in ast.walk(tree)
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
            if alias.asname
        }
        names = []
        for statement in _top_level(tree.body):
            if isinstance(statement, ast.ClassDef):
                bases = [_dotted(base) for base in statement.bases]
                self._bases[statement.name] = [aliases.get(base, base) for base in bases]
                self._own[statement.name] = _methods(statement)
                self._skipped.discard(statement.name)
                if _is_marked(statement, ("skip",)):
                    self._skipped.add(statement.name)
                names.append(statement.name)
        return [name for name in dict.fromkeys(names) if self.is_case(name)]

    def is_case(self, name: str, seen: Tuple[str, ...] = ()) -> bool:
        """Whether a class inherits from a TestCase of unittest, or of what is like it."""
        if name not in self._bases:
            return name.rpartition(".")[2].endswith("TestCase")
        return name not in seen and any(self.is_case(base, (*seen, name)) for base in self._bases[name])

    def tests_of(self, name: str) -> Dict[str, bool]:
        """Its test methods, inherited ones too: whether each is expected to fail."""
        if name in self._skipped:
            return {}
        return {method: expects for method, expects in self._all(name).items() if expects is not None}

    def _all(self, name: str, seen: Tuple[str, ...] = ()) -> Dict[str, Optional[bool]]:
        found: Dict[str, Optional[bool]] = {}
        if name in seen:
            return found
        for base in reversed(self._bases.get(name, [])):
            found.update(self._all(base, (*seen, name)))
        found.update(self._own.get(name, {}))
        return found


def _methods(definition: ast.ClassDef) -> Dict[str, Optional[bool]]:
    """Test methods by name; None: no test, and it hides an inherited one."""
    found: Dict[str, Optional[bool]] = {}
    for statement in _top_level(definition.body):
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)) and statement.name.startswith("test"):
            is_skipped = _is_marked(statement, ("skip",))
            found[statement.name] = None if is_skipped else _is_marked(statement, ("expectedFailure",))
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name) and target.id.startswith("test"):
                    found[target.id] = None
    return found


def _refuse_what_no_text_tells(statement: ast.stmt, classes: _Classes) -> None:
    """Tests that only come to be at run time would silently be missing. Raises TestCodeError."""
    nodes = [statement] if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)) else ast.walk(statement)
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for decorator in map(_dotted, node.decorator_list):
                if decorator.startswith("pytest.") or decorator.rpartition(".")[2] in _MAKES_TESTS:
                    raise TestCodeError(
                        "%s is decorated by %s, which is not run; write its tests out" % (node.name, decorator)
                    )
        elif isinstance(node, ast.Call) and _dotted(node.func) == "setattr" and node.args:
            owner = _dotted(node.args[0])
            if classes.is_case(owner):
                raise TestCodeError("tests are given to %s by setattr; write them out as methods" % owner)
    if isinstance(statement, ast.FunctionDef):
        if statement.name == "load_tests":
            raise TestCodeError("load_tests is not run; write the tests out as methods")
        arguments = statement.args
        required = len(arguments.args) - len(arguments.defaults)
        if statement.name.startswith("test_") and required and not statement.decorator_list:
            raise TestCodeError(
                "%s takes an argument, %s, and nothing passes one" % (statement.name, arguments.args[0].arg)
            )


def _top_level(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a body and of the blocks in it, but not of its functions and classes."""
    for statement in body:
        yield statement
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for field in ("body", "orelse", "finalbody"):
                yield from _top_level(getattr(statement, field, []))
            for handler in getattr(statement, "handlers", []):
                yield from _top_level(handler.body)


def _is_marked(definition: Any, names: Tuple[str, ...]) -> bool:
    return any(_dotted(decorator).rpartition(".")[2] in names for decorator in definition.decorator_list)


def _starts_unittest(statement: ast.stmt) -> bool:
    """`unittest.main()` outside a guard: it would end the process."""
    return isinstance(statement, ast.Expr) and _dotted(statement.value) == "unittest.main"


def _name(statement: ast.stmt) -> str:
    return statement.name if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)) else ""


def _dotted(node: ast.expr) -> str:
    """`a.b` of `a.b` or `a.b(...)`; empty for what is no dotted name."""
    if isinstance(node, ast.Call):
        return _dotted(node.func)
    if isinstance(node, ast.Attribute):
        return "%s.%s" % (_dotted(node.value), node.attr)
    return node.id if isinstance(node, ast.Name) else ""
