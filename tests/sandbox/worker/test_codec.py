import array
import collections
import copy
import datetime as dt
import decimal
import enum
import fractions
import json
import math
import re
from dataclasses import dataclass
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.worker.codec import CodecError, Decoder, Encoder, pack, unpack
from sandbox.worker.named import Named

PLAIN = {
    type(None), bool, int, float, str, bytes, bytearray, complex, list, tuple, dict, set, frozenset, range,
    collections.deque, collections.Counter, collections.OrderedDict, decimal.Decimal, fractions.Fraction,
    dt.datetime, dt.date, dt.time, dt.timedelta, dt.timezone, ZoneInfo, np.ndarray, array.array, Named,
    collections.defaultdict,
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
        (collections.defaultdict(lambda: 1, {"a": [1]}), {"a": [1]}),
        (type("C", (complex,), {})(1 - 2j), 1 - 2j),
        (type("A", (bytearray,), {})(b"x"), bytearray(b"x")),
        (type("D", (decimal.Decimal,), {"__str__": repr})("1.50"), decimal.Decimal("1.50")),
        (type("R", (fractions.Fraction,), {})(1, 3), fractions.Fraction(1, 3)),
        (type("N", (collections.Counter,), {})("aab"), collections.Counter("aab")),
        (type("O", (collections.OrderedDict,), {})(b=1, a=2), collections.OrderedDict(b=1, a=2)),
        (type("Q", (collections.deque,), {})([1, 2], 2), collections.deque([1, 2], 2)),
        (type("T", (dt.datetime,), {})(2020, 2, 3, 4, tzinfo=dt.UTC), dt.datetime(2020, 2, 3, 4, tzinfo=dt.UTC)),
        (type("Y", (dt.date,), {})(2020, 2, 3), dt.date(2020, 2, 3)),
        (type("L", (dt.timedelta,), {})(1, 2), dt.timedelta(1, 2)),
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


# --- what crossed is equal to what it was equal to ---

BERLIN = ZoneInfo("Europe/Berlin")
zones = st.none() | st.sampled_from(
    [dt.UTC, BERLIN, ZoneInfo("UTC"), ZoneInfo("America/New_York"), dt.timezone(dt.timedelta(hours=1), "CET")]
)
# Few values, so that pairs are often equal, and around the change to winter time, where `fold` tells two hours apart.
moments = st.builds(
    dt.datetime, st.just(2023), st.just(10), st.sampled_from([28, 29]), st.integers(0, 3), st.sampled_from([0, 30]),
    tzinfo=zones, fold=st.integers(0, 1),
)  # fmt: skip
numbers = st.sampled_from(
    [0, 1, True, 1.0, -0.0, 0.1, 2**53, 2.0**53, 2**53 + 1, 10**400, math.inf, -math.inf, math.nan, 1j, complex(1, 0),
     complex(math.nan, 1), complex(math.inf, 1), decimal.Decimal(1), decimal.Decimal("-0"), decimal.Decimal("0.1"),
     decimal.Decimal("NaN"), decimal.Decimal("Infinity"), decimal.Decimal("1E+999999"), fractions.Fraction(1, 10),
     fractions.Fraction(1), np.int8(1), np.uint64(1), np.float32(0.1), np.float64(0.1), np.float16(0.1),
     np.longdouble("0.1"), np.complex64(1j), np.clongdouble(1), np.bool_(True), np.datetime64("2020-01-01"),
     np.datetime64("2020-01-01", "ns"), np.datetime64("NaT"), np.timedelta64(1, "s"), np.timedelta64(1000, "ms"),
     np.str_("a"), np.bytes_(b"a"), range(1, 3), range(1, 4, 2), range(1, 5, 2), range(3, 3), "a", b"a", "", None],
)  # fmt: skip
named = st.builds(Point, st.integers(0, 1), st.integers(0, 1))  # type: ignore[arg-type]  # hashable
simple = (
    numbers | moments | named | st.builds(dt.date, st.just(2023), st.just(10), st.integers(28, 29))
    | moments.map(dt.datetime.timetz) | st.builds(dt.timedelta, hours=st.integers(-1, 1))
    | st.builds(dt.timezone, st.builds(dt.timedelta, hours=st.integers(-1, 1))) | zones
)  # fmt: skip
comparable = st.recursive(
    simple
    | st.binary(max_size=1).map(bytearray)
    | st.lists(st.integers(0, 1), max_size=2).map(lambda v: array.array("b", v)),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.lists(inner, max_size=2).map(tuple)
        | st.lists(inner, max_size=2).map(collections.deque)
        | st.lists(simple, max_size=2).map(set)
        | st.lists(simple, max_size=2).map(frozenset)
        | st.dictionaries(simple, inner, max_size=2)
        | st.dictionaries(simple, inner, max_size=2).map(collections.OrderedDict)
        | st.dictionaries(simple, inner, max_size=2).map(lambda v: collections.defaultdict(list, v))
        | st.dictionaries(simple, st.integers(-1, 1), max_size=2).map(collections.Counter)
    ),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=1000)
@given(comparable, st.data())
def test_what_crossed_is_equal_to_what_it_was_equal_to(value: object, data: st.DataObject) -> None:
    """Copied first: Python takes the same NaN for equal inside of containers, and a program's is never the judge's."""
    expected = copy.deepcopy(data.draw(comparable | st.just(value)))
    here = [_copied(value), cross(value)]
    assert [verdict(mine == expected) for mine in here[1:]] == [verdict(here[0] == expected)]
    assert [verdict(expected == mine) for mine in here[1:]] == [verdict(expected == here[0])]


def _copied(value: Any) -> Any:
    """A deep copy without shared floats."""
    if isinstance(value, float | complex | decimal.Decimal) and value != value:  # noqa: PLR0124 - NaN
        return type(value)(str(value))
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(map(_copied, value))
    if type(value) is collections.deque:
        return collections.deque(map(_copied, value), value.maxlen)
    if type(value) is collections.defaultdict:
        return collections.defaultdict(value.default_factory, ((_copied(k), _copied(v)) for k, v in value.items()))
    if isinstance(value, dict):
        return type(value)({_copied(key): _copied(item) for key, item in value.items()})
    return value


def verdict(compared: Any) -> object:
    return bool(np.all(compared))


arrays = st.one_of(
    st.tuples(
        st.sampled_from("? i1 <i8 >i4 u8 f2 f4 f8 g F D G M8[s] M8[ns] m8[h]".split()),  # noqa: SIM905 - shorter
        st.sampled_from([(), (0,), (2,), (2, 2), (1, 0, 2)]),
        st.integers(0, 1),
    ).map(lambda made: np.full(made[1], made[2]).astype(made[0])),
    st.sampled_from(
        [
            np.array([[1, None], ["a", (1, 2)]], dtype=object),
            np.array([1, 1], dtype=object),
            np.array([("a", 1, 0.5)], dtype=[("name", "U3"), ("n", "i4"), ("x", "f8")]),
            np.array([math.nan, 1.0]),
            np.array([np.datetime64("NaT")]),
            np.array([True, False])[::-1],
            np.array(["a", "bc"]),
            np.array([b"a"]),
        ]
    ),
)  # fmt: skip


@given(arrays, arrays)
def test_arrays_that_crossed_are_equal_to_what_they_were_equal_to(value: np.ndarray, other: np.ndarray) -> None:
    crossed = cross(value)
    assert (crossed.dtype, crossed.shape, crossed.flags.writeable) == (value.dtype, value.shape, True)
    np.testing.assert_array_equal(crossed, value)
    try:
        expected = np.array_equal(value, other)
    except TypeError as error:
        with pytest.raises(TypeError, match=re.escape(str(error))):
            np.array_equal(crossed, other)
    else:
        assert np.array_equal(crossed, other) == expected


def test_a_structured_scalar_crosses() -> None:
    value = np.array([(1, 0.5)], dtype=[("n", "i4"), ("x", "f8")])[0]
    assert cross(value) == value
    assert cross(value)["x"] == 0.5


def test_no_bool_is_true_and_yet_not_equal_to_true() -> None:
    assert decode([], b'[[],{"nb":["|b1",[2],"AgA="]}]').tolist() == [True, False]
    assert decode([], b'[[],{"nb":["|b1",[2],"AgA="]}]').view(np.uint8).tolist() == [1, 0]


def test_named_tuples_keep_the_names_of_their_fields() -> None:
    point = cross(Point(1, [2]))
    assert (point.x, point.y, point._fields, point._asdict()) == (1, [2], ("x", "y"), {"x": 1, "y": [2]})
    assert point == (1, [2])
    assert repr(point) == "Point(x=1, y=[2])"
    assert hash(cross(Point(1, 2))) == hash((1, 2))  # type: ignore[arg-type]
    assert copy.deepcopy(point).y == [2]
    assert same(cross(point), point)
    Tally = collections.namedtuple("Tally", ["count", "index"])  # noqa: PYI024 - names that tuples have too
    assert (cross(Tally(5, 6)).count, cross(Tally(5, 6)).index) == (5, 6)


@pytest.mark.parametrize("field", ["__class__", "_fields", "a b", "", "1", 5, None, "__eq__"])
def test_no_field_of_a_tuple_can_change_what_it_is(field: object) -> None:
    with pytest.raises(CodecError):
        decode([], json.dumps([[], {"nt": ["P", [field], [1]]}]).encode())


def test_no_field_of_a_tuple_can_answer_for_its_methods() -> None:
    with pytest.raises(CodecError, match="hide a method"):
        Decoder({}, lambda tag, token: len).decode([], b'[[],{"nt":["P",["count"],[{"bi":"len"}]]}]')


def test_a_zone_of_the_time_zone_database_stays_one() -> None:
    value = dt.datetime(2023, 10, 29, 2, 30, tzinfo=BERLIN, fold=1)
    crossed = cross(value)
    assert (crossed, crossed.fold, crossed.tzinfo) == (value, 1, BERLIN)
    assert crossed.utcoffset() == dt.timedelta(hours=1)


@pytest.mark.parametrize("key", ["Nowhere/Land", "../../etc/passwd", "/etc/passwd", "tzdata.zi", "os", 5, "a" * 1000])
def test_what_is_no_zone_of_the_database_is_a_fixed_offset(key: object) -> None:
    assert decode([], json.dumps([[], {"tz": [key, None, [0, 3600, 0]]}]).encode()) == dt.timezone(
        dt.timedelta(hours=1)
    )


class Shape(enum.Enum):
    ROUND = "round"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


def test_known_enums_and_named_tuples_cross_as_themselves() -> None:
    known = {"Shape": Shape, "Right": Right, "Colour": _Colour, "Point": Point}
    value = [Shape.ROUND, Right.READ | Right.WRITE, _Colour.RED, Right(0), Point(1, [2])]
    names, body = Encoder({cls: name for name, cls in known.items()}, refuse).encode(value)
    crossed = Decoder(known, refuse_reference).decode(names, body)
    assert crossed == value
    assert [type(item) for item in crossed] == [type(item) for item in value]


@pytest.mark.parametrize(
    "token",
    ['{"e":["Shape","__class__",null]}', '{"e":["Shape","mro",null]}', '{"e":["Shape",null,1]}',
     '{"e":["Node","val",null]}', '{"e":["Right",null,"x"]}', '{"ot":["Node",[]]}', '{"ot":["Point",[1]]}',
     '{"e":["Other","A",null]}'],
)  # fmt: skip
def test_no_token_makes_more_of_a_known_class_than_its_values(token: str) -> None:
    known = {"Shape": Shape, "Right": Right, "Point": Point, "Node": Node}
    with pytest.raises(CodecError):
        Decoder(known, refuse_reference).decode([], f"[[],{token}]".encode())
    with pytest.raises(CodecError, match="not made of fields"):
        Decoder(known, refuse_reference).decode(["Point"], b"[[[]],1]")


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
    "nb",
    "no",
    "nv",
    "nt",
    "ot",
    "e",
    "dd",
    "a",
    "da",
    "ti",
    "tz",
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
    "array of a range": '{"np":["<U1",[9000000],{"r":[0,9000000,1]}]}',
    "objects of a range": '{"no":[[9000000],{"r":[0,9000000,1]}]}',
    "shape of a range": '{"nb":["<i8",{"r":[0,9000000,1]},""]}',
    "items that are ranges": '{"np":["<U1",[2],[{"r":[0,9000000,1]},{"r":[0,9000000,1]}]]}',
    "native array of a range": '{"a":["q",{"r":[0,9000000,1]}]}',
    "native array of arrays": '{"a":["q",[{"r":[0,9,1]}]]}',
    "huge array of nothing": '{"nb":["<i8",[1000000000000],""]}',
    "structure of nothing": '{"nv":[[1000000000000],[]]}',
    "structured dtype": '{"nb":["i8,i8",[0],""]}',
    "names of a range": '{"nt":["P",{"r":[0,9000000,1]},{"r":[0,9000000,1]}]}',
    "defaultdict of a range": '{"dd":["list",{"r":[0,9000000,1]}]}',
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
