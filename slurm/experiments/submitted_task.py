"""What a Slurm job does: the task that its submission says is its."""

from __future__ import annotations

import socket
from pathlib import Path

from submitit import JobEnvironment

from slurm.experiments.folder import ExperimentFolder
from slurm.experiments.job import TaskJob
from slurm.experiments.log_tail import RUN
from slurm.experiments.submission_record import submission_at


class SubmittedTask:
    """One for all jobs of a submission: each finds its task by its index.

    Args:
        folder: the experiment's.
        uuid: of the submission.
    """

    def __init__(self, folder: Path, uuid: str) -> None:
        self._folder = folder
        self._uuid = uuid

    def __call__(self) -> None:
        """Ends the process with the exit code of the task's job."""
        record = submission_at(ExperimentFolder(self._folder).submissions / self._uuid)
        environment = JobEnvironment()
        task_id, attempt = record.entries[int(environment.array_task_id or 0) if record.is_array else 0]
        print(f"{RUN}{task_id}, attempt {attempt}, job {environment.job_id} on {socket.gethostname()}", flush=True)  # noqa: T201  # a log
        TaskJob(self._folder, task_id, attempt)()
