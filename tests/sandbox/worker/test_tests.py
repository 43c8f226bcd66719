import pytest

from sandbox.worker.tests import TestCode as Cut  # by its own name pytest would take it for a class of tests
from sandbox.worker.tests import TestCodeError as CutError
from sandbox.worker.tests import asserting_statements, compile_tests


def kinds(*pieces: str) -> list[bool]:
    """For each statement whether it is a test."""
    return [unit.is_test for unit in compile_tests(pieces).units]


def failures(code: Cut, names: dict[str, object]) -> list[bool]:
    """Execute every statement in order; for each test whether it failed."""
    failed = []
    for unit in code.units:
        try:
            exec(unit.code, names)
            raised = False
        except AssertionError:
            raised = True
        if unit.is_test:
            failed.append(raised)
    return failed


def test_each_top_level_assert_is_one_test() -> None:
    assert kinds("assert f(1) == 2\nassert f(2) == 3", "assert f(3) == 4") == [True, True, True]


def test_imports_assignments_and_definitions_are_set_up() -> None:
    set_up = "import math\nx = 1\ndef helper(a): return a\nclass C: pass\nf(1)"
    assert kinds(f"{set_up}\nassert f(x) == 1") == [False, False, False, False, False, True]


def test_each_statement_of_check_that_asserts_is_one_test() -> None:
    check = "def check(candidate):\n    x = 2\n    assert candidate(1) == 1\n    assert candidate(x) == 3\n"
    code = compile_tests([f"METADATA = {{}}\n\n\n{check}"])
    assert [unit.is_test for unit in code.units] == [False, False, True, True]
    assert failures(code, {"candidate": lambda value: value}) == [False, True]


@pytest.mark.parametrize("call", ["check(f)", "check(candidate)", "check(Solution().f)"])
def test_the_call_of_check_at_the_end_is_dropped(call: str) -> None:
    code = compile_tests([f"def check(candidate):\n    assert candidate(1) == 1\n\n{call}\n"])
    assert [unit.is_test for unit in code.units] == [True]
    assert failures(code, {"candidate": lambda value: value}) == [False]


def test_a_function_that_only_looks_like_check_is_a_helper() -> None:
    assert kinds("def check(a, b):\n    assert a == b\n\nassert f(1) == 1") == [False, True]


def test_multi_line_asserts_are_whole() -> None:
    code = compile_tests(["assert f(\n    [1,\n     2],\n) == (\n    3\n), 'message'\n"])
    assert failures(code, {"f": sum}) == [False]


def test_a_loop_a_condition_a_try_and_a_with_that_assert_are_one_test_each() -> None:
    pieces = [
        "for x in range(3):\n    assert f(x) == x",
        "if True:\n    assert f(1) == 2",
        "try:\n    f(None)\n    assert False\nexcept TypeError:\n    pass",
        "import contextlib\nwith contextlib.suppress(KeyError):\n    assert f(1)",
        "while True:\n    assert f(1)\n    break",
    ]
    assert kinds(*pieces) == [True, True, True, False, True, True]


def test_helpers_that_assert_count_where_they_are_called_not_where_they_are_defined() -> None:
    code = compile_tests(["def same(a, b):\n    return a == b\n\nassert same(f(1), 1)\nassert same(f(1), 2)"])
    assert failures(code, {"f": lambda value: value}) == [False, True]


@pytest.mark.parametrize("nothing", ["assert True", "assert 1", "assert 'text'", "assert True, 'message'"])
def test_an_assert_that_cannot_fail_is_no_test(nothing: str) -> None:
    assert kinds(f"{nothing}\nassert f(1)") == [False, True]
    with pytest.raises(CutError, match="asserts anything"):
        compile_tests([nothing])


def test_assert_false_is_a_test() -> None:
    assert kinds("assert False") == [True]


@pytest.mark.parametrize(
    "pieces", [[], [""], ["x = 1"], ["# assert f(1)"], ["def g():\n    assert f(1)"], ["f(1) == 1"]]
)
def test_tests_that_assert_nothing_are_an_error(pieces: list[str]) -> None:
    with pytest.raises(CutError, match="asserts anything"):
        compile_tests(pieces)


@pytest.mark.parametrize("piece", ["assert f(", "assert f(1) == 1\n  indented", "return 1", "assert f(1)\0", "(" * 500])
def test_tests_that_are_no_python_name_the_piece(piece: str) -> None:
    with pytest.raises(CutError, match="test 1 does not compile"):
        compile_tests(["assert f(1) == 1", piece])


def test_the_names_tests_take_from_elsewhere_are_known() -> None:
    code = compile_tests(
        [
            "import math\nassert math.isclose(f(len('a')), TABLE[x], rel_tol=1e-9)",
            "assert Solution().g([y for y in z])",
        ]
    )
    assert {"f", "TABLE", "x", "Solution", "z"} <= code.free_names
    assert not {"len", "print", "isclose", "rel_tol"} & code.free_names


def test_units_know_their_piece() -> None:
    assert [unit.piece for unit in compile_tests(["x = 1\nassert x", "assert f(1)"]).units] == [0, 0, 1]


def test_total_counts_the_tests_only() -> None:
    assert compile_tests(["x = 1\nassert x == 1", "assert f(1)\ny = 2"]).total == 2


def test_future_imports_of_our_own_code_do_not_leak_into_tests() -> None:
    code = compile_tests(["def g(a: undefined_name = 1): return a", "assert f(1)"])
    with pytest.raises(NameError):  # with postponed annotations it would not be evaluated
        exec(code.units[0].code, {})


def test_a_helper_of_the_tests_may_be_called_check() -> None:
    """Only `check(candidate)` is called by the judge itself."""
    code = compile_tests(["def check(f, n):\n    assert f(n) == n\ncheck(g, 1)\ncheck(g, 2)"])
    assert code.total == 2


def test_a_statement_that_calls_an_asserting_function_of_the_prelude_is_a_test() -> None:
    prelude = "def same(a, b):\n    assert a == b\ndef double(x):\n    return 2 * x\n"
    code = compile_tests(["same(f(1), 1)\ndouble(f(1))", "assert f(2)"], prelude)
    assert [unit.is_test for unit in code.units] == [True, False, True]
    assert [unit.is_test for unit in compile_tests(["same(f(1), 1)", "assert f(2)"]).units] == [False, True]


@pytest.mark.parametrize(
    ("test", "from_the_program"),
    [
        ("x = f(1)\nassert g(x)", {"f", "g"}),
        ("f = wrap(f)\nassert f(1)", {"f", "wrap"}),  # read before it is bound
        ("n += 1\nassert n", {"n"}),
        ("for i in f(3):\n    total = i\nassert total", {"f"}),
        ("def helper(a):\n    return a == limit\nlimit = 3\nassert helper(f(1))", {"f"}),  # read when it is called
        ("def helper(a):\n    return a == limit\nassert helper(f(1))", {"f", "limit", "a"}),
        ("import numpy as np\nfrom math import pi\nassert f(np, pi)", {"f"}),
        ("class T:\n    pass\nassert f(T)", {"f"}),
        ("assert [y for y in f(1)] == y", {"f", "y"}),
        ("with f() as h:\n    assert h", {"f"}),
        ("assert (m := f(1)) == m", {"f"}),
        ("a, (b, *c) = f(1)\nassert a == b == c", {"f"}),
    ],
)
def test_names_that_the_tests_bind_first_are_never_the_programs(test: str, from_the_program: set[str]) -> None:
    assert set(compile_tests([test]).free_names) - {"a"} == from_the_program - {"a"}


def test_asserting_statements_are_the_tests_that_are_counted_with_their_places() -> None:
    piece = "def check(candidate):\n    x = 1\n    assert candidate(x)\n    same(candidate(2), 2)\n"
    prelude = "def same(a, b):\n    assert a == b"
    assert [statement.lineno for statement in asserting_statements(piece, prelude)] == [3, 4]
    assert [statement.lineno for statement in asserting_statements(piece)] == [3]
    assert compile_tests([piece], prelude).total == 2
