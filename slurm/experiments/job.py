"""What runs a task: as a Slurm job, or as a process of the local executor."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

from slurm import guard
from slurm.commands import call_slurm
from slurm.errors import ExperimentError, SlurmError
from slurm.experiments.folder import ExperimentFolder
from slurm.experiments.notices import Notices
from slurm.experiments.task_run import FAILED, Outcome, TaskRun

log = logging.getLogger(__name__)

_SHELL_CODE = 128
"""What a shell adds to the number of the signal that has ended a command."""
_HARMLESS = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
_STOPPING = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
_DEADLY = frozenset(signal.Signals) - _HARMLESS - _STOPPING
"""What ends a process that does not handle it; source: signal(7)."""


class TaskJob:
    """Runs one attempt of a task; what submitit calls on the node.

    Args:
        folder: of the experiment.
        task_id: see `Task.id`.
        attempt: from 1; its folder is there.
    """

    def __init__(self, folder: Path, task_id: str, attempt: int) -> None:
        self._folder = folder
        self._task_id = task_id
        self._attempt = attempt

    def __call__(self) -> None:
        """Ends the process, with 0 if and only if the outputs are valid: that is what `afterok` asks."""
        notices = Notices()  # in place of submitit's handlers, which queue the job again without looking
        run = self._run(_slurm_job(), notices)
        outcome = run.run()
        if outcome.goes_on:
            outcome = _queue_again(run)
        if outcome.code - _SHELL_CODE in _DEADLY:  # of codes over 127 sacct takes 128 away
            guard.end_by(outcome.code - _SHELL_CODE)
        sys.exit(outcome.code)

    def run_here(self) -> int:
        """The exit code. The time limit is kept here; the job goes on after it at once."""
        notices = Notices()
        while True:
            run = self._run(f"local-{os.getpid()}", notices, is_local=True)
            outcome = run.run()
            if not outcome.goes_on:
                return outcome.code
            notices.is_warned = False

    def _run(self, job: str, notices: Notices, *, is_local: bool = False) -> TaskRun:
        folder = ExperimentFolder(self._folder)
        try:
            task = folder.task(self._task_id)
        except ExperimentError as error:
            log.error("%s", error)  # noqa: TRY400  # it is for the user, and says all
            sys.exit(FAILED)
        return TaskRun(
            folder, task, folder.attempt(task, self._attempt), job, notices, task.limit_s if is_local else None
        )


def _slurm_job() -> str:
    """As squeue names it."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def _queue_again(run: TaskRun) -> Outcome:
    try:
        call_slurm("scontrol", "requeue", _slurm_job())
    except SlurmError as error:
        return run.not_queued_again(str(error))
    return Outcome(FAILED)  # nobody looks at it


def main() -> None:
    """`python -m slurm.experiments.job FOLDER TASK ATTEMPT PARENT`, where PARENT is the local executor's process id."""
    folder, task_id, attempt, parent = sys.argv[1:]
    guard.end_without_parent(signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(f"the executor has ended: {task_id} is not started")
    sys.exit(TaskJob(Path(folder), task_id, int(attempt)).run_here())


if __name__ == "__main__":
    main()
