"""Encoded tests are read without running what they hold."""

import base64
import os
import pickle
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.server.peers.encoded_tests import decode

MOST = 1 << 20
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


class Attack:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/attacked",)


@given(st.lists(plain, max_size=5), st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_data_comes_back(tests: list[object], protocol: int) -> None:
    assert decode(packed(pickle.dumps(tests, protocol)), MOST) == tests


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_run_something_is_refused(protocol: int) -> None:
    with pytest.raises(ValueError, match="not plain data"):
        decode(packed(pickle.dumps([Attack()], protocol)), MOST)


def test_a_pickle_cannot_ask_for_memory_by_numbering_values() -> None:
    with pytest.raises(ValueError, match="numbers more values"):
        decode(packed(b"]r\xff\xff\xff\x7f."), MOST)


def in_itself() -> list[object]:
    found: list[object] = []
    found.append(found)
    return found


def doubled(times: int) -> list[object]:
    found: list[object] = []
    for _ in range(times):
        found = [found, found]
    return found


@pytest.mark.parametrize(
    "tests",
    [in_itself(), doubled(60), [{1: "a"}], [{(1, 2): "a"}], [("a",)], [1 << 40000], ["a" * 1000] * 2000],
    ids=["in itself", "doubled", "a number as name", "a tuple as name", "a tuple", "a long number", "repeated"],
)
def test_a_pickle_of_what_json_cannot_be_or_not_so_small_is_refused(tests: list[object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the message is Python's for some
        decode(packed(pickle.dumps(tests)), MOST)


def test_a_pickle_that_is_nested_deep_is_refused() -> None:
    with pytest.raises(ValueError, match="nested too deep"):
        decode(packed(b"]" * 3000 + b"a" * 2999 + b"."), MOST)


def test_a_pickle_of_too_many_steps_is_refused_before_it_is_made() -> None:
    with pytest.raises(ValueError, match="steps"):
        decode(packed(b"](" + b"}" * 1_000_001 + b"e."), 2 * MOST)


def test_what_is_too_large_decompressed_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 1048576 bytes"):
        decode(packed(b"0" * (MOST + 1)), MOST)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        assert isinstance(decode(packed(data), MOST), list)
    except ValueError:
        pass


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert isinstance(decode(text, MOST), list)
    except ValueError:
        pass


def test_a_pickle_that_is_far_larger_written_out_is_refused() -> None:
    bomb: list[object] = ["a"]
    for _ in range(40):
        bomb = [bomb, bomb]
    with pytest.raises(ValueError, match="too much, or nested too deep"):
        decode(packed(pickle.dumps(bomb)), MOST)
    long = "a" * 1000
    with pytest.raises(ValueError, match="too much, or nested too deep"):
        decode(packed(pickle.dumps([long] * 2000)), MOST)


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="too much, or nested too deep"):
        decode(packed(pickle.dumps(endless)), MOST)
