"""Tasks as Slurm jobs."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from slurm.commands import call_slurm, missing
from slurm.errors import SlurmError
from slurm.experiments.description import Limits
from slurm.experiments.events import Submitted
from slurm.experiments.executor import Submission
from slurm.experiments.folder import ExperimentFolder
from slurm.experiments.grouping import Group, groups_of, stages_of
from slurm.experiments.held import write_held
from slurm.experiments.sbatch import NotNowError, submit_script
from slurm.experiments.sbatch_script import PICKLE, minutes_of, script_of
from slurm.experiments.submission_record import Entry, SubmissionRecord, submissions_in
from slurm.experiments.task import Task

_ALWAYS = 10**9
"""How often submitit lets a job run into its time limit: the job itself counts."""
_LARGEST = 1001
"""Slurm's default MaxArraySize."""


class _Place(NamedTuple):
    """What limits on jobs hold for."""

    account: str | None
    qos: str | None
    partition: str | None


class SlurmJobs:
    """Submits tasks to Slurm: an array for all that differ in nothing Slurm knows of.

    Args:
        folder: the experiment's; locked by the caller.
        limits: of the experiment.
        queued: jobs of the experiment in the queue before.
    """

    def __init__(self, folder: ExperimentFolder, limits: Limits, queued: int = 0) -> None:
        self._folder = folder
        self._limits = limits
        self._queued = queued

    def submit(
        self, tasks: Sequence[Task], attempts: Mapping[str, int], jobs: Mapping[str, str]
    ) -> Iterator[Submission]:
        """See `Executor`. What the limits or Slurm hold back is not submitted: `status` says why.

        Raises:
            SlurmError: sbatch is not there, or says no.
            ExperimentError: see `script_of`.
        """
        if shutil.which("sbatch") is None:
            raise missing("sbatch")
        self._folder.logs.mkdir(parents=True, exist_ok=True)
        known = dict(jobs)
        arrays: dict[str, frozenset[str]] = {}
        held: dict[str, str] = {}
        full: dict[_Place, str] = {}
        largest = _largest_array()
        try:
            for stage in stages_of(tasks):
                ready = self._ready(stage, held)
                for group in groups_of(ready, known, arrays, largest):
                    for record in self._submit(group, attempts, held, full):
                        ids = {entry.task_id: record.job_of(index) for index, entry in record.entries.items()}
                        known |= ids
                        if record.is_array and record.job is not None:
                            arrays[record.job] = frozenset(ids.values())
                        for name, job in ids.items():
                            yield Submission(name, job, record.log_of(self._folder, job))
        finally:
            write_held(self._folder, held)

    def scripts(
        self, tasks: Sequence[Task], attempts: Mapping[str, int], jobs: Mapping[str, str]
    ) -> Iterator[tuple[Sequence[Task], str]]:
        """For `--dry-run`: what sbatch would be given, and for which tasks. Needs no Slurm.

        Of jobs that would be submitted the ids are JOB1, JOB2 and so on, in the order of the scripts.
        """
        known = dict(jobs)
        arrays: dict[str, frozenset[str]] = {}
        number = 0
        for stage in stages_of(tasks):
            for group in groups_of(stage, known, arrays, _LARGEST):
                number += 1
                record = _record(group, attempts, "0" * 32).model_copy(update={"job": f"JOB{number}"})
                ids = {entry.task_id: record.job_of(index) for index, entry in record.entries.items()}
                known |= ids
                if record.is_array:
                    arrays[f"JOB{number}"] = frozenset(ids.values())
                yield group.tasks, script_of(self._folder, record, group, self._limits.running)

    def recovered(self, tasks: Mapping[str, Task]) -> Iterator[Submission]:
        """Jobs of last attempts whose event was not written, or is lost with all of the attempt; see `settle`.

        Args:
            tasks: by id.
        """
        for record in submissions_in(self._folder):
            for index, entry in record.entries.items():
                task = tasks.get(entry.task_id)
                if task is None or record.job is None:
                    continue
                attempts = self._folder.attempts(task)
                attempt = self._folder.attempt(task, entry.attempt)
                is_last = not attempts or attempts[-1].number <= entry.attempt
                if is_last and not any(isinstance(event, Submitted) for event in attempt.events()):
                    attempt.path.mkdir(parents=True, exist_ok=True)
                    job = record.job_of(index)
                    yield Submission(entry.task_id, job, record.log_of(self._folder, job))

    def _ready(self, stage: Sequence[Task], held: dict[str, str]) -> list[Task]:
        """Those that do not need what was held back, as many as may be in the queue."""
        ready: list[Task] = []
        for task in stage:
            need = next((name for name in task.needs if name in held), None)
            if need is not None:
                held[task.id] = f"needs {need}, which was not submitted: {held[need]}"
            elif self._limits.queued is not None and self._queued + len(ready) >= self._limits.queued:
                held[task.id] = f"limits.queued is {self._limits.queued}: submitted once others have ended"
            else:
                ready.append(task)
        return ready

    def _submit(
        self, group: Group, attempts: Mapping[str, int], held: dict[str, str], full: dict[_Place, str]
    ) -> Iterator[SubmissionRecord]:
        """As much of a group as Slurm takes now: of an array that is too large for a limit, a part."""
        asked = group.tasks[0].resources
        place = _Place(asked.account, asked.qos, asked.partition)
        pieces = [group]
        while pieces:
            piece = pieces.pop()
            if place not in full:
                try:
                    record = self._submitted(piece, attempts)
                except NotNowError as error:
                    if len(piece.tasks) > 1:
                        pieces += reversed(piece.halves())
                        continue
                    full[place] = str(error)
                else:
                    self._queued += len(piece.tasks)
                    yield record
                    continue
            held |= {task.id: full[place] for task in piece.tasks}

    def _submitted(self, group: Group, attempts: Mapping[str, int]) -> SubmissionRecord:
        from submitit.helpers import DelayedSubmission  # here, so that other commands start as fast without it

        from slurm.experiments.submitted_task import SubmittedTask

        record = _record(group, attempts, uuid.uuid4().hex)
        text = script_of(self._folder, record, group, self._limits.running)
        record.save(self._folder)
        path = record.path_in(self._folder)
        job = DelayedSubmission(SubmittedTask(self._folder.path, record.uuid))
        job.set_timeout(minutes_of(group.tasks[0]), _ALWAYS)
        job.dump(path / PICKLE)
        script = path / "job.sh"
        script.write_text(text)
        record = record.model_copy(update={"job": submit_script(script, record, self._folder, group.tasks[0])})
        record.save(self._folder)
        return record


def _record(group: Group, attempts: Mapping[str, int], name: str) -> SubmissionRecord:
    return SubmissionRecord(
        uuid=name,
        stage=group.tasks[0].stage,
        is_array=bool(group.indices),
        entries={
            index: Entry(task.id, attempts[task.id])
            for index, task in zip(group.indices or (0,), group.tasks, strict=True)
        },
    )


def _largest_array() -> int:
    try:
        text = call_slurm("scontrol", "show", "config")
    except SlurmError:
        return _LARGEST
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "MaxArraySize" and value.strip().isdecimal():
            return max(1, int(value))
    return _LARGEST
