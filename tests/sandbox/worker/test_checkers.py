import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.problem import CHECKERS as NAMES
from sandbox.worker.checkers import CHECKERS, exact, floats, tokens

texts = st.text("ab1. \n\t-e", max_size=12)


def test_every_checker_a_problem_may_name_exists() -> None:
    assert set(CHECKERS) == set(NAMES)


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
        ("1_0.0", "10.0"),
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
    "output", ["1" * 200_000 + "x", "1." + "1" * 200_000 + "x", "1" * 200_000, "1e" + "1" * 200_000]
)
@pytest.mark.parametrize("expected", ["1.5", "7"])
def test_long_tokens_of_digits_cost_linear_time(output: str, expected: str) -> None:
    started = time.process_time()
    assert not floats(output, expected)
    assert time.process_time() - started < 2
