import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from qrpo.errors import PipelineError
from qrpo.journal import Journal, RecordFile, read_records, write_records


class Row(BaseModel):
    n: int


def write_all(path: Path, sizes: list[int]) -> bytes:
    journal = Journal(path, Row, sizes)
    start = sum(sizes[: journal.batches_done])
    for size in sizes[journal.batches_done :]:
        journal.append(Row(n=n) for n in range(start, start + size))
        start += size
    return path.read_bytes()


@given(st.data())
def test_cut_anywhere_and_continued_it_is_as_if_never_cut(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    whole = write_all(path, sizes)
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    journal = Journal(path, Row, sizes)
    lines = whole[:cut].count(b"\n")
    # whole batches stay, and nothing of a batch that is not whole
    assert [row.n for row in journal.read()] == list(range(sum(sizes[: journal.batches_done])))
    assert sum(sizes[: journal.batches_done]) <= lines
    assert write_all(path, sizes) == whole


def test_a_batch_of_another_size_than_planned_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", Row, [2])
    with pytest.raises(ValueError, match="1 records, 2 were planned"):
        journal.append([Row(n=0)])
    assert journal.read() == []


def test_a_whole_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "j").write_text('{"n": 1}\n{"n": "x"}\n')
    with pytest.raises(PipelineError, match="j:2: n: "):
        Journal(tmp_path / "j", Row, [1, 1])


def test_records_come_back_as_written(tmp_path: Path) -> None:
    rows = [Row(n=1), Row(n=2)]
    write_records(tmp_path / "r", rows)
    assert read_records(tmp_path / "r", Row) == rows


def test_a_file_is_a_sequence_in_any_order(tmp_path: Path) -> None:
    write_records(tmp_path / "r", (Row(n=n) for n in range(5)))
    rows = RecordFile(tmp_path / "r", Row, [3, 1, 4])
    assert [row.n for row in rows] == [3, 1, 4]
    assert (len(rows), rows[1].n, rows[-1].n, [row.n for row in rows[1:]]) == (3, 1, 4, [1, 4])


def test_a_last_line_without_its_newline_counts(tmp_path: Path) -> None:
    (tmp_path / "r").write_text('{"n": 1}\n{"n": 2}')
    assert [row.n for row in read_records(tmp_path / "r", Row)] == [1, 2]


def test_a_record_is_read_only_when_it_is_asked_for(tmp_path: Path) -> None:
    """Reference completions are gigabytes."""
    (tmp_path / "r").write_text('{"n": 1}\n{"n": "x"}\n{"n": 3}\n')
    rows = RecordFile(tmp_path / "r", Row)
    assert [row.n for row in (rows[0], rows[2])] == [1, 3]
    with pytest.raises(PipelineError, match="r:2: n: "):
        list(rows)


def test_records_are_written_as_they_come(tmp_path: Path) -> None:
    """None is kept: 10,000 of 100 kB each need no gigabyte."""
    kept: list[weakref.ref[Row]] = []

    def rows() -> Iterator[Row]:
        for n in range(9):
            row = Row(n=n)
            kept.append(weakref.ref(row))
            yield row
            del row
            assert sum(ref() is not None for ref in kept) <= 1

    write_records(tmp_path / "r", rows())
    assert len(read_records(tmp_path / "r", Row)) == 9


def test_a_damaged_line_of_a_journal_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "j").write_text("garbage\n")
    with pytest.raises(PipelineError, match=r"j:1: Invalid JSON.*; delete that line and all after it"):
        Journal(tmp_path / "j", Row, [1])
