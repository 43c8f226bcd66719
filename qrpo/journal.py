"""A JSONL file that grows batch by batch and can be continued after the process was killed at any moment."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from qrpo.artifacts import write_atomically
from qrpo.errors import PipelineError

Record = TypeVar("Record", bound=BaseModel)


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
        content = path.read_bytes() if path.exists() else b""
        lines = content.split(b"\n")[:-1]  # what follows the last newline is a line cut short, or nothing
        self.batches_done = 0
        kept = 0
        for size in self._sizes:
            if kept + size > len(lines):
                break
            kept += size
            self.batches_done += 1
        for number, line in enumerate(lines[:kept], start=1):
            self._parse(line, number)
        good = sum(len(line) + 1 for line in lines[:kept])
        if good < len(content):
            with path.open("r+b") as stream:
                stream.truncate(good)

    def append(self, batch: Iterable[Record]) -> None:
        """Adds the next batch; it is on disk when this returns.

        Raises:
            ValueError: the batch has another size than planned.
        """
        lines = [record.model_dump_json().encode() + b"\n" for record in batch]
        if len(lines) != self._sizes[self.batches_done]:
            planned = self._sizes[self.batches_done]
            raise ValueError(f"batch {self.batches_done} has {len(lines)} records, {planned} were planned")
        with self._path.open("ab") as stream:
            stream.write(b"".join(lines))
            stream.flush()
            os.fsync(stream.fileno())
        self.batches_done += 1

    def read(self) -> list[Record]:
        """All records so far, in the order of writing."""
        return read_records(self._path, self._record) if self._path.exists() else []

    def _parse(self, line: bytes, number: int) -> Record:
        return _parse(self._path, self._record, line, number)


def read_records(path: Path, record: type[Record]) -> list[Record]:
    """All lines of a JSONL file.

    Raises:
        PipelineError: a line is not such a record; names file, line and field.
        OSError: the file cannot be read.
    """
    lines = path.read_bytes().splitlines()
    return [_parse(path, record, line, number) for number, line in enumerate(lines, start=1)]


def write_records(path: Path, records: Iterable[BaseModel]) -> None:
    """Writes one record a line, at once or not at all."""
    write_atomically(path, b"".join(record.model_dump_json().encode() + b"\n" for record in records))


def _parse(path: Path, record: type[Record], line: bytes, number: int) -> Record:
    try:
        return record.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise PipelineError(f"{path}:{number}: {field}: {first['msg']}") from error
