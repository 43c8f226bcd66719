"""What sbatch is given for a group of tasks. Needs no Slurm."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from slurm.errors import ExperimentError
from slurm.experiments.folder import ExperimentFolder
from slurm.experiments.grouping import Group, index_list
from slurm.experiments.submission_record import SubmissionRecord
from slurm.experiments.task import Task
from slurm.times import seconds

JOB = "slurm.experiments.slurm_job"
PICKLE = "task.pkl"
"""In a submission's folder: what each of its jobs does."""
_DECIDED = frozenset(
    ("array", "dependency", "error", "job-name", "kill-on-invalid-dep", "open-mode", "output", "requeue", "signal")
)
_MARK = re.compile("%[jtaA]")
_SETUP = (
    "export SUBMITIT_PREEMPT_SIGNAL=USR2 SUBMITIT_LOG_LEVEL=ERROR",
    "trap '' USR2  # until there is a handler",
    "job=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}",
)


def script_of(folder: ExperimentFolder, record: SubmissionRecord, group: Group, running: int | None) -> str:
    """The script.

    Args:
        folder: the experiment's.
        record: the group's.
        group: what is submitted.
        running: jobs of an array that run at a time; None: any number.

    Raises:
        ExperimentError: the stage asks for what we decide, or the folder's path is none for Slurm, or submitit.
    """
    from submitit import SlurmExecutor  # here, so that other commands start as fast without it

    class Writer(SlurmExecutor):
        """Writes scripts where there is no Slurm, too."""

        @classmethod
        def affinity(cls) -> int:
            return 1

        @property
        def _submitit_command_str(self) -> str:
            return " ".join([self.python, "-u -m", JOB, shlex.quote(str(self.folder))])

        def text(self) -> str:
            """Of the script."""
            return str(self._make_submission_file_text(self._submitit_command_str, record.uuid))

    path = record.path_in(folder)
    # exec: the batch script's process becomes the job's, so that signals for the script reach it.
    writer = Writer(path, python=f"exec {shlex.quote(sys.executable)}")
    writer.update_parameters(**_parameters(folder, record, group, running), setup=_setup(path))
    return writer.text()


def minutes_of(task: Task) -> int:
    """Its time limit, min, rounded up."""
    return -(-seconds(task.resources.time) // 60)


def _setup(path: Path) -> list[str]:
    # submitit looks for a file with the job's id in its name. Made here, it is there however the submission went on;
    # when the job runs again, what submitit has put in its place stays.
    return [*_SETUP, f'ln -s {PICKLE} {shlex.quote(str(path))}/"$job"_submitted.pkl 2>/dev/null']


def _parameters(
    folder: ExperimentFolder, record: SubmissionRecord, group: Group, running: int | None
) -> dict[str, object]:
    """As submitit names them."""
    task = group.tasks[0]
    asked = task.resources
    throttle = "" if running is None else f"%{running}"
    more: dict[str, object] = {
        "kill-on-invalid-dep": "yes",
        "output": _plain(folder.logs) + ("/%A_%a.log" if group.indices else "/%j.log"),
        "requeue": True,
        # submitit's own would be for the steps of a job; a command may have some, and is told by us.
        "signal": f"B:USR2@{task.ahead_s}",
        "time": asked.time,
        **({"array": index_list(group.indices) + throttle} if group.indices else {}),
        **_options(task),
    }
    given = {
        "partition": asked.partition,
        "account": asked.account,
        "qos": asked.qos,
        "constraint": asked.constraint,
        "mem": asked.memory,
        "cpus_per_task": asked.cpus_per_task,
        "gpus_per_node": asked.gpus_per_node or None,
        "dependency": group.dependency or None,
    }
    return {
        "job_name": record.job_name,
        "nodes": asked.nodes,
        "ntasks_per_node": 1,
        "time": minutes_of(task),
        "wckey": None,
        "stderr_to_stdout": True,
        "use_srun": False,
        "additional_parameters": more,
        **{name: value for name, value in given.items() if value is not None},
    }


def _options(task: Task) -> dict[str, str | bool]:
    found = {name.removeprefix("--").replace("_", "-"): value for name, value in task.resources.sbatch.items()}
    ours = sorted(found.keys() & _DECIDED)
    if ours:
        raise ExperimentError(f"stages.{task.stage}.resources.sbatch.{ours[0]}: this is decided for you; leave it out")
    return {name: value for name, value in found.items() if value is not False}


def _plain(folder: Path) -> str:
    """As sbatch's --output has a path in which nothing is a pattern."""
    text = str(folder)
    if "\\" in text or not text.isprintable():
        raise ExperimentError(
            f"{text!r}: Slurm cannot write logs into a path with a backslash or a control character; "
            "name another folder by --dir"
        )
    mark = _MARK.search(text)
    if mark is not None:
        raise ExperimentError(
            f"{text!r}: submitit, which starts the jobs, would put a job's id in place of {mark[0]}; "
            "name another folder by --dir"
        )
    return text.replace("%", "%%")
