"""What has happened to an attempt: lines that the submitting command and the job itself append to one file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    time: float
    """Seconds since 1970, by the clock of the machine that wrote it."""


class Submitted(_Event):
    """A job was put into the queue, or a process was started here."""

    event: Literal["submitted"] = "submitted"
    job: str
    """Slurm's id, `123` or `123_4`; `local-PID` for a process of the local executor."""
    log: str
    """Path of what it prints."""


class Started(_Event):
    """The job runs; once more for each time that it was queued again."""

    event: Literal["started"] = "started"
    job: str
    host: str
    pid: int


class Stopped(_Event):
    """The job was told to end, and has told the command."""

    event: Literal["stopped"] = "stopped"
    why: Literal["limit", "preempted", "cancelled"]
    """limit: its time limit is ahead. preempted: there was such a signal long before the limit. After both it queues
    itself again. cancelled: anything else, a preemption without that signal among it; Slurm may queue it again."""


class Requeued(_Event):
    """The job has queued itself again."""

    event: Literal["requeued"] = "requeued"


class Ended(_Event):
    """The command has ended for good."""

    event: Literal["ended"] = "ended"
    code: int
    """Exit code; of a process that a signal ended, less the signal's number."""
    problem: str = ""
    """Why it has failed where the exit code does not say. Begins with `input`, `output` where one is missing or
    invalid; `time limit` where it may not be queued again; `cancelled`; `job` where the job could not do its part."""
    sizes: Mapping[str, int] = Field(default_factory=dict)
    """Bytes of the outputs, by path, where it has succeeded; of a folder, of all in it."""

    @property
    def has_succeeded(self) -> bool:
        """The command has, and its outputs are valid."""
        return self.code == 0 and not self.problem


Event: TypeAlias = Annotated[Submitted | Started | Stopped | Requeued | Ended, Field(discriminator="event")]
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def append(path: Path, event: Submitted | Started | Stopped | Requeued | Ended) -> None:
    """Adds a line, at once. Whatever a crash has left of the last one stays a line of its own.

    Raises:
        OSError: the disk is full, or the like; names the file.
    """
    line = event.model_dump_json().encode() + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        is_cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, b"\n" * is_cut + line)
    except OSError as error:
        error.filename = str(path)  # as in `write_atomically`
        raise
    finally:
        os.close(descriptor)


def read_events(path: Path) -> list[Event]:
    """All lines that can be read; none where the file is gone. A line that was cut by a crash is passed over."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            found.append(_EVENT.validate_json(line))
        except ValidationError:
            continue
    return found
