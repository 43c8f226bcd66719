"""What squeue says of jobs."""

from __future__ import annotations

import os
from typing import NamedTuple

from slurm.commands import call_slurm
from slurm.errors import SlurmError

_FORMAT = "%i\t%T\t%N\t%M\t%L\t%r"
_UNKNOWN = "Invalid job id"
_FINE = frozenset({"CANCELLED", "COMPLETED"})
_ENDED = _FINE | {
    "BOOT_FAIL",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
}
"""Source: squeue(1), job state codes."""


class Job(NamedTuple):
    """A job, or one of an array's."""

    id: str
    """`123`, or `123_4` in an array."""
    state: str
    """In capitals, as Slurm's: PENDING, RUNNING, COMPLETING, FAILED and so on."""
    node: str
    """Empty where it has none yet."""
    elapsed: str
    left: str
    """Until its time limit; both as days-hours:minutes:seconds."""
    reason: str
    """Why it waits, or has failed; empty where there is none."""

    @property
    def has_ended(self) -> bool:
        """Slurm tells of such jobs for some minutes (its MinJobAge)."""
        return self.state in _ENDED

    @property
    def has_failed(self) -> bool:
        """It has ended as nobody wished."""
        return self.has_ended and self.state not in _FINE

    @property
    def is_ending(self) -> bool:
        """It ends; some are queued again then."""
        return self.state == "COMPLETING"

    @property
    def is_waiting(self) -> bool:
        """It waits for a node."""
        return self.state == "PENDING"


def jobs_named(name: str, *, is_patient: bool = True) -> list[Job]:
    """This user's jobs of a name, each of an array by itself, in the order of their numbers.

    Args:
        is_patient: see `call_slurm`.

    Raises:
        SlurmError: see `call_slurm`; or it says what cannot be read.
    """
    text = call_slurm(
        "squeue",
        "--noheader",
        "--array",
        "--states=all",
        f"--user={os.getuid()}",
        f"--name={name}",
        f"--format={_FORMAT}",
        is_patient=is_patient,
    )
    return sorted((_parsed(line) for line in text.splitlines() if line.strip()), key=_number)


def jobs_with(ids: str) -> list[Job]:
    """Jobs by their ids, whoever's they are; each of an array by itself. Unknown ones are passed over.

    Args:
        ids: with commas between them; that of an array stands for all of its jobs.

    Raises:
        SlurmError: as for `jobs_named`.
    """
    try:
        text = call_slurm(
            "squeue",
            "--noheader",
            "--array",
            "--all",
            "--states=all",
            f"--jobs={ids}",
            f"--format={_FORMAT}",
            is_patient=False,
        )
    except SlurmError as error:
        if _UNKNOWN in str(error):  # it says so only of a single one
            return []
        raise
    return [_parsed(line) for line in text.splitlines() if line.strip()]


def _parsed(line: str) -> Job:
    fields = [field.strip() for field in line.split("\t")]
    if len(fields) != len(Job._fields):
        raise SlurmError(f"squeue: cannot read its line {line!r}: expected {len(Job._fields)} fields between tabs")
    job = Job(*fields)
    return job._replace(reason="" if job.reason == "None" else job.reason)


def _number(job: Job) -> tuple[int, ...]:
    return tuple(int(part) for part in job.id.split("_") if part.isdigit())
