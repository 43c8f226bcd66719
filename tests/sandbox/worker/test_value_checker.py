from __future__ import annotations

import collections
import datetime as dt
import decimal
import fractions
import itertools
import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import Checker
from sandbox.messages import definition
from sandbox.problem import Problem
from sandbox.worker.value_checker import ValueChecker


def checker(compare: str = "floats", **options: object) -> ValueChecker:
    made = Checker(compare=compare, **options)  # type: ignore[arg-type]
    return ValueChecker(definition(Problem(id="p", tests=("assert f()",), checker=made))[1]["checker"])


def equal(ours: object, theirs: object, compare: str = "floats", **options: object) -> bool:
    """In both directions, and the opposite of different."""
    check = checker(compare, **options)
    same = check.equal(ours, theirs)
    assert check.equal(theirs, ours) == same
    assert check.different(ours, theirs) == (not same)
    assert type(same) in (bool, np.bool_)
    return bool(same)


NEAR = 1.0 + 1e-7
Point = collections.namedtuple("Point", ["x", "y"])  # noqa: PYI024 - the tests' own


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (NEAR, 1.0),
        (NEAR, 1),
        (1.0, True),
        (-0.0, 0.0),
        (math.inf, math.inf),
        (2**53, 2**53 + 1.0),
        (np.float32(0.1), 0.1),
        (np.float64(NEAR), 1),
        (np.longdouble(NEAR), np.float16(1)),
        (np.int8(1), NEAR),
        (decimal.Decimal("1.0000001"), 1.0),
        (fractions.Fraction(1, 3), 0.3333333),
        (decimal.Decimal("Infinity"), math.inf),
        (1j + 1e-7, 1j),
        (complex(NEAR, 0), 1),
        ([1, [NEAR, (2.0,)]], [1, [1.0, (2,)]]),
        ({"a": [NEAR], 1: "x"}, {1: "x", "a": [1.0]}),
        (collections.deque([NEAR]), collections.deque([1.0])),
        (collections.Counter(a=0, b=1), collections.Counter(b=1)),
        (collections.OrderedDict(a=NEAR), {"a": 1.0}),
        (Point(NEAR, 2), (1.0, 2)),
        (np.array([NEAR, 2]), np.array([1, 2])),
        (np.array([[NEAR]]), np.array([[1.0]])),
        (np.array([math.inf, 1e-9]), np.array([math.inf, 0])),
        (np.array([], dtype=float), np.array([], dtype=int)),
        (np.array(NEAR), np.array(1)),
        (np.array([60000], dtype=np.float16), np.array([60000.0])),
        (np.array([[NEAR], None], dtype=object), np.array([[1.0], None], dtype=object)),
        ([np.array([NEAR])], [np.array([1.0])]),
        (np.array(["2020-01-01"], "M8[D]"), np.array(["2020-01-01"], "M8[ns]")),
        (np.datetime64("2020-01-01"), np.datetime64("2020-01-01", "ns")),
        ({1, 2}, frozenset({2, 1})),
        (None, None),
        ("a b", "a b"),
        (bytearray(b"a"), b"a"),
        (dt.date(2020, 1, 1), dt.date(2020, 1, 1)),
    ],
    ids=repr,
)
def test_floats_accepts(ours: object, theirs: object) -> None:
    assert equal(ours, theirs)
    assert equal([ours], [theirs], order="any_nested")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (1.00001, 1.0),
        (math.nan, math.nan),
        (np.float64("nan"), np.float64("nan")),
        (complex(math.nan, 0), complex(math.nan, 0)),
        (decimal.Decimal("NaN"), math.nan),
        (math.inf, -math.inf),
        (math.inf, 1e308),
        (decimal.Decimal("1e999"), math.inf),
        (10**400, math.inf),
        (10**400, 10**400 + 1),
        (2**53, 2**53 + 1),
        (1, 2),
        (True, 2),
        (1.0, "1.0"),
        ("1.0000001", "1.0"),
        ("a", "A"),
        ("a  b", "a b"),
        ([1.0], (1.0,)),
        ([1.0], [1.0, 1.0]),
        ([1.0, 2.0], [2.0, 1.0]),
        ([], ()),
        ([], None),
        ({"a": 1.0}, {"b": 1.0}),
        ({"a": 1.0}, {"a": 1.0, "b": 1.0}),
        ({"a": math.nan}, {"a": math.nan}),
        (collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1)),
        (collections.deque([1.0]), [1.0]),
        ({NEAR}, {1.0}),
        (np.array([1.0, 2.0]), np.array([1.0, 2.1])),
        (np.array([1.0]), np.array([[1.0]])),
        (np.array([1.0]), np.array([1.0, 1.0])),
        (np.array([math.nan]), np.array([math.nan])),
        (np.array([math.inf]), np.array([1.0])),
        (np.array([1]), np.array([2])),
        (np.array(["a"]), np.array(["b"])),
        (np.array(["1"]), np.array([1.0])),
        (Ellipsis, NotImplemented),
    ],
    ids=repr,
)
def test_floats_rejects(ours: object, theirs: object) -> None:
    assert not equal(ours, theirs)
    assert not equal([ours], [theirs])


def test_the_same_nan_is_not_equal_to_itself() -> None:
    for compare in ("exact", "tokens", "floats"):
        for order in ("kept", "any", "any_nested"):
            assert not equal([math.nan], [math.nan], compare, order=order)


@pytest.mark.parametrize(
    ("ours", "theirs", "compare", "options", "right"),
    [
        ("a  b\n", "a b", "tokens", {}, True),
        (["a  b\n", 1], ["a b", 1.0], "tokens", {}, True),
        ("a  b", "a b", "exact", {}, False),
        ("Ab", "aB", "exact", {"ignore_case": True}, True),
        ({"k": ("Ab",)}, {"k": ("aB",)}, "floats", {"ignore_case": True}, True),
        ({"K": 1}, {"k": 1}, "exact", {"ignore_case": True}, False),
        (np.array(["A"]), np.array(["a"]), "exact", {"ignore_case": True}, True),
        (NEAR, 1.0, "exact", {}, False),
        (NEAR, 1.0, "tokens", {}, False),
        (1.05, 1.0, "floats", {"abs_tol": 0.1}, True),
        ([1, [2, 3]], [[2, 3], 1], "exact", {"order": "any"}, True),
        ([1, [2, 3]], [[3, 2], 1], "exact", {"order": "any"}, False),
        ([1, [2, 3]], [[3, 2], 1], "exact", {"order": "any_nested"}, True),
        ((1, 2), (2, 1), "exact", {"order": "any"}, True),
        ((1, 2), [2, 1], "exact", {"order": "any"}, False),
        ([1, 1, 2], [1, 2, 2], "exact", {"order": "any"}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, "exact", {"order": "any"}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, "exact", {"order": "any_nested"}, True),
        (["B", "a"], ["A", "b"], "exact", {"order": "any", "ignore_case": True}, True),
        (["b c", "a"], ["a", "b  c"], "tokens", {"order": "any"}, True),
        ([[NEAR, "x"], [2, "y"]], [[2.0, "y"], [1, "x"]], "floats", {"order": "any"}, True),
        ([[NEAR, "x"], [2, "y"]], [["y", 2.0], [1, "x"]], "floats", {"order": "any"}, False),
        ([[NEAR, "x"], [2, "y"]], [["y", 2.0], [1, "x"]], "floats", {"order": "any_nested"}, True),
        ([1, 1.0], [1.0, True], "exact", {"order": "any"}, True),
        ([bytearray(b"a"), {1}], [frozenset({1}), b"a"], "exact", {"order": "any"}, True),
        ([{"a": NEAR}, {"b": 1}], [{"b": 1.0}, {"a": 1}], "floats", {"order": "any"}, True),
        ([10**400, 1.0], [1, 10**400], "floats", {"order": "any"}, True),
        ([1e308, -1e308, 5.0], [5.0, 1e308, -1e308], "floats", {"order": "any"}, True),
        ([[1e308, 1e308], [1.0, 1.0]], [[1.0, 1.0], [1e308, 1e308]], "floats", {"order": "any"}, True),
        ([[1e308, 1e308], [1.0, 2.0]], [[1.0, 1.0], [1e308, 1e308]], "floats", {"order": "any"}, False),
        ([1j, 1.0], [1, 1j], "floats", {"order": "any"}, True),
        ([collections.deque([1]), [1]], [[1], collections.deque([1])], "exact", {"order": "any"}, True),
    ],
)
def test_options(ours: object, theirs: object, compare: str, options: dict[str, object], right: bool) -> None:
    assert equal(ours, theirs, compare, **options) == right


atoms = st.sampled_from(
    [0, 1, 1.0, 1 + 5e-7, 1 + 1e-6, 1 + 1.5e-6, 2, math.inf, math.nan, "a", "A", None, True, 1j, 1 + 1e-7j,
     decimal.Decimal(1), fractions.Fraction(1), np.float32(1), 10**400, 1e308, b"a", bytearray(b"a")]
)  # fmt: skip
values = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
        | st.lists(inner, max_size=2).map(collections.deque)
    ),
    max_leaves=5,
)


@given(st.lists(values, max_size=4), st.lists(values, max_size=4), st.sampled_from(["exact", "tokens", "floats"]))
def test_unordered_is_ordered_after_some_permutation(ours: list[Any], theirs: list[Any], compare: str) -> None:
    expected = any(equal(list(order), theirs, compare) for order in itertools.permutations(ours))
    assert equal(ours, theirs, compare, order="any") == expected


@given(st.permutations([1, NEAR, "a", [1.0, 2], (3, [4, 5.0])]), st.randoms())
def test_what_is_shuffled_at_every_depth_is_equal(items: list[Any], random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        inner = [shuffled(item) for item in value]
        random.shuffle(inner)
        return type(value)(inner)

    assert equal(shuffled(items), items, order="any_nested")


def test_an_array_beside_something_else_is_compared_as_numpy_does() -> None:
    check = checker()
    assert check.equal(np.array([1, 2]), 1).tolist() == [True, False]
    assert check.different(1, np.array([1, 2])).tolist() == [False, True]


def test_arrays_are_answered_as_tests_ask_for_them() -> None:
    ours, theirs = np.array([NEAR, 2.0]), np.array([1.0, 2.0])
    check = checker()
    assert check.equal(ours, theirs).all()
    assert np.all(check.equal(ours, theirs))
    assert not check.different(ours, theirs).any()


def test_objects_without_a_hash_are_compared_with_each_other() -> None:
    class Box:
        __hash__ = None  # type: ignore[assignment]

        def __init__(self, held: int) -> None:
            self.held = held

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Box) and self.held == other.held

    assert equal([Box(1), Box(2)], [Box(2), Box(1)], order="any")
    assert not equal([Box(1), Box(2)], [Box(1), Box(1)], order="any")


def test_too_many_that_are_too_close_fail_the_assertion() -> None:
    class Box:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return self is other

    boxes = [Box() for _ in range(2000)]
    with pytest.raises(AssertionError, match="too many items are within tolerance"):
        checker(order="any").equal(boxes, boxes[::-1])


def test_large_values_take_time_in_proportion() -> None:
    rows = [[number / 7, str(number), (number, 1.5)] for number in range(5_000)]
    started = time.process_time()
    assert equal(rows[::-1], rows, order="any")
    assert equal([row[::-1] for row in rows], rows, order="any_nested")
    assert equal(np.arange(10**6) / 3, np.arange(10**6) / 3 + 1e-9)
    assert time.process_time() - started < 20
