"""Lines of JSON: reading them with the place of every error, and replacing a file at once or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from sandbox.errors import RecordError

Record = TypeVar("Record", bound=BaseModel)


class Line(NamedTuple):
    """A line that is not blank."""

    number: int
    """1-based."""
    text: str


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a UTF-8 file that are not blank.

    Raises:
        RecordError: a line is not UTF-8.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        yield from decode_lines(stream, path)


def decode_lines(stream: Iterable[bytes], path: Path) -> Iterator[Line]:
    """As `read_lines`, from a stream of bytes; `path` is only named in errors."""
    for number, raw in enumerate(stream, start=1):
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise RecordError(str(path), number, "", f"not UTF-8: {error.reason} at byte {error.start}") from None
        if text.strip():
            yield Line(number, text)


def parse_line(model: type[Record], line: Line, path: Path) -> Record:
    """A line as a record.

    Raises:
        RecordError: the line is not what `model` says.
    """
    try:
        return model.model_validate_json(line.text)
    except ValidationError as error:
        raise record_error(error, path, line.number) from None


def record_error(error: ValidationError, path: Path | str, line: int) -> RecordError:
    """The first complaint of pydantic as an error with its place, and how many more there are."""
    complaints = error.errors(include_url=False)
    first = complaints[0]
    reason = first["msg"]
    if first["type"] not in ("missing", "json_invalid"):
        shown = repr(first["input"])
        reason += f", got {shown if len(shown) <= 80 else shown[:77] + '...'}"
    if len(complaints) > 1:
        reason += f" (and {len(complaints) - 1} more)"
    return RecordError(str(path), line, ".".join(str(part) for part in first["loc"]), reason)


def write_atomically(path: Path, records: Iterable[BaseModel]) -> None:
    """Writes one record a line; a reader sees the old file or the whole new one, also after a crash.

    Raises:
        OSError: the folder does not exist, cannot be written, or is full; the old file is as it was.
    """
    # The name is random: two writers of one path must not share a temporary file.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            for record in records:
                stream.write(record.model_dump_json(exclude_none=True).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes it 0600
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
