import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import Checker, Order
from sandbox.messages import definition
from sandbox.problem import Kind, Problem, StdioTest
from sandbox.worker.checkers import Check, text_checker

texts = st.text("ab1. \n\t-e", max_size=12)
ORDERS = ["kept", "any", "any_nested"]


def check(compare: str, **options: object) -> Check:
    checker = Checker(compare=compare, **options)  # type: ignore[arg-type]
    problem = Problem(id="p", kind=Kind.STDIO, tests=(StdioTest(stdin="", stdout=""),), checker=checker)
    return text_checker(definition(problem)[1]["checker"])


exact, tokens, floats = check("exact"), check("tokens"), check("floats")


@given(texts, texts)
def test_exact_is_equality(output: str, expected: str) -> None:
    assert exact(output, expected) == (output == expected)


@given(st.lists(st.text("ab1", min_size=1, max_size=3), max_size=4), st.sampled_from([" ", "\n", "\t", "\r\n", "  \n"]))
def test_tokens_ignores_white_space_only(words: list[str], separator: str) -> None:
    assert tokens(separator + separator.join(words) + separator, " ".join(words))
    assert not tokens(" ".join([*words, "z"]), " ".join(words))
    assert not tokens(" ".join(words), " ".join([*words, "z"]))


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("yes", "YES"),
        ("", "1"),
        ("1", ""),
        ("1 2", "2 1"),
        ("12", "1 2"),
        ("1.0", "1"),
        ("1 2 3", "1 2"),
        ("1 2", "1 2 3"),
    ],
)
def test_tokens_rejects(output: str, expected: str) -> None:
    assert not tokens(output, expected)


@given(texts, texts)
def test_floats_accepts_whatever_tokens_accepts(output: str, expected: str) -> None:
    if tokens(output, expected):
        assert floats(output, expected)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("0.3333333", "0.33333333333"),
        ("1.0000009", "1.0"),
        ("1000000.9", "1000000.0"),
        ("1e-7", "0.0"),
        ("-0.0", "0.0"),
        ("2", "2.0"),
        (".5", "0.5"),
        ("5.", "5.0"),
        ("1E3", "1000.0"),
        ("inf", "inf"),
        ("-Infinity", "-inf"),
        ("+inf", "Infinity"),
        ("Dornan", "Dornan"),
        ("5.0", "5"),
        ("+5", "5"),
        ("Case 1: 0.50", "Case 1: 0.5"),
        ("123456789012345678901234567890.0", "123456789012345678901234567890"),
    ],
)
def test_floats_accepts(output: str, expected: str) -> None:
    assert floats(output, expected)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("1.00001", "1.0"),
        ("1.1", "1"),
        ("1000000.4", "1000000"),  # an integer is expected: no tolerance
        ("50000000000000001", "50000000000000000"),  # equal as floats
        ("123456789012345678901234567891", "123456789012345678901234567890"),
        ("nan", "nan"),
        ("NaN", "NaN"),
        ("nan", "1.0"),
        ("inf", "1.0"),
        ("1.0", "inf"),
        ("-inf", "inf"),
        ("1e999", "inf"),
        ("inf", "1e999"),
        ("1e9999", "1e999"),
        ("1e999", "1.5e308"),
        ("1e9999999999", "inf"),
        ("-nan", "-nan"),
        ("1_0.0", "10.0"),
        ("1_000", "1000"),
        ("\u0661.0", "1.0"),
        ("\uff11", "1"),
        ("\u00bd", "0.5"),
        ("1,0", "1.0"),
        ("0x1p0", "1.0"),
        ("1.0f", "1.0"),
        ("True", "1.0"),
        ("0x10", "16"),
        ("1.0 2.0", "1.0"),
        ("", "1.0"),
        ("1e5000", "1e5x"),
        ("abc", "1.0"),
        ("1.0e", "1.0"),
        ("--1.0", "-1.0"),
        ("1.0", "abc"),
    ],
)
def test_floats_rejects(output: str, expected: str) -> None:
    assert not floats(output, expected)


@given(st.floats(-1e12, 1e12), st.floats(-1, 1))
def test_floats_tolerates_one_millionth(value: float, part: float) -> None:
    near = value + part * 0.9e-6 * max(1.0, abs(value))
    assert floats(repr(near), repr(value))


@pytest.mark.parametrize(
    ("options", "output", "right"),
    [
        ({"abs_tol": 0.0, "rel_tol": 0.0}, "1.0000001", False),
        ({"abs_tol": 0.0, "rel_tol": 0.0}, "1", True),
        ({"abs_tol": 0.1, "rel_tol": 0.0}, "1.1", True),
        ({"abs_tol": 0.1, "rel_tol": 0.0}, "1.11", False),
        ({"abs_tol": 0.0, "rel_tol": 0.1}, "0.9", True),
        ({"abs_tol": 0.0, "rel_tol": 0.1}, "0.89", False),
        ({"abs_tol": 0.0, "rel_tol": 0.1}, "-1.0", False),
    ],
)
def test_tolerances_are_the_checkers(options: dict[str, float], output: str, right: bool) -> None:
    assert check("floats", **options)(output, "1.0") == right


@pytest.mark.parametrize("compare", ["exact", "tokens", "floats"])
@pytest.mark.parametrize("order", ORDERS)
def test_case_is_folded_where_it_is_ignored(compare: str, order: str) -> None:
    assert check(compare, ignore_case=True, order=order)("YES STRASSE", "Yes straße")
    assert not check(compare, order=order)("YES", "Yes")


@pytest.mark.parametrize(
    ("compare", "order", "output", "right"),
    [
        ("exact", "kept", "c d\na b", False),
        ("exact", "any", "c d\na b", True),
        ("exact", "any", "c d \na b", False),
        ("exact", "any", "b a\nc d", False),
        ("exact", "any_nested", "d c\nb a", True),
        ("exact", "any_nested", "d  c\nb a", False),
        ("exact", "any_nested", "a c\nb d", False),
        ("tokens", "kept", "c d\na b", False),
        ("tokens", "kept", "a\nb\nc d", True),
        ("tokens", "any", "\n c  d\n\na b \n", True),
        ("tokens", "any", "a b c\nd", False),
        ("tokens", "any", "a b\na b", False),
        ("tokens", "any", "a b\nd c", False),
        ("tokens", "any_nested", "d c\nb a", True),
        ("tokens", "any_nested", "a c\nb d", False),
        ("tokens", "any_nested", "a b c d", False),
        ("floats", "any", "c d\na b", True),
        ("floats", "any_nested", "d c\na b", True),
    ],
)
def test_lines_and_their_tokens_may_come_in_any_order(compare: str, order: str, output: str, right: bool) -> None:
    assert check(compare, order=order)(output, "a b\nc d") == right


@pytest.mark.parametrize(
    ("order", "output", "expected", "right"),
    [
        ("any", "2.0000001 x\n1 y", "1 y\n2.0 x", True),
        ("any", "2.0000001 y\n1 x", "1 y\n2.0 x", False),
        ("any", "1.0000001", "1", False),
        # Each of the expected is near both of the outputs, the integer only to itself.
        ("any", "5\n5.0000005", "5\n4.9999999", True),
        ("any", "5.0000005\n5.0000005", "5\n4.9999999", False),
        # Whoever pairs equal lines first has none left for the last.
        ("any", "1.0\n0.9999995", "1.0\n1.0000009", True),
        ("any", "1.0 1.0\n0.9999995 1.0", "1.0 1.0\n1.0000009 1.0", True),
        ("any", "nan", "nan", False),
        ("any", "inf\n-inf", "-inf\ninf", True),
        ("any", "1e999 1e-999", "1e999 1e-999", True),
        ("any", "1.0\n1.0", "1.0\n2.0", False),
        ("any_nested", "x 3.0 1\n2.0000001 y", "y 2.0\n1 x 3.0", True),
        ("any_nested", "3.0 2.0\n1.0", "1.0 2.0\n3.0", False),
        ("any_nested", "nan 1.0", "1.0 nan", False),
    ],
)
def test_numbers_in_any_order_are_paired_within_tolerance(order: str, output: str, expected: str, right: bool) -> None:
    assert check("floats", order=order)(output, expected) == right


numbers = st.sampled_from(["1", "1.0", "1.0000005", "1.000001", "1.0000015", "2", "2.0", "x", "inf", "nan"])


@given(st.lists(numbers, max_size=5), st.lists(numbers, max_size=5))
def test_unordered_is_ordered_after_some_permutation(ours: list[str], theirs: list[str]) -> None:
    expected = any(floats(" ".join(order), " ".join(theirs)) for order in itertools.permutations(ours))
    assert check("floats", order=Order.ANY)("\n".join(ours), "\n".join(theirs)) == expected
    assert check("floats", order=Order.ANY_NESTED)(" ".join(ours), " ".join(theirs)) == expected


MILLIONS = {
    "digits": "1" * 10_000_000,
    "digits and a letter": "1" * 10_000_000 + "x",
    "fraction": "1." + "1" * 10_000_000,
    "zeros": "0." + "0" * 10_000_000 + "1",
    "exponent": "1e" + "1" * 10_000_000,
    "signs": "-" * 10_000_000,
    "word": "x" * 16_000_000,
    "newlines": "\n" * 16_000_000,
    "blanks": " " * 16_000_000,
    "tokens": "1 " * 8_000_000,
    "lines": "1.0\n" * 4_000_000,
    "nan": "nan\n" * 4_000_000,
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("output", MILLIONS.values(), ids=MILLIONS)
def test_an_output_of_megabytes_costs_seconds_at_most(output: str, order: str) -> None:
    for compare in ("exact", "tokens", "floats"):
        for expected in ("1.5", "7", "1.5 2\n7 x\n" * 100):
            started = time.process_time()
            assert not check(compare, order=order, ignore_case=True)(output, expected)
            assert time.process_time() - started < 5


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("line", ["0.5 0.5", "1.0000005 x {0}.0", "{0}.25"])
def test_many_right_lines_cost_less_than_quadratic_time(order: str, line: str) -> None:
    lines = [line.format(number) for number in range(20_000)]
    turned = lines if order == "kept" else lines[::-1]
    started = time.process_time()
    assert check("floats", order=order)("\n".join(turned), "\n".join(lines))
    assert time.process_time() - started < 10
