"""Submits servers, through submitit: an array of jobs of one node each."""

from __future__ import annotations

import io
import shlex
import shutil
import sys
import uuid
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass, field

from slurm.commands import missing, refused
from slurm.errors import FleetError
from slurm.folder import Folder
from slurm.sbatch_environment import own_environment
from slurm.times import seconds

_AFTER_DRAIN_S = 40
"""From when a server has stopped taking work: what it hands back, and the job's way back into the queue."""
_ALWAYS = 10**9
"""How often a server may run into its time limit: as often as there is one."""
_SETUP = [
    "export SUBMITIT_PREEMPT_SIGNAL=USR2 SUBMITIT_LOG_LEVEL=ERROR",
    "trap '' USR2  # until there is a handler",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What each job asks of Slurm."""

    cpus: int | None = None
    """None: a whole node, with all its memory."""
    memory: str | None = None
    """As sbatch's --mem. None: what the partition gives for that many cores."""
    time: str = "04:00:00"
    """As sbatch's --time. At its end a server queues itself again."""
    drain_s: float = 20.0
    """How long a server may finish what it has accepted, s."""
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    options: Mapping[str, str | bool] = field(default_factory=dict)
    """Of sbatch, by their long names; they come last."""

    def __post_init__(self) -> None:
        limit_s = minutes(self.time) * 60
        if 0 < limit_s <= self.ahead_s:  # 0: none
            raise FleetError(
                f"--time {self.time!r} is too short: each server begins to finish {self.ahead_s} s before that limit "
                f"(--drain-s {self.drain_s:g} and {_AFTER_DRAIN_S} s), so that it would do so at once; write more"
            )

    @property
    def ahead_s(self) -> int:
        """How long before the time limit the signal comes."""
        return round(self.drain_s) + _AFTER_DRAIN_S


def minutes(time: str) -> int:
    """A time limit, min, rounded up.

    Raises:
        FleetError: it is none of Slurm's forms.
    """
    try:
        return -(-seconds(time) // 60)
    except ValueError as error:
        raise FleetError(f"--time {error}") from None


def submit(folder: Folder, command: tuple[str, ...], host: str | None, count: int, needs: Needs) -> list[str]:
    """The ids of the new jobs, each of which runs a server.

    Args:
        command: see `ServerJob`, as for `host`.

    Raises:
        SlurmError: sbatch is not there, or says no.
    """
    from submitit import SlurmExecutor  # here, so that other commands start as fast without it
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    from slurm.server_job import ServerJob

    for name in ("sbatch", "srun"):  # submitit looks for the latter
        if shutil.which(name) is None:
            raise missing(name)
    folder.logs.mkdir(exist_ok=True)
    place = folder.submissions / uuid.uuid4().hex
    place.mkdir(parents=True)
    # exec: the batch script's process becomes the job's, so that signals for the script reach it.
    executor = SlurmExecutor(place, max_num_timeout=_ALWAYS, python=f"exec {shlex.quote(sys.executable)}")
    try:
        executor.update_parameters(**_parameters(folder, count, needs))
        given = [name for name in ("partition", "account", "qos") if getattr(needs, name) is not None]
        with own_environment(given), redirect_stderr(io.StringIO()):  # what is written there is in the error, too
            jobs = executor.submit_array([ServerJob(command, host) for _ in range(count)])
    except (FailedJobError, FailedSubmissionError) as error:
        shutil.rmtree(place, ignore_errors=True)
        raise refused("sbatch", str(error)) from None
    return [job.job_id for job in jobs]


def _parameters(folder: Folder, count: int, needs: Needs) -> dict[str, object]:
    """As submitit names them."""
    size = {"exclusive": True, "mem": "0"} if needs.cpus is None else {"cpus_per_task": needs.cpus}
    more: dict[str, object] = {
        # submitit's own would be for the steps of a job, of which there are none. With `srun` there would be one: its
        # signals go to every process of it, the judged programs included, and it may be bound to one core.
        "signal": f"B:USR2@{needs.ahead_s}",
        "requeue": True,
        "ntasks": 1,
        "time": needs.time,
        "output": str(folder.log_of("%A_%a" if count > 1 else "%j")),
        **needs.options,
    }
    return {
        "job_name": folder.job_name,
        "nodes": 1,
        "time": minutes(needs.time),
        "partition": needs.partition,
        "account": needs.account,
        "qos": needs.qos,
        "wckey": None,
        "array_parallelism": count,
        "stderr_to_stdout": True,
        "use_srun": False,
        "setup": _SETUP,
        "additional_parameters": more,
        **size,
        **({} if needs.memory is None else {"mem": needs.memory}),
    }
