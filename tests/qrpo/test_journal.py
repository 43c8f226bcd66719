from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from qrpo.errors import PipelineError
from qrpo.journal import Journal, read_records, write_records


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
