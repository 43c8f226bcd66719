"""JSONL files: one that grows batch by batch and can be continued after a kill at any moment, and any as a sequence.

Reference completions are gigabytes: nothing here holds more of a file than the record at hand, but `read_records`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar, overload

from pydantic import BaseModel, ValidationError

from qrpo.errors import PipelineError
from qrpo.files import write_atomically

Record = TypeVar("Record", bound=BaseModel)


class RecordFile(Sequence[Record], Generic[Record]):
    """The lines of a file, each read and checked when it is asked for; a slice is a list.

    Raises:
        PipelineError: on access: a line is not such a record; names file, line and field.
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path, record: type[Record], places: Sequence[int] | None = None) -> None:
        """Finds the lines.

        Args:
            path: the file, which must stay as it is.
            record: what a line is.
            places: which lines, in which order, from 0; None: all.
        """
        self._path = path
        self._record = record
        ends = _line_ends(path, cut_short=True)
        spans = list(zip([0, *ends], ends, strict=False))
        self._lines = [(place, *spans[place]) for place in (range(len(spans)) if places is None else places)]

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...

    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        if isinstance(place, slice):
            return list(self._read(self._lines[place]))
        return next(self._read([self._lines[place]]))

    def __iter__(self) -> Iterator[Record]:
        return self._read(self._lines)

    def _read(self, lines: Iterable[tuple[int, int, int]]) -> Iterator[Record]:
        with self._path.open("rb") as stream:
            for place, start, end in lines:
                stream.seek(start)
                yield _parse(self._path, self._record, stream.read(end - start), place + 1)


class Journal(Generic[Record]):
    """Records of one type, appended in batches whose sizes are known beforehand.

    A kill can leave part of a batch, or part of a line. Opening the file again cuts it back to the last whole
    batch, so that what follows is made in the same batches as in a run that was never stopped.

    Attributes:
        batches_done: whole batches in the file.
    """

    def __init__(self, path: Path, record: type[Record], batch_sizes: Sequence[int]) -> None:
        """Opens or makes the file.

        Args:
            path: the file; its folder exists.
            record: what a line is.
            batch_sizes: records in each batch, in order.

        Raises:
            PipelineError: a whole line is not such a record.
        """
        self._path = path
        self._record = record
        self._sizes = tuple(batch_sizes)
        ends = _line_ends(path, cut_short=False) if path.exists() else []
        self.batches_done = 0
        kept = 0
        for size in self._sizes:
            if kept + size > len(ends):
                break
            kept += size
            self.batches_done += 1
        good = ends[kept - 1] if kept else 0
        if path.exists() and good < path.stat().st_size:
            with path.open("r+b") as stream:
                stream.truncate(good)
        try:
            for _ in self.records():  # each is checked
                pass
        except PipelineError as error:
            raise PipelineError(f"{error}; delete that line and all after it, to go on from there") from error

    def append(self, batch: Iterable[Record]) -> None:
        """Adds the next batch; it is on disk when this returns.

        Raises:
            ValueError: the batch has another size than planned.
        """
        lines = [_line(record) for record in batch]
        if len(lines) != self._sizes[self.batches_done]:
            planned = self._sizes[self.batches_done]
            raise ValueError(f"batch {self.batches_done} has {len(lines)} records, {planned} were planned")
        with self._path.open("ab") as stream:
            stream.write(b"".join(lines))
            stream.flush()
            os.fsync(stream.fileno())
        self.batches_done += 1

    def records(self, places: Sequence[int] | None = None) -> Sequence[Record]:
        """Those so far, read when they are asked for, in the order of writing or in that of `places`."""
        return RecordFile(self._path, self._record, places) if self._path.exists() else ()

    def read(self) -> list[Record]:
        """All records so far, in the order of writing."""
        return list(self.records())


def read_records(path: Path, record: type[Record]) -> list[Record]:
    """All lines of a JSONL file.

    Raises:
        PipelineError: a line is not such a record; names file, line and field.
        OSError: the file cannot be read.
    """
    return list(RecordFile(path, record))


def write_records(path: Path, records: Iterable[BaseModel]) -> None:
    """Writes one record a line, at once or not at all."""
    write_atomically(path, map(_line, records))


def _line_ends(path: Path, *, cut_short: bool) -> list[int]:
    """Where each line ends, its newline included.

    Args:
        cut_short: whether what follows the last newline is a line.
    """
    ends: list[int] = []
    with path.open("rb") as stream:
        for line in stream:
            if cut_short or line.endswith(b"\n"):
                ends.append((ends[-1] if ends else 0) + len(line))
    return ends


def _line(record: BaseModel) -> bytes:
    return record.model_dump_json().encode() + b"\n"


def _parse(path: Path, record: type[Record], line: bytes, number: int) -> Record:
    try:
        return record.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = "".join(f"{part}: " for part in [".".join(map(str, first["loc"]))] if part)
        raise PipelineError(f"{path}:{number}: {field}{first['msg']}") from error
