"""What tasks have printed."""

from __future__ import annotations

import io
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from slurm.errors import ExperimentError
from slurm.experiments.events import Ended, Submitted
from slurm.experiments.folder import Attempt, ExperimentFolder
from slurm.experiments.task import Task

_BLOCK = 2**16
_LOOK_S = 0.5
_AFTER_END_S = 3.0
"""How long a file system may take to show what a job has printed last."""


@dataclass(frozen=True, slots=True)
class Log:
    """Of one attempt."""

    task: Task
    attempt: Attempt
    job: str
    path: Path

    @property
    def number(self) -> int:
        """Of the attempt, from 1."""
        return self.attempt.number

    @property
    def has_ended(self) -> bool:
        """Nothing more is printed."""
        return any(isinstance(event, Ended) for event in self.attempt.events())


def log_of(folder: ExperimentFolder, task: Task, number: int | None) -> Log:
    """Of the last attempt, or of the one with this number.

    Raises:
        ExperimentError: it was not submitted.
    """
    submitted = {
        attempt.number: Log(task, attempt, event.job, Path(event.log))
        for attempt in folder.attempts(task)
        for event in attempt.events()
        if isinstance(event, Submitted)
    }
    if not submitted:
        raise ExperimentError(f"{task.id} was not submitted yet")
    wanted = max(submitted) if number is None else number
    if wanted not in submitted:
        raise ExperimentError(f"{task.id} has no attempt {wanted}; the last is {max(submitted)}")
    return submitted[wanted]


def tail(path: Path, lines: int) -> bytes:
    """The last lines; all of them for 0. Nothing where the job has not started."""
    out = io.BytesIO()
    write_tail(path, lines, out)
    return out.getvalue()


def write_tail(path: Path, lines: int, out: IO[bytes]) -> int:
    """As `tail`, to a stream, however long they are; how many bytes the log has until there."""
    try:
        with path.open("rb") as stream:
            stream.seek(_start(stream, lines))
            shutil.copyfileobj(stream, out)
            return stream.tell()
    except FileNotFoundError:
        return 0


def _start(stream: IO[bytes], lines: int) -> int:
    """Where the last lines begin: read from the end, in blocks."""
    place = stream.seek(0, os.SEEK_END)
    if lines == 0 or place == 0:
        return 0
    stream.seek(place - 1)
    left = lines + (stream.read(1) == b"\n")  # that of the last line ends it, and begins none
    while place > 0:
        step = min(_BLOCK, place)
        place = stream.seek(place - step)
        block = stream.read(step)
        count = block.count(b"\n")
        if count >= left:
            newline = step
            for _ in range(left):
                newline = block.rindex(b"\n", 0, newline)
            return place + newline + 1
        left -= count
    return 0


def follow(log: Log, lines: int, out: IO[bytes]) -> None:
    """Writes the last lines, and what comes until the job has ended; waits for one that has not started."""
    place = write_tail(log.path, lines, out)
    out.flush()
    ended_s: float | None = None
    while ended_s is None or time.monotonic() - ended_s < _AFTER_END_S:
        if ended_s is None and log.has_ended:
            ended_s = time.monotonic()
        try:
            with log.path.open("rb") as stream:
                stream.seek(place)
                shutil.copyfileobj(stream, out)
                place = stream.tell()
        except FileNotFoundError:
            pass
        out.flush()
        time.sleep(_LOOK_S)
