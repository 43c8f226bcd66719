"""What is written before jobs are submitted, so that a crash in between loses none of them, and read by the jobs.

EXPERIMENT/submissions/UUID/submission.json
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from slurm.experiments.folder import ExperimentFolder, write_atomically

_NAME = "submission.json"
_ID = 12
"""Hexadecimal digits of a UUID that tell jobs of one user apart."""


class Entry(NamedTuple):
    """A task's attempt."""

    task_id: str
    attempt: int


class SubmissionRecord(BaseModel):
    """One call of sbatch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uuid: str
    stage: str
    is_array: bool
    entries: Mapping[int, Entry]
    """By the index in the array; of a single job 0."""
    job: str | None = None
    """What sbatch has answered; None: it was not called yet, or has not answered."""

    @property
    def job_name(self) -> str:
        """Of its jobs, and of no others: by this they are found where sbatch's answer was lost."""
        return f"{self.stage}-{self.uuid[:_ID]}"

    def job_of(self, index: int) -> str:
        """As squeue's %i.

        Raises:
            ValueError: it is not known yet.
        """
        if self.job is None:
            raise ValueError(f"submission {self.uuid} has no job yet")
        return f"{self.job}_{index}" if self.is_array else self.job

    def path_in(self, folder: ExperimentFolder) -> Path:
        """Of its folder."""
        return folder.submissions / self.uuid

    def log_of(self, folder: ExperimentFolder, job: str) -> Path:
        """Where one of its jobs prints."""
        return folder.logs / f"{job}.log"

    def save(self, folder: ExperimentFolder) -> None:
        """Writes it."""
        path = self.path_in(folder)
        path.mkdir(parents=True, exist_ok=True)
        write_atomically(path / _NAME, self.model_dump_json() + "\n")


def submission_at(path: Path) -> SubmissionRecord:
    """The one in a submission's folder.

    Raises:
        OSError: it is not there.
        ValidationError: it is none.
    """
    return SubmissionRecord.model_validate_json((path / _NAME).read_bytes())


def submissions_in(folder: ExperimentFolder) -> Iterator[SubmissionRecord]:
    """All that can be read."""
    try:
        paths = sorted(os.scandir(folder.submissions), key=lambda entry: entry.name)
    except OSError:
        return
    for path in paths:
        try:
            yield submission_at(Path(path.path))
        except (OSError, ValidationError):
            continue
