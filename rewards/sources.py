"""Rows of a data set, from a local file or from the hub, with their place for error messages."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from sandbox.errors import RecordError
from sandbox.jsonl import decode_lines

_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")


class SourceRow(NamedTuple):
    """A row that is a JSON object, not yet checked further."""

    number: int
    """1-based: the line of a JSONL file, else the place among the rows."""
    fields: Mapping[str, object]


def read_rows(
    source: str | Path, *, split: str | None = None, subset: str | None = None, revision: str | None = None
) -> Iterator[SourceRow]:
    """The rows of a file (.jsonl, .json, either with .gz; .parquet), of a folder, or of a data set on the hub.

    Args:
        source: a path, or a hub id such as `google-research-datasets/mbpp`. Parquet, folders and the hub need
            the package `datasets` (extra `train`).
        split: of a folder or hub data set; may be left out where there is only one.
        subset: the hub calls it the configuration.
        revision: a commit, tag or branch on the hub.

    Raises:
        RecordError: a row is not a JSON object.
        OSError: the file cannot be read.
        ValueError: `source` has no known form, or `split` is needed or does not apply.
        ImportError: `datasets` is needed and not installed.
    """
    path = Path(source)
    if path.is_file() or path.name.endswith(_SUFFIXES):
        if split is not None or subset is not None or revision is not None:
            raise ValueError(f"{path} is a file; split, subset and revision apply to data sets on the hub only")
        return _file_rows(path)
    if not path.is_dir() and str(source).count("/") != 1:
        known = ", ".join(_SUFFIXES)
        raise ValueError(f"{source} is no file, no folder and no hub id (owner/name); known kinds of file are {known}")
    return _hub_rows(str(source), split, subset, revision)


def _file_rows(path: Path) -> Iterator[SourceRow]:
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        return _numbered(map(_without_nulls, _parquet_rows(path)), path)
    if name.endswith(".json"):
        return _numbered(_array(path), path)
    if name.endswith(".jsonl"):
        return _jsonl_rows(path)
    raise ValueError(f"{path}: unknown kind of file; known are {', '.join(_SUFFIXES)}")


def _jsonl_rows(path: Path) -> Iterator[SourceRow]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        for line in decode_lines(stream, path):
            try:
                row = json.loads(line.text)
            except ValueError as error:
                raise RecordError(str(path), line.number, "", f"not JSON: {error}") from None
            yield SourceRow(line.number, _as_object(row, path, line.number))


def _array(path: Path) -> list[object]:
    """The elements of a file that is one JSON array."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        content = stream.read()
    try:
        rows = json.loads(content)
    except json.JSONDecodeError as error:
        raise RecordError(str(path), error.lineno, "", f"not JSON: {error.msg}") from None
    except ValueError as error:  # not UTF-8
        raise RecordError(str(path), 1, "", f"not JSON: {error}") from None
    if not isinstance(rows, list):
        raise RecordError(str(path), 1, "", f"expected an array of objects, got {type(rows).__name__}")
    return rows


def _parquet_rows(path: Path) -> Iterator[object]:
    try:
        from pyarrow.parquet import ParquetFile  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(f"{path}: reading Parquet needs pyarrow; install the extra `train`") from error
    with ParquetFile(path) as table:
        for batch in table.iter_batches(batch_size=256):
            yield from batch.to_pylist()


def _hub_rows(name: str, split: str | None, subset: str | None, revision: str | None) -> Iterator[SourceRow]:
    try:
        import datasets
    except ImportError as error:
        raise ImportError(f"{name}: reading from the hub needs `datasets`; install the extra `train`") from error
    loaded = datasets.load_dataset(name, subset, split=split, revision=revision)
    if isinstance(loaded, datasets.DatasetDict):
        if len(loaded) != 1:
            raise ValueError(f"{name} has several splits; name one of them: {', '.join(loaded)}")
        (loaded,) = loaded.values()
    return _numbered(map(_without_nulls, loaded), name)


def _without_nulls(value: object) -> object:
    """Without the fields that are null: a table has every column in every row, so there null means absent."""
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _numbered(rows: Iterable[object], source: Path | str) -> Iterator[SourceRow]:
    for number, row in enumerate(rows, start=1):
        yield SourceRow(number, _as_object(row, source, number))


def _as_object(row: object, source: Path | str, number: int) -> Mapping[str, object]:
    if not isinstance(row, dict):
        raise RecordError(str(source), number, "", f"a row must be a JSON object, got {type(row).__name__}")
    return row
