"""The end of a log as a terminal would show it."""

import tracemalloc
from pathlib import Path

import pytest

from slurm.experiments.log_tail import RUN, cleaned, last_lines, tail_of


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (b"\x1b[1;31mError\x1b[0m: x\n", "Error: x\n"),
        (b"\x1b]0;title\x07a\x1b[2K\n", "a\n"),
        (b" 1/3\r 2/3\r 3/3\n", " 3/3\n"),
        (b" 1/3\r 2/3\r", " 2/3"),
        (b"a\r\nb\r\n", "a\nb\n"),
        (b"a\r\r\n", "a\n"),
        (b"\xff\x00\x07\n", "�\n"),
        ("é\n".encode(), "é\n"),
    ],
)
def test_what_a_terminal_would_not_show_is_left_out(printed: bytes, shown: str) -> None:
    assert cleaned(printed) == shown


def test_of_a_huge_log_only_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as stream:
        stream.truncate(2**33)  # it has holes
        stream.seek(2**33)
        stream.write(b"\nstep 1\nthe end\n")
    tracemalloc.start()
    text = tail_of(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert last_lines(text, 2) == "step 1\nthe end"
    assert peak < 8 * 2**20


def test_of_a_huge_line_the_end_is_shown(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"".join(b"\r %d it" % number for number in range(10**5)) + b"\nthe end\n")
    assert tail_of(tmp_path / "log") == "the end\n"
    (tmp_path / "log").write_bytes(b"".join(b"\r %d it" % number for number in range(10**5)))
    assert tail_of(tmp_path / "log") == " 99999 it"


def test_what_earlier_runs_of_the_job_have_printed_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"{RUN}a\nValueError: old\n{RUN}a\nnew\n")
    assert tail_of(tmp_path / "log") == "new\n"


def test_where_there_is_no_log_nothing_was_printed(tmp_path: Path) -> None:
    assert tail_of(tmp_path / "log") == ""


def test_a_line_without_an_end_is_shown_by_its_beginning_and_its_end() -> None:
    text = last_lines("begins " + "." * 2**17 + " ends", 2)
    assert text.startswith("begins ...")
    assert text.endswith("... ends")
    assert len(text) < 1010
