import collections
import datetime as dt
import decimal
import enum
import fractions
import json
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.worker.codec import CodecError, Decoder, Encoder, pack, unpack

PLAIN = {
    type(None), bool, int, float, str, bytes, bytearray, complex, list, tuple, dict, set, frozenset, range,
    collections.deque, collections.Counter, collections.OrderedDict, decimal.Decimal, fractions.Fraction,
    dt.datetime, dt.date, dt.time, dt.timedelta, np.ndarray,
}  # fmt: skip


class Node:
    def __init__(self, val: object = 0, next: object = None) -> None:  # noqa: A002 - LeetCode's own name
        self.val = val
        self.next = next


class Slotted:
    __slots__ = ("left", "right")


KNOWN = {"Node": Node, "Slotted": Slotted}


def refuse(value: Any) -> Any:
    raise CodecError(f"{type(value).__name__} cannot cross")


def refuse_reference(tag: str, token: object) -> Any:
    raise CodecError(f"unknown reference {tag}")


def encode(value: object) -> tuple[list[str], bytes]:
    return Encoder({cls: name for name, cls in KNOWN.items()}, refuse).encode(value)


def decode(names: list[str], body: bytes, existing: dict[int, Any] | None = None) -> Any:
    return Decoder(KNOWN, refuse_reference, existing).decode(names, body)


def cross(value: object) -> Any:
    return decode(*encode(value))


def same(one: Any, other: Any) -> bool:
    """Equal with equal types, all the way down; NaN is NaN and -0.0 is not 0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, dict):  # and the order of keys, which programs can see
        return same(list(one.items()), list(other.items()))
    if isinstance(one, list | tuple | collections.deque):
        ends = not isinstance(one, collections.deque) or one.maxlen == other.maxlen
        return ends and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, decimal.Decimal):
        return one.as_tuple() == other.as_tuple()
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and same(one.tolist(), other.tolist())
    return bool(one == other)


any_text = st.text(st.characters(codec=None, categories=("L", "N", "P", "Z", "Cc", "Cs", "So")), max_size=6)
hashable = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_text | st.binary(max_size=6)
    | st.complex_numbers(allow_nan=False) | st.decimals(allow_nan=False) | st.fractions() | st.datetimes()
    | st.datetimes(timezones=st.just(dt.UTC)) | st.dates() | st.times() | st.timedeltas(),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
plain_values = st.recursive(
    hashable
    | st.floats()
    | st.integers(-(10**40), 10**40)
    | st.binary(max_size=6).map(bytearray)
    | st.builds(range, st.integers(-99, 99), st.integers(-99, 99), st.integers(1, 9)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(hashable, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4).map(collections.OrderedDict)
        | st.lists(inner, max_size=4).map(collections.deque)
        | st.lists(inner, max_size=4).map(lambda items: collections.deque(items, 3))
        | st.dictionaries(hashable, st.integers(), max_size=4).map(collections.Counter)
    ),
    max_leaves=20,
)


@given(plain_values)
def test_plain_values_come_back_equal_with_their_exact_types(value: object) -> None:
    assert same(cross(value), value)


@pytest.mark.parametrize("bits", [8191, 8192, 8193, 15_000, 400_000])
@pytest.mark.parametrize("sign", [1, -1])
def test_big_ints_cross_at_any_depth(bits: int, sign: int) -> None:
    value = sign * ((1 << bits) - 1)
    assert cross(value) == value
    assert cross([value, (value,), {value: {value}}]) == [value, (value,), {value: {value}}]


def test_two_lone_surrogates_do_not_become_one_character() -> None:
    assert [ord(character) for character in cross("\ud83d\ude00")] == [0xD83D, 0xDE00]
    assert cross("\U0001f600") == "\U0001f600"


def test_json_does_not_turn_keys_into_strings() -> None:
    value = {1: "a", "1": "b", (1, 2): "c", None: "d", False: "e", 2.5: "f"}
    assert same(cross(value), value)


def test_counter_keeps_zero_and_negative_counts() -> None:
    value = collections.Counter({"a": 0, "b": -2})
    assert same(cross(value), value)


@pytest.mark.parametrize(
    "value",
    [
        np.array([[1, 2], [3, 4]]),
        np.array([], dtype=np.float32),
        np.zeros((2, 0, 3)),
        np.array(5),
        np.array([True, False]),
        np.array([1 + 2j]),
        np.array([math.nan, math.inf, -0.0]),
        np.array(["a", "bcd"]),
        np.array([b"a", b"bcd"]),
        np.arange(6, dtype=np.uint8).reshape(2, 3).T,
    ],
    ids=repr,
)
def test_numpy_arrays_cross_with_dtype_and_shape(value: np.ndarray) -> None:
    assert same(cross(value), value)
    assert same(cross([value])[0], value)


@pytest.mark.parametrize(
    "value",
    [
        np.float64(0.1),
        np.float32(0.1),
        np.int8(-3),
        np.uint64(2**64 - 1),
        np.bool_(True),
        np.str_("ab"),
        np.complex64(1j),
    ],
)
def test_numpy_scalars_cross_as_themselves(value: np.generic) -> None:
    crossed = cross(value)
    assert type(crossed) is type(value)
    assert crossed == value


class _Equal(int):
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __add__(self, other: object) -> Any:
        return self


class _Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "lie"


class _Items(list):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        return iter(["lie"])

    def __len__(self) -> int:
        return 0


class _Mapping(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        return {"lie": 1}.items()


class _Colour(enum.IntEnum):
    RED = 3


class Point(NamedTuple):
    x: int
    y: list[int]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (_Equal(7), 7),
        (_Text("truth"), "truth"),
        (_Items([1, [2]]), [1, [2]]),
        (_Mapping(a=1), {"a": 1}),
        (_Colour.RED, 3),
        (Point(1, [2]), (1, [2])),
        (collections.defaultdict(list, {"a": [1]}), {"a": [1]}),
        (type("F", (float,), {})(2.5), 2.5),
        (type("S", (set,), {})({1}), {1}),
        (type("B", (bytes,), {})(b"x"), b"x"),
    ],
)
def test_subclasses_cross_as_the_plain_value_they_hold(value: object, plain: object) -> None:
    assert same(cross(value), plain)
    assert same(cross([value])[0], plain)


def test_known_objects_cross_by_their_fields() -> None:
    slotted = Slotted()
    slotted.left = (1, Node("x"))
    crossed = cross([slotted])[0]
    assert type(crossed) is Slotted
    assert crossed.left[0] == 1
    assert crossed.left[1].val == "x"
    assert not hasattr(crossed, "right")


def test_a_linked_list_longer_than_any_recursion_crosses() -> None:
    head = None
    for number in range(50_000):
        head = Node(number, head)
    node, count = cross(head), 0
    while node is not None:
        assert node.val == 49_999 - count
        node, count = node.next, count + 1
    assert count == 50_000


def test_cycles_and_shared_nodes_of_known_objects_keep_their_shape() -> None:
    node = Node(1)
    node.next = node
    first, second = cross([node, node])
    assert first is second
    assert first.next is first


def test_existing_objects_get_the_fields_instead_of_new_ones() -> None:
    node, other = Node(1), Node(2)
    names, body = encode(Node(5, Node(6)))
    assert decode(names, body, {0: node, 1: other}) is node
    assert (node.val, node.next) == (5, other)
    assert other.val == 6


@pytest.mark.parametrize("make", [list, tuple, lambda items: {"k": items[0]}])
def test_too_deep_values_are_refused(make: Any) -> None:
    value: object = 1
    for _ in range(100_000):
        value = make([value])
    with pytest.raises(CodecError, match="nested more than"):
        encode(value)


def test_cyclic_lists_and_dicts_are_refused() -> None:
    items: list[object] = []
    items.append(items)
    table: dict[str, object] = {}
    table["self"] = table
    for value in (items, table):
        with pytest.raises(CodecError, match="cyclic"):
            encode(value)


def test_a_nesting_that_solutions_reach_crosses() -> None:
    value: object = 1
    for _ in range(190):
        value = [value]
    assert cross(value) == value


def test_what_is_no_plain_value_goes_to_the_reference_hooks() -> None:
    marker = object()
    encoder = Encoder({}, lambda value: {"h": 7} if value is marker else refuse(value))
    names, body = encoder.encode([1, marker])
    assert Decoder({}, lambda tag, token: (tag, token)).decode(names, body) == [1, ("h", 7)]


# --- decoding what a program, not our encoder, wrote ---


def is_plain(value: Any) -> bool:
    if type(value) in KNOWN.values():
        return True
    if isinstance(value, np.generic):
        return True
    if type(value) not in PLAIN:
        return False
    if isinstance(value, dict):
        return all(map(is_plain, value)) and all(map(is_plain, value.values()))
    if isinstance(value, list | tuple | set | frozenset | collections.deque):
        return all(map(is_plain, value))
    return True


def assert_decodes_to_plain_or_refuses(names: Any, body: bytes) -> None:
    decoder = Decoder(KNOWN, refuse_reference)
    try:
        value = decoder.decode(names, body)
    except CodecError:
        return
    assert is_plain(value)
    assert all(type(row) in KNOWN.values() for row in decoder.rows)


TAGS = [
    "t",
    "s",
    "f",
    "d",
    "b",
    "B",
    "i",
    "c",
    "r",
    "q",
    "C",
    "O",
    "D",
    "F",
    "dt",
    "td",
    "np",
    "o",
    "h",
    "cb",
    "bi",
    "?",
]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.sampled_from(["", "a", "1e9999999", "NaN", "<i8", "O", "|S4", "V8", "2020-01-01", "date", "__class__", "val"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(TAGS), inner, max_size=1),
    max_leaves=12,
)


@given(json_values, st.lists(st.sampled_from(["Node", "Slotted", "object", ""]), max_size=3), json_values)
def test_any_json_decodes_to_plain_values_or_is_refused(value: object, names: list[str], table: object) -> None:
    assert_decodes_to_plain_or_refuses(names, json.dumps([table, value]).encode())
    assert_decodes_to_plain_or_refuses(names, json.dumps([[], value]).encode())


@given(st.binary(max_size=40))
def test_any_bytes_are_refused_or_plain(body: bytes) -> None:
    assert_decodes_to_plain_or_refuses([], body)
    assert_decodes_to_plain_or_refuses([], b"[[]," + body + b"]")


@given(st.binary(max_size=40))
def test_any_frame_has_a_header_or_is_refused(frame: bytes) -> None:
    try:
        header, _ = unpack(frame)
    except CodecError:
        return
    assert type(header) is dict


@pytest.mark.parametrize("names", [None, 5, "Node", [["Node"]], [None], {"Node": 1}, ["object"]])
def test_any_class_names_are_refused_or_known(names: object) -> None:
    assert_decodes_to_plain_or_refuses(names, b"[[],1]")


@pytest.mark.parametrize("field", ["__class__", "__dict__", "__eq__", 5, None, ["val"]])
def test_no_field_can_change_what_an_object_is(field: object) -> None:
    with pytest.raises(CodecError):
        decode(["Node"], json.dumps([[[[field, 1]]], {"o": 0}]).encode())


BOMBS = {
    "set of a range": '{"s":{"r":[0,1000000000000,1]}}',
    "tuple of a range": '{"t":{"r":[0,9000000,1]}}',
    "deque of a range": '{"q":[null,{"r":[0,9000000,1]}]}',
    "dict of a range": '{"d":{"r":[0,9000000,1]}}',
    "pair that is a range": '{"d":[{"r":[0,9000000,1]}]}',
    "endless range": '{"r":[0,1000000000000000000,1]}',
    "array of a range": '{"np":["<i8",[9000000],{"r":[0,9000000,1]}]}',
    "wide text": '{"np":["<U100000000",[1],["a"]]}',
    "wide scalar": '{"np":["<U100000000",null,"a"]}',
    "fraction of a text": '{"F":["1e999999999",1]}',
    "huge fraction": f'{{"F":[{{"i":"0x{"f" * 100_000}"}},{{"i":"0x{"e" * 100_000}"}}]}}',
    "decimal int": "1" * 100_000,
    "deep": "[" * 100_000 + "]" * 100_000,
    "deep tuples": '{"t":[' * 100_000 + "]}" * 100_000,
    "bytes of an int": '{"b":1000000000}',
    "bytearray of an int": '{"B":1000000000}',
}


@pytest.mark.parametrize("value", BOMBS.values(), ids=BOMBS.keys())
def test_few_bytes_cannot_become_much_memory_or_time(value: str) -> None:
    with pytest.raises(CodecError):
        decode([], f"[[],{value}]".encode())


def test_pack_and_unpack_agree() -> None:
    assert unpack(pack({"op": "é\n"}, b"a\nb")) == ({"op": "é\n"}, b"a\nb")


@dataclass
class _Unknown:
    value: int


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(CodecError, match="_Unknown"):
        encode([_Unknown(1)])
