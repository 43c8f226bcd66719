import collections
import copy

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sandbox.worker.in_place import restore

plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.floats(allow_nan=False) | st.text(max_size=2) | st.just(b"x"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers(0, 3), inner, max_size=3)
        | st.dictionaries(st.integers(0, 3), inner, max_size=3).map(collections.OrderedDict)
        | st.lists(inner, max_size=3).map(collections.deque)
        | st.sets(st.integers(0, 3), max_size=3)
        | st.dictionaries(st.integers(0, 3), st.integers(-2, 2), max_size=3).map(collections.Counter)
        | st.binary(max_size=3).map(bytearray)
    ),
    max_leaves=10,
)


@given(plain_values, plain_values)
def test_restore_makes_old_equal_new_in_place_or_says_that_it_cannot(old: object, new: object) -> None:
    wanted = copy.deepcopy(new)
    if restore(old, new):
        assert old == wanted


@given(st.lists(plain_values, max_size=4), st.lists(plain_values, max_size=4))
def test_restore_always_makes_one_list_the_other(old: list[object], new: list[object]) -> None:
    wanted = copy.deepcopy(new)
    assert restore(old, new)
    assert old == wanted


def test_restore_keeps_the_identity_of_what_is_inside() -> None:
    row, table, items, line = [1], {"a": [2]}, {3}, collections.deque([4])
    old = [row, table, items, line]
    inner = table["a"]
    assert restore(old, [[1, 9], {"a": [2, 9], "b": 0}, {3, 9}, collections.deque([9])])
    assert old[0] is row == [1, 9]
    assert old[1] is table == {"a": [2, 9], "b": 0}
    assert table["a"] is inner
    assert old[2] is items == {3, 9}
    assert old[3] is line == collections.deque([9])


def test_restore_keeps_the_order_of_keys() -> None:
    old = {"a": 1, "b": 2}
    assert restore(old, {"b": 2, "a": 1})
    assert list(old) == ["b", "a"]


def test_restore_writes_into_an_array_of_the_same_shape_only() -> None:
    old = np.array([1, 2])
    assert restore(old, np.array([2, 1]))
    assert old.tolist() == [2, 1]
    assert not restore(old, np.array([1, 2, 3]))


def test_restore_reaches_lists_inside_tuples() -> None:
    row = [1]
    assert restore((row, 5), ([2], 5))
    assert row == [2]
    assert not restore((row, 5), ([2], 6))


def test_restore_does_not_compare_arrays_of_different_shapes() -> None:
    assert not restore((np.array([1, 2]),), (np.array([1, 2, 3]),))
