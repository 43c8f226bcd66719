"""Calls sbatch so that nothing is submitted twice, and tells a "no" from a "not now"."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from slurm.commands import call_slurm, patiently
from slurm.errors import SlurmError
from slurm.experiments.accounting import job_named
from slurm.experiments.folder import ExperimentFolder
from slurm.experiments.submission_record import SubmissionRecord, submissions_in
from slurm.experiments.task import Task
from slurm.queue_listing import jobs_named
from slurm.sbatch_environment import own_environment

_NOT_NOW = re.compile(r"\b(?:QOS|Assoc)\w*Submit\w*")
"""Limits on how many jobs there may be, as sbatch names them. Those on their time or size no waiting helps with."""
_REFUSED = "Batch job submission failed"


class NotNowError(SlurmError):
    """There are as many jobs as may be; once some have ended, Slurm takes more."""


def submit_script(script: Path, record: SubmissionRecord, folder: ExperimentFolder, task: Task) -> str:
    """The id of the new job, or array.

    Args:
        script: for sbatch.
        record: of the submission; saved.
        folder: the experiment's.
        task: one of the submission's.

    Raises:
        NotNowError: there are too many jobs; the submission is removed.
        SlurmError: sbatch says no, or nothing. Where it may have submitted after all, the submission stays.
    """
    asked = task.resources
    given = [name for name in ("partition", "account", "qos", "constraint") if getattr(asked, name) is not None]
    is_first = True

    def call() -> str:
        nonlocal is_first
        if not is_first:  # an sbatch that timed out may have submitted what it was to
            there = _queued_as(record)
            if there is not None:
                return there
        is_first = False
        with own_environment(given):
            return call_slurm("sbatch", "--parsable", str(script), is_patient=False).strip().partition(";")[0]

    try:
        job = patiently(call)
    except SlurmError as error:
        said = str(error)
        if _REFUSED in said and not error.is_passing:
            shutil.rmtree(record.path_in(folder), ignore_errors=True)
        limit = _NOT_NOW.search(said)
        if limit is not None:
            raise NotNowError(f"{limit[0]}: the cluster takes no more of your jobs now") from None
        raise
    if not job.isdecimal():
        raise SlurmError(f"sbatch: cannot read its answer {job!r}: expected the id of a job")
    return job


def settle(folder: ExperimentFolder) -> None:
    """Finds jobs of submissions of which sbatch's answer was lost; forgets those that have none, with their attempts.

    Raises:
        SlurmError: squeue does not answer.
    """
    for record in submissions_in(folder):
        if record.job is not None:
            continue
        path = record.path_in(folder)
        job = _queued_as(record) or job_named(record.job_name, path.stat().st_mtime)
        if job is None:
            shutil.rmtree(path, ignore_errors=True)
            for task_id, number in record.entries.values():
                folder.attempt_of(task_id, number).withdraw()
        else:
            record.model_copy(update={"job": job}).save(folder)


def _queued_as(record: SubmissionRecord) -> str | None:
    found = jobs_named(record.job_name)
    return found[0].id.partition("_")[0] if found else None
