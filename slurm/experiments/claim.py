"""Who runs a task: of two jobs for the same one, one."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from slurm.experiments.events import Ended, Requeued, Started
from slurm.experiments.folder import Attempt, ExperimentFolder
from slurm.experiments.heartbeat import INTERVAL_S, beat_s, is_fresh
from slurm.experiments.processes import is_there
from slurm.experiments.task import Task


def holder(attempt: Attempt, job: str) -> str:
    """The job that runs this attempt: this one, if no other was here before.

    A job that has claimed an attempt and died keeps it: it may be queued again. Whoever knows that it is gone starts
    another attempt.

    Raises:
        OSError: the claim can neither be written nor read.
    """
    try:
        descriptor = os.open(attempt.claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return attempt.claim.read_text() or "another job"  # empty: it has died, or is about to write it
    try:
        os.write(descriptor, job.encode())
        os.fsync(descriptor)
    except OSError:
        attempt.claim.unlink()
        raise
    finally:
        os.close(descriptor)
    return job


def outlast(
    attempt: Attempt, job: str, is_told: Callable[[], bool], *, silence_s: float = 3 * INTERVAL_S, pause_s: float = 1.0
) -> bool:
    """Waits until the run that this job had before is gone: Slurm may give up a node on which it still runs.

    Args:
        attempt: the job's.
        job: its id.
        is_told: whether this one is told to end meanwhile.
        silence_s: after how long without a sign of life it is gone.
        pause_s: between two looks.

    Returns:
        Whether it is gone; otherwise this one was told to end.
    """
    seen, seen_s = beat_s(attempt.heartbeat), time.monotonic()
    while _has_run_before(attempt, job) and time.monotonic() - seen_s < silence_s:
        if is_told():
            return False
        time.sleep(pause_s)
        last = beat_s(attempt.heartbeat)
        if last != seen:
            seen, seen_s = last, time.monotonic()
    return True


def _has_run_before(attempt: Attempt, job: str) -> bool:
    """A run of this job has not said that it has ended, and may be there."""
    events = (event for event in reversed(attempt.events()) if isinstance(event, Started | Requeued | Ended))
    last = next(events, None)
    return isinstance(last, Started) and last.job == job and not _is_gone(last)


def _is_gone(started: Started) -> bool:
    """It ran on this machine, and its process is not there."""
    if started.host != socket.gethostname():
        return False
    if started.pid == os.getpid():  # it is ours by now
        return True
    return not is_there(started.pid)


def still_running(
    folder: ExperimentFolder,
    task: Task,
    but: int,
    is_told: Callable[[], bool],
    *,
    silence_s: float = 3 * INTERVAL_S,
    pause_s: float = 1.0,
) -> tuple[Attempt, Started] | None:
    """Another attempt of a task that runs, and its start; None: there is none.

    One that has died without a word on another machine has given signs of life lately, too: whether it gives more is
    waited for.

    Args:
        folder: of the experiment.
        task: what both do.
        but: number of the attempt that asks.
        is_told: whether that one is told to end meanwhile; what may run is then taken to run.
        silence_s: after how long without a sign of life the other is gone.
        pause_s: between two looks.
    """
    may_run = {attempt.number: beat_s(attempt.heartbeat) for attempt, _ in _begun(folder, task, but)}
    end_s = time.monotonic() + silence_s
    while begun := [(attempt, last) for attempt, last in _begun(folder, task, but) if attempt.number in may_run]:
        found = next((one for one in begun if beat_s(one[0].heartbeat) != may_run[one[0].number]), None)
        if found is not None or is_told():
            return found or begun[0]
        if time.monotonic() > end_s:
            return None
        time.sleep(pause_s)
    return None


def _begun(folder: ExperimentFolder, task: Task, but: int) -> list[tuple[Attempt, Started]]:
    """Other attempts of a task that have started, have not ended, and have given signs of life lately."""
    found = []
    for attempt in folder.attempts(task):
        events = attempt.events() if attempt.number != but and is_fresh(attempt.heartbeat) else []
        last = next((event for event in reversed(events) if isinstance(event, Started | Ended)), None)
        if isinstance(last, Started) and not _is_gone(last):
            found.append((attempt, last))
    return found
