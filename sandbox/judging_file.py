"""The output of a long judging: kept as it grows, so that an interrupted one continues where it was."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from sandbox.errors import RecordError
from sandbox.jsonl import parse_line, read_lines, write_atomically
from sandbox.records import ResultRecord, StrictRecord

log = logging.getLogger(__name__)


class _Header(StrictRecord):
    """First line of a partial file: what the results are of."""

    inputs: str


class _Row(StrictRecord):
    """A result and its place in the submissions."""

    index: int
    result: ResultRecord


class JudgingFile:
    """Results of a list of submissions, written to OUT.partial as they come and to OUT, in order, at the end.

    A context manager; leaving it keeps OUT.partial unless `finish` was called.

    Attributes:
        done: results by index, those of an earlier, interrupted judging of the same inputs included.
    """

    def __init__(self, out: Path, *, inputs: str, total: int) -> None:
        """Opens OUT.partial.

        Args:
            out: the final file.
            inputs: digest of all that the results depend on; see `digest_of`.
            total: number of submissions.

        Raises:
            RecordError: OUT.partial is of other inputs, or is damaged elsewhere than in its last line.
            OSError: it cannot be read or written, or another judging has it open.
        """
        self._out = out
        self._partial = partial_of(out)
        self._total = total
        self.done: dict[int, ResultRecord] = {}
        self._stream: BinaryIO = self._partial.open("ab")
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released when the file is closed
            self._drop_torn_line()
            self._read(inputs)
            if self._stream.seek(0, os.SEEK_END) == 0:
                self._append(_Header(inputs=inputs))
        except BlockingIOError as error:
            self._stream.close()
            raise OSError(error.errno, "another judging is writing this file", str(self._partial)) from None
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.close()

    @property
    def partial(self) -> Path:
        """Where results lie until `finish`."""
        return self._partial

    def add(self, index: int, result: ResultRecord) -> None:
        """Keeps a result; it survives the death of this process."""
        self._append(_Row(index=index, result=result))
        self.done[index] = result

    def finish(self) -> None:
        """Writes OUT in input order, at once, and removes OUT.partial.

        Raises:
            ValueError: results are missing; an incomplete file must never look complete.
        """
        missing = [index for index in range(self._total) if index not in self.done]
        if missing:
            raise ValueError(
                f"{len(missing)} of {self._total} results are missing, the first of submission {missing[0]}"
            )
        write_atomically(self._out, (self.done[index] for index in range(self._total)))
        self._partial.unlink()

    def _append(self, record: StrictRecord) -> None:
        self._stream.write(record.model_dump_json(exclude_none=True).encode() + b"\n")
        self._stream.flush()

    def _drop_torn_line(self) -> None:
        """Cuts off a last line that a killed process left without its end; it is judged again."""
        content = self._partial.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            log.warning(
                "%s: dropping a result of which only %d bytes were written", self._partial, len(content) - whole
            )
            os.truncate(self._partial, whole)

    def _read(self, inputs: str) -> None:
        lines = read_lines(self._partial)
        first = next(lines, None)
        if first is None:
            return
        if parse_line(_Header, first, self._partial).inputs != inputs:
            reason = "these are results of other inputs or options; delete this file or choose another output"
            raise RecordError(str(self._partial), first.number, "inputs", reason)
        for line in lines:
            row = parse_line(_Row, line, self._partial)
            self.done[row.index] = row.result


def partial_of(out: Path) -> Path:
    """Where the results of a file lie until it is finished."""
    return out.with_name(out.name + ".partial")


def digest_of(*parts: Path | str) -> str:
    """SHA-256, in hex, of the contents of files and of strings, each with its length."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()
