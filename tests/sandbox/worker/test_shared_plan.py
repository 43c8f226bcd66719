"""What counts as a test, read from the text."""

import marshal
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.worker.shared_plan import plan_tests
from sandbox.worker.tests import TestCodeError as CodeError

NAMES = st.lists(st.from_regex(r"[a-z]{1,6}", fullmatch=True), min_size=1, max_size=8, unique=True)


def names(*pieces: str, prelude: str = "") -> list[str]:
    return [
        step.name for step in plan_tests([textwrap.dedent(piece) for piece in pieces], prelude).steps if step.is_test
    ]


@given(NAMES, NAMES)
def test_methods_are_sorted_and_functions_are_not(methods: list[str], functions: list[str]) -> None:
    lines = [
        "import unittest",
        "class C(unittest.TestCase):",
        *(f"    def test_{name}(self): pass" for name in methods),
    ]
    lines += [f"def test_{name}(): pass" for name in functions]
    expected = [f"C.test_{name}" for name in sorted(methods)] + [f"test_{name}" for name in functions]
    assert names("\n".join(lines)) == expected


@pytest.mark.parametrize(
    ("header", "base"),
    [
        ("import unittest", "unittest.TestCase"),
        ("import unittest as u", "u.TestCase"),
        ("from unittest import TestCase", "TestCase"),
        ("from unittest import TestCase as T", "T"),
        ("import unittest", "unittest.IsolatedAsyncioTestCase"),
        ("from unittest import TestCase\nclass Base(TestCase): pass", "Base"),
        ("from unittest import TestCase\nclass Mixin: pass\nclass Base(TestCase): pass", "Mixin, Base"),
    ],
)
def test_a_test_case_is_known_by_any_name(header: str, base: str) -> None:
    assert names(f"{header}\nclass C({base}):\n    def test_a(self): pass") == ["C.test_a"]


def test_the_base_may_stand_in_the_prelude_or_in_an_earlier_piece() -> None:
    base = "import unittest\nclass Base(unittest.TestCase):\n    def test_a(self): pass\n"
    heir = "class C(Base):\n    def test_b(self): pass"
    assert names(heir, prelude=base) == ["C.test_a", "C.test_b"]
    assert names(base, heir) == ["Base.test_a", "C.test_a", "C.test_b"]


def test_what_is_no_test() -> None:
    tests = """
    import unittest
    class Plain:
        def test_a(self): pass
    class C(unittest.TestCase):
        test_data = [1, 2]
        def check(self): pass
        @unittest.skip("later")
        def test_skipped(self): pass
        def test_a(self):
            def test_inner(): pass
    @unittest.skip("later")
    class D(unittest.TestCase):
        def test_a(self): pass
    def testing(): pass
    def helper(): assert False
    assert C
    """
    assert names(tests) == ["C.test_a"]


def test_tests_in_blocks_count_once() -> None:
    tests = """
    import unittest
    if True:
        class C(unittest.TestCase):
            if True:
                def test_a(self): pass
            else:
                def test_a(self): pass
    try:
        def test_b(): pass
    except ImportError:
        def test_b(): pass
    """
    assert names(tests) == ["C.test_a", "test_b"]


def test_a_call_that_would_end_the_process_is_left_out() -> None:
    steps = plan_tests(["import unittest\ndef test_a(): pass\nunittest.main()"]).steps
    assert "main" not in marshal.loads(steps[0].code).co_names


def test_only_what_tests_compare_by_is_loaded_before_the_program() -> None:
    assert plan_tests(["assert f()"]).modules == []
    assert plan_tests(["import unittest\nfrom unittest import mock\nassert f()"]).modules == [
        "unittest",
        "unittest.mock",
    ]


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        ("", "no test method"),
        ("assert True", "no test method"),
        ("class C:\n    def test_a(self): pass", "no test method"),
        ("def test_a(x): pass", "test_a takes an argument, x"),
        ("@pytest.mark.slow\ndef test_a(): pass", r"decorated by pytest\.mark\.slow"),
        (
            "class C(TestCase):\n    @parameterized.expand([1])\n    def test_a(self, x): pass",
            "test_a is decorated by parameterized.expand",
        ),
        ("class C(TestCase):\n    def test_a(self): pass\nsetattr(C, 'test_b', f)", "given to C by setattr"),
        ("def test_a(): pass\ndef load_tests(*args): pass", "load_tests is not run"),
        ("x = (", "test 0 does not compile"),
        ("(" * 5000, "test 0 does not compile"),
        ("\0", "test 0 does not compile"),
    ],
)
def test_tests_that_cannot_be_told_are_refused(tests: str, reason: str) -> None:
    with pytest.raises(CodeError, match=reason):
        plan_tests([tests])
