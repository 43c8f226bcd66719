"""A fleet of servers: brought up to a number, looked at, brought down."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from slurm.commands import call_slurm, patiently
from slurm.errors import FleetError, NotReadyError, SlurmError
from slurm.folder import Folder
from slurm.queue_listing import Job, jobs_named
from slurm.servers import Server, servers_in
from slurm.submission import Needs, submit

_LOOK_S = 2.0
_TELL_S = 6.0
"""How often a job is told to end: one that has only just started may not have heard."""
_ENDING_S = 60.0
"""How long jobs take to end, or to be queued again, at the most: Slurm's KillWait and what follows it."""
_STUCK_S = 180.0
"""How long jobs may be ending before nothing is waited for any more: their nodes do not answer."""
Say = Callable[[str], None]


class Member(NamedTuple):
    """A job of the fleet."""

    job: Job
    server: Server | None
    last_words: str
    """The end of the log of a job that has failed."""

    @property
    def is_ready(self) -> bool:
        """Its server takes work."""
        return self.server is not None and self.server.state == "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What there is of a fleet."""

    members: Sequence[Member]
    others: Sequence[Server]
    """In the folder, and of no job of the fleet."""
    slurm_error: str
    """Why nothing is known of the jobs; then all servers are others."""


class Raised(NamedTuple):
    """Ids of jobs."""

    before: list[str]
    submitted: list[str]


def bring_up(folder: Folder, nodes: int, command: tuple[str, ...], host: str | None, needs: Needs, say: Say) -> Raised:
    """Submits as many servers as are missing. A job that waits or runs is there.

    Args:
        command: see `ServerJob`, as for `host`.

    Raises:
        SlurmError: squeue or sbatch say no.
    """

    def fill() -> Raised:
        # Counted anew at every try: an sbatch that timed out may have submitted what it was to. All is one try.
        before = [job.id for job in _staying(folder, say)]
        missing = nodes - len(before)
        return Raised(before, submit(folder, command, host, missing, needs) if missing > 0 else [])

    with folder.locked():
        return patiently(fill)


def status_of(folder: Folder, *, is_patient: bool = False) -> Status:
    """The jobs and their servers; entries of dead ones are removed.

    Args:
        is_patient: see `call_slurm`: each call can take half a minute.

    Raises:
        FleetError: the folder's servers cannot be listed.
    """
    servers = servers_in(folder.path)
    try:
        jobs = jobs_named(folder.job_name, is_patient=is_patient)
    except SlurmError as error:
        return Status(members=[], others=servers, slurm_error=str(error))
    # Of a job that was queued again: the old server's entry may still be there, if its node died.
    by_job = {server.job: server for server in sorted(servers, key=lambda server: server.state == "ready")}
    members = [Member(job, by_job.get(job.id), folder.last_words(job.id) if job.has_failed else "") for job in jobs]
    ids = {job.id for job in jobs}
    return Status(members=members, others=[server for server in servers if server.job not in ids], slurm_error="")


def wait_for(folder: Folder, ids: Sequence[str], wait_s: float, say: Say) -> None:
    """Until the servers of these jobs take work.

    Raises:
        NotReadyError: a job has ended, or the time is over.
        FleetError: nothing is known of them.
    """
    end_s = time.monotonic() + wait_s
    while True:
        found = status_of(folder, is_patient=True)
        if found.slurm_error:
            raise FleetError(found.slurm_error)
        members = {member.job.id: member for member in found.members}
        for member in (members[job] for job in ids if job in members):
            if member.job.has_ended:
                words = "; ".join(member.last_words.splitlines()) or member.job.reason
                raise NotReadyError(f"job {member.job.id} has ended ({member.job.state}): {words}")
        ready = sum(job in members and members[job].is_ready for job in ids)
        if ready == len(ids):
            return
        if time.monotonic() > end_s:
            raise NotReadyError(f"{ready} of {len(ids)} servers are ready after {wait_s:g} s; `fleet status` says why")
        say(f"{ready} of {len(ids)} servers are ready")
        time.sleep(_LOOK_S)


def bring_down(folder: Folder, say: Say, *, now: bool) -> list[str]:
    """Ends the fleet's jobs and waits until they have; the ids of those that were there.

    Args:
        now: servers are killed, and do not finish what they have accepted.

    Raises:
        FleetError: Slurm says no, or does not end them, or what they have left cannot be removed.
    """
    ended: set[str] = set()
    told_s = -_TELL_S
    moved_s = time.monotonic()
    while True:
        jobs = jobs_named(folder.job_name)
        live = [job for job in jobs if not job.has_ended]
        if not live:
            break
        ended |= {job.id for job in live}
        if not all(job.is_ending for job in live):
            moved_s = time.monotonic()
        elif time.monotonic() - moved_s > _STUCK_S:
            stuck = ", ".join(f"{job.id} on {job.node}" for job in live)
            raise FleetError(f"{stuck}: Slurm has tried to end these for {_STUCK_S:g} s; is the node down? (sinfo)")
        if time.monotonic() - told_s >= _TELL_S:
            _tell(live, now=now)
            told_s = time.monotonic()
        say(f"{len(live)} of {len(ended)} jobs have not ended yet")
        time.sleep(_LOOK_S / 4)
    ids = {job.id for job in jobs} | ended
    for server in servers_in(folder.path):
        if server.job in ids:  # it was killed, on another node
            server.path.unlink(missing_ok=True)
            server.path.with_suffix(".token").unlink(missing_ok=True)
    shutil.rmtree(folder.submissions, ignore_errors=True)
    return sorted(ended)


def _tell(live: Sequence[Job], *, now: bool) -> None:
    """A plain scancel would leave a server Slurm's KillWait, which can be too little; this asks the job itself."""
    running = [job.id for job in live if job.state == "RUNNING"]
    others = [job.id for job in live if not job.is_ending and job.state != "RUNNING"]
    if now and (running or others):
        call_slurm("scancel", "--quiet", "--full", "--signal=KILL", *running, *others)
    if now:
        return
    if running:
        call_slurm("scancel", "--quiet", "--batch", "--signal=TERM", *running)
    if others:
        call_slurm("scancel", "--quiet", *others)


def _staying(folder: Folder, say: Say) -> list[Job]:
    """The jobs that wait or run, once none is ending: it could be queued again."""
    end_s = time.monotonic() + _ENDING_S
    while True:
        jobs = jobs_named(folder.job_name, is_patient=False)
        ending = sum(job.is_ending for job in jobs)
        if not ending or time.monotonic() > end_s:
            return [job for job in jobs if not job.has_ended and not job.is_ending]
        say(f"waiting for {ending} jobs that are ending, to see whether they are queued again")
        time.sleep(_LOOK_S / 2)
