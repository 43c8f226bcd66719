"""What this process's Slurm job, or this session, has been given, and how long for."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from containers.output import output_of
from sandbox.allotment import Allotment
from sandbox.cgroup_limits import Bound
from sandbox.checkup.check import Check, Group, fine, gap
from sandbox.limits import Limits

_GIB = 1 << 30
_MINUTE_S = 60
_SHORT_S = 120.0
_DURATION = re.compile(r"(?:([0-9]+)-)?([0-9]+):([0-9]{2}):([0-9]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What Slurm says of it."""

    id: str
    left_s: float | None
    """Until its time limit; None: it has none, or nobody says."""
    requeue: bool | None
    """Whether it is put back into the queue when it is preempted; None: nobody says."""
    script: str | None
    """The text of its batch script; None: it has none, or nobody says."""


def look_at_job(environment: Mapping[str, str], own: Allotment) -> list[Check]:
    """What is found.

    Args:
        environment: this process's.
        own: what it may use.
    """
    job = _ask(environment) if "SLURM_JOB_ID" in environment else None
    return [*judged_job(job), *judged_allotment(own, in_job=job is not None)]


def judged_allotment(own: Allotment, *, in_job: bool) -> list[Check]:
    """What CPUs and memory mean for the number of workers."""
    checks = [fine(Group.JOB, "cpus", f"{own.cpus}, of {_listed(own.cpu_bounds, 1, '')}")]
    affinity = own.cpu_bounds[0].amount
    enforced = min(bound.amount for bound in own.cpu_bounds if not bound.source.startswith("SLURM_"))
    if in_job and own.cpus < int(enforced):
        remedy = (
            "TaskPlugin=task/affinity,task/cgroup in slurm.conf and ConstrainCores=yes in cgroup.conf: other jobs' "
            "programs run on this job's CPUs"
        )
        detail = f"of the {affinity:g} CPUs that this job may run on it has {own.cpus}"
        checks.append(gap(Group.JOB, "cpu binding", detail, remedy))
    memory = _listed(own.memory_bounds, _GIB, " GiB") if own.memory_bounds else "not known"
    if own.memory_bytes is not None and own.why_fewer:
        enough = own.memory_bytes // Limits().memory_bytes
        need = own.cpus * Limits().memory_bytes / _GIB
        how = f"--mem={need:.0f}G for the job" if in_job else f"{need:.0f} GiB"
        remedy = f"{how}, or --workers {own.cpus} where programs use less: a program may use 1 GiB by default"
        checks.append(gap(Group.JOB, "memory", f"{memory}: enough for {enough} of {own.cpus} workers", remedy))
    else:
        checks.append(fine(Group.JOB, "memory", f"{memory}: enough for {own.workers} workers"))
    return checks


def judged_job(job: Job | None) -> list[Check]:
    """What its end means for a server."""
    if job is None:
        return [fine(Group.JOB, "slurm job", "none: nothing ends this session")]
    requeue = {True: "; requeued when preempted", False: "; not requeued when preempted", None: ""}[job.requeue]
    checks = [fine(Group.JOB, "slurm job", f"{job.id}{requeue}")]
    if job.left_s is None:
        return [*checks, fine(Group.JOB, "time left", "no limit that Slurm tells")]
    left = f"{job.left_s / _MINUTE_S:.0f} min"
    if job.left_s < _SHORT_S:
        checks.append(gap(Group.JOB, "time left", left, "ask for a longer --time: a server would end at once"))
    else:
        checks.append(fine(Group.JOB, "time left", left))
    if job.script is None:
        return [*checks, fine(Group.JOB, "signal ahead", "cannot be told: the job has no batch script to be read")]
    signal = signal_of(job.script)
    if signal:
        return [*checks, fine(Group.JOB, "signal ahead", f"--signal={signal} in the batch script")]
    remedy = (
        "`#SBATCH --signal=B:TERM@60` in the batch script (options on the command line are not seen from here), and "
        "`exec` before the server, or else the shell alone gets the signal and ends the job: a server then finishes "
        "what it has, or hands it back, before the time limit kills it"
    )
    return [*checks, gap(Group.JOB, "signal ahead", "none in the batch script", remedy)]


def signal_of(script: str) -> str:
    """What a batch script asks for by --signal, the last of it; empty where it does not."""
    found = ""
    for line in script.splitlines():
        if line.strip() and not line.startswith("#"):
            break  # sbatch reads no further
        if not line.startswith("#SBATCH"):
            continue
        try:
            words = shlex.split(line.removeprefix("#SBATCH"), comments=True)
        except ValueError:
            continue
        for word, following in pairwise([*words, ""]):
            if word.startswith("--signal="):
                found = word.removeprefix("--signal=")
            elif word == "--signal":
                found = following
    return found


def seconds_of(duration: str) -> float | None:
    """Of `[DAYS-]HOURS:MINUTES:SECONDS`; None for other words, such as UNLIMITED."""
    found = _DURATION.fullmatch(duration)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def left_s(shown: str) -> float | None:
    """Until a job's time limit, s, of what `scontrol show job` says; None: it has none, or that is not said."""
    limit, run = (seconds_of(_field(shown, name)) for name in ("TimeLimit", "RunTime"))
    return None if limit is None or run is None else max(0.0, limit - run)


def _ask(environment: Mapping[str, str]) -> Job:
    number = environment["SLURM_JOB_ID"]
    shown = output_of(["scontrol", "show", "job", number]) or ""
    until = environment.get("SLURM_JOB_END_TIME", "")  # from Slurm 22.05 on, where the cluster's clocks agree
    return Job(
        id=number,
        left_s=left_s(shown) if shown or not until.isascii() or not until.isdigit() else int(until) - time.time(),
        requeue={"1": True, "0": False}.get(_field(shown, "Requeue")),
        script=_script(number) if shown else None,
    )


def _script(number: str) -> str | None:
    """A job that srun or salloc has made has none, which scontrol does not take for a failure."""
    written = output_of(["scontrol", "write", "batch_script", number, "-"])
    return written or None


def _field(shown: str, name: str) -> str:
    found = re.search(rf"(?:^|\s){name}=(\S+)", shown)
    return found[1] if found else ""


def _listed(bounds: tuple[Bound, ...], unit: int, suffix: str) -> str:
    return ", ".join(f"{bound.amount / unit:.3g}{suffix} ({bound.source})" for bound in bounds)
