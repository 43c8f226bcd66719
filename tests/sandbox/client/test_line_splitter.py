import time

from hypothesis import given
from hypothesis import strategies as st

from sandbox.client.line_splitter import LineSplitter


@given(st.lists(st.text("ab\n").map(str.encode)))
def test_lines_are_those_of_the_whole_however_it_is_cut(parts: list[bytes]) -> None:
    splitter = LineSplitter()
    lines = [line for part in parts for line in splitter.lines_with(part)]
    *expected, rest = b"".join(parts).split(b"\n")
    assert lines == expected
    assert splitter.rest_bytes == len(rest)


def test_a_line_of_many_parts_takes_time_in_proportion() -> None:
    splitter = LineSplitter()
    began_s = time.process_time()
    for _ in range(2000):
        splitter.lines_with(b"x" * 50_000)
    assert len(splitter.lines_with(b"\n")[0]) == 100_000_000
    assert time.process_time() - began_s < 2  # joined part by part it takes a minute
