"""An experiment's folder, on a file system that all nodes share.

EXPERIMENT/experiment.yaml                     as it was last submitted
EXPERIMENT/manifest.json                       which tasks there are today (`slurm.experiments.manifest`)
EXPERIMENT/tasks/TASK/task.json                what a task does
EXPERIMENT/tasks/TASK/attempt-001/events.jsonl what has happened to it, a line each (`slurm.experiments.events`)
EXPERIMENT/tasks/TASK/attempt-001/claim        the job that runs it, so that no other does
EXPERIMENT/tasks/TASK/attempt-001/heartbeat    touched while it runs
EXPERIMENT/logs/JOB.log                        what jobs print
EXPERIMENT/submissions/                        what jobs read to know which task is theirs
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from slurm.errors import ExperimentError
from slurm.experiments.events import Event, Submitted, read_events
from slurm.experiments.task import Task, folder_name

_ATTEMPT = "attempt-"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One submission of a task, with all the times that its job was queued again."""

    path: Path
    number: int
    """From 1."""

    @property
    def events_path(self) -> Path:
        """See `slurm.experiments.events`."""
        return self.path / "events.jsonl"

    @property
    def claim(self) -> Path:
        """Holds the id of the job that runs it."""
        return self.path / "claim"

    @property
    def heartbeat(self) -> Path:
        """Its time says when the job last gave a sign of life."""
        return self.path / "heartbeat"

    def events(self) -> list[Event]:
        """What has happened, oldest first; none where its file is gone."""
        return read_events(self.events_path)

    @property
    def has_begun(self) -> bool:
        """Its job has left a trace of its own."""
        return self.claim.exists() or any(not isinstance(event, Submitted) for event in self.events())

    def withdraw(self) -> None:
        """Removes it, where nothing has happened to it: the one before is the last again."""
        with suppress(OSError):  # it is not empty, or not there
            self.path.rmdir()


@dataclass(frozen=True, slots=True)
class ExperimentFolder:
    """The folder, there or not."""

    path: Path

    @property
    def description(self) -> Path:
        """A copy of the experiment's file."""
        return self.path / "experiment.yaml"

    @property
    def logs(self) -> Path:
        """A file for each job."""
        return self.path / "logs"

    @property
    def submissions(self) -> Path:
        """Of submitit."""
        return self.path / "submissions"

    @property
    def cancelled(self) -> Path:
        """There from a `cancel` of all to the next `submit` or `resubmit`; who runs or submits tasks then stops."""
        return self.path / "cancelled"

    def task_path(self, task: Task) -> Path:
        """The folder of a task."""
        return self.path / "tasks" / task.folder_name

    def tasks(self) -> dict[str, Task]:
        """All that were ever submitted, by id.

        Raises:
            ExperimentError: one cannot be read.
        """
        tasks = [_read(path) for path in sorted((self.path / "tasks").glob("*/task.json"))]
        return {task.id: task for task in tasks}

    def task(self, task_id: str) -> Task:
        """One that was submitted.

        Raises:
            ExperimentError: it cannot be read.
        """
        return _read(self.path / "tasks" / folder_name(task_id) / "task.json")

    def save(self, task: Task) -> None:
        """Writes what a task does."""
        path = self.task_path(task)
        path.mkdir(parents=True, exist_ok=True)
        write_atomically(path / "task.json", task.model_dump_json(indent=1) + "\n")

    def attempts(self, task: Task) -> list[Attempt]:
        """Of a task, oldest first."""
        try:
            names = [path.name for path in self.task_path(task).iterdir()]
        except FileNotFoundError:
            return []
        numbers = (name.removeprefix(_ATTEMPT) for name in names if name.startswith(_ATTEMPT))
        return [self.attempt(task, number) for number in sorted(int(text) for text in numbers if text.isdecimal())]

    def attempt(self, task: Task, number: int) -> Attempt:
        """One, there or not."""
        return self.attempt_of(task.id, number)

    def attempt_of(self, task_id: str, number: int) -> Attempt:
        """As `attempt`, where the task may be gone."""
        return Attempt(self.path / "tasks" / folder_name(task_id) / f"{_ATTEMPT}{number:03d}", number)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Of two commands that submit at the same time one waits.

        Raises:
            ExperimentError: the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise ExperimentError(f"{self.path}: {error.strerror}; name another folder by --dir") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError:  # a file system without locks
                pass
            yield


def _read(path: Path) -> Task:
    try:
        return Task.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ExperimentError(f"{path}: {error.strerror}; `submit` again writes what is lost") from None
    except ValidationError:
        raise ExperimentError(
            f"{path} is damaged; delete its folder, and `submit` again: a job that the task has is found"
        ) from None


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file: readers see the old text or the new one, whole.

    Raises:
        OSError: the disk is full, or the like; names the file.
    """
    name: str | None = None
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
            name = stream.name
            stream.write(text)
            os.fchmod(stream.fileno(), 0o644)
        Path(name).replace(path)
    except OSError as error:
        if name is not None:
            Path(name).unlink(missing_ok=True)
        error.filename = str(path)  # of a file that is open already the system does not say which
        raise
