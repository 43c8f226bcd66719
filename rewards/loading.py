"""Problems of a data set: the rows of a file or of the hub, checked, in one of the known formats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from rewards.entry import Entry
from rewards.formats.detection import FORMATS, Format, detect_format
from rewards.sources import SourceRow, read_rows
from sandbox.errors import ProblemError, RecordError
from sandbox.jsonl import record_error
from sandbox.syntax import check_syntax


def load_problems(
    source: str | Path,
    row_format: Format | None = None,
    *,
    split: str | None = None,
    subset: str | None = None,
    revision: str | None = None,
) -> list[Entry]:
    """The problems of a data set, in its order, with their canonical solutions.

    Args:
        source: a file (.jsonl, .json, either with .gz; .parquet), a folder, or a hub id.
        row_format: one of `rewards.formats.detection.FORMATS`; None tells it from the first row's fields.
        split: of a folder or hub data set; may be left out where there is only one.
        subset: the hub calls it the configuration.
        revision: a commit, tag or branch on the hub.

    Raises:
        RecordError: a row is malformed, has the id of a row before it, or there is no row.
        OSError: the file cannot be read.
        ValueError: an unknown format or form of `source`.
        ImportError: `datasets` is needed and not installed.
    """
    if row_format is not None and row_format not in FORMATS:
        raise ValueError(f"row_format is {row_format!r}; known are {', '.join(FORMATS)}")
    entries: dict[str, Entry] = {}
    first_numbers: dict[str, int] = {}
    for number, fields in read_rows(source, split=split, subset=subset, revision=revision):
        row_format = row_format or _detected(source, number, fields)
        entry = _entry(source, SourceRow(number, fields), row_format)
        problem_id = entry.problem.id
        if problem_id in entries:
            reason = f"{problem_id!r} is already the id of row {first_numbers[problem_id]}; ids must differ"
            raise RecordError(str(source), number, "id", reason)
        entries[problem_id], first_numbers[problem_id] = entry, number
    if not entries:
        raise RecordError(str(source), 1, "", "no rows; a data set must have at least one")
    return list(entries.values())


def _detected(source: str | Path, number: int, fields: Mapping[str, object]) -> Format:
    found = detect_format(fields)
    if found is None:
        signs = "; ".join(f"{name}: {', '.join(sorted(known.signs))}" for name, known in FORMATS.items())
        reason = f"unknown format: the fields are {', '.join(sorted(fields))}. Formats have ({signs})"
        raise RecordError(str(source), number, "", reason)
    return found


def _entry(source: str | Path, row: SourceRow, row_format: Format) -> Entry:
    """One row's problem; every fault becomes a RecordError."""
    try:
        entry = FORMATS[row_format].row.model_validate(row.fields).to_entry()
        check_syntax(entry.problem)
    except ValidationError as error:
        raise record_error(error, source, row.number) from None
    except ProblemError as error:
        raise RecordError(str(source), row.number, error.field, error.reason) from None
    except ValueError as error:
        raise RecordError(str(source), row.number, "", str(error)) from None
    return entry
