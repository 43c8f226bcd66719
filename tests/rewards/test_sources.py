from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rewards.sources import SourceRow, read_rows
from sandbox.errors import RecordError

ROWS = [{"id": "a", "tests": ["assert True"], "n": 1.5}, {"id": "é", "tests": ["assert False"], "n": 2.0}]


def lines(rows: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def array(rows: list[dict[str, object]]) -> bytes:
    return json.dumps(rows).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", lines),
        ("a.jsonl.gz", lambda rows: gzip.compress(lines(rows))),
        ("a.json", array),
        ("a.json.gz", lambda rows: gzip.compress(array(rows))),
    ],
)
def test_rows_of_a_text_file(tmp_path: Path, name: str, content: Callable[[list[dict[str, object]]], bytes]) -> None:
    (tmp_path / name).write_bytes(content(ROWS))
    assert list(read_rows(tmp_path / name)) == [SourceRow(1, ROWS[0]), SourceRow(2, ROWS[1])]


def test_rows_of_a_parquet_file(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs the extra `train`")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert list(read_rows(tmp_path / "a.parquet")) == [SourceRow(1, ROWS[0]), SourceRow(2, ROWS[1])]


def test_null_in_a_table_is_an_absent_field_but_stays_in_a_list(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs the extra `train`")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"meta": {"a": "x"}, "cases": [{"in": 1}, None]}, {"meta": {"b": "y"}, "cases": [{"out": 2}]}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert [row.fields for row in read_rows(tmp_path / "a.parquet")] == rows


@pytest.fixture
def hub_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A data set as on the hub, in a folder: `datasets` reads both by the same name."""
    datasets = pytest.importorskip("datasets", reason="the hub needs the extra `train`")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "owner" / "name"
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_bytes(lines(ROWS))
    (folder / "test.jsonl").write_bytes(lines(ROWS[:1]))
    monkeypatch.chdir(tmp_path)
    return "owner/name"


def test_rows_of_a_split(hub_folder: str) -> None:
    assert [row.fields["id"] for row in read_rows(hub_folder, split="train")] == ["a", "é"]


def test_a_split_must_be_named_where_there_are_several(hub_folder: str) -> None:
    with pytest.raises(ValueError, match=r"name one of them: .*test"):
        list(read_rows(hub_folder))
    (Path(hub_folder) / "test.jsonl").unlink()
    assert len(list(read_rows(hub_folder))) == 2


@pytest.mark.parametrize(
    ("name", "content", "line", "reason"),
    [
        ("a.jsonl", '{"a": 1}\n{"a": \n', 2, "not JSON"),
        ("a.jsonl", '{"a": 1}\n\n[1]\n', 3, "must be a JSON object, got list"),
        ("a.json", '[{"a": 1},\n{"a":]', 2, "not JSON"),
        ("a.json", '[{"a": 1}, 3]', 2, "must be a JSON object, got int"),
        ("a.json", '{"a": 1}', 1, "expected an array"),
    ],
)
def test_a_malformed_row_is_reported_with_its_place(
    tmp_path: Path, name: str, content: str, line: int, reason: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(RecordError, match=reason) as caught:
        list(read_rows(tmp_path / name))
    assert caught.value.line == line


def test_a_missing_file_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(read_rows(tmp_path / "no.jsonl"))
    with pytest.raises(FileNotFoundError):
        list(read_rows("data/no.jsonl"))


def test_a_source_of_no_known_form_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    with pytest.raises(ValueError, match="unknown kind of file"):
        read_rows(tmp_path / "a.csv")
    with pytest.raises(ValueError, match="no file, no folder and no hub id"):
        read_rows("nothing")
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(ValueError, match="apply to data sets on the hub only"):
        read_rows(tmp_path / "a.json", split="train")
