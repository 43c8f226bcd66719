"""What is known of tasks, from everything that knows something of them."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slurm.errors import SlurmError
from slurm.experiments.accounting import Record, records_of
from slurm.experiments.events import Event
from slurm.experiments.folder import Attempt, ExperimentFolder
from slurm.experiments.held import read_held
from slurm.experiments.history import History, history_of
from slurm.experiments.job_ids import in_calls
from slurm.experiments.job_words import RUNNING, WAITING
from slurm.experiments.log_tail import tail_of
from slurm.experiments.outputs import invalid_output, sizes
from slurm.experiments.processes import is_there
from slurm.experiments.submission_lock import Holder, local_holder
from slurm.experiments.submission_record import submissions_in
from slurm.experiments.task import Task
from slurm.queue_listing import Job, jobs_with

LOCAL = "local-"
"""Begins the job ids of the local executor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Of one task's last attempt."""

    attempt: int = 0
    """From 1; 0: none."""
    job: str = ""
    """As squeue's %i; empty where it has none."""
    log: str = ""
    """Path of what the job prints."""
    events: Sequence[Event] = ()
    queue: Job | None = None
    """What squeue says of the job."""
    is_queue_known: bool = True
    """Whether squeue has answered: then a job that it does not know has ended."""
    records: Sequence[Record] = ()
    """What sacct says of it, oldest first."""
    silent_s: float | None = None
    """How old the last sign of life is; None: there was none. Infinite: its process is not there."""
    is_beginning: bool = False
    """A process of a local run that goes on, which has not said yet that it has started."""
    output: str | None = None
    """What is wrong with the outputs, now; empty: nothing. None: that was not looked at, or there are none."""
    tail: str = ""
    """The end of the log, where the task may have failed."""
    held: str = ""
    """Why it could not be submitted, where that was tried."""
    unmet: str = ""
    """Id of a task that it needs, and that has failed, or will never run."""


def gather(folder: ExperimentFolder, tasks: Sequence[Task]) -> Iterator[Evidence]:
    """Of each task in turn, so that there are never many ends of logs. One call of squeue and one of sacct for all."""
    attempts = {task.id: _last(folder.attempts(task)) for task in tasks}
    histories = {name: _history(attempt) for name, attempt in attempts.items()}
    jobs = _jobs(folder, attempts, histories)
    open_ = {job for name, job in jobs.items() if not histories[name].has_succeeded and not job.startswith(LOCAL)}
    queue = _queue(open_)
    live = {job for job, found in (queue or {}).items() if found.state in WAITING | RUNNING}
    records = records_of(open_ - live)
    held = read_held(folder)
    runner = local_holder(folder)
    now_s = time.time()
    for task in tasks:
        attempt, job = attempts[task.id], jobs.get(task.id, "")
        if attempt is None:
            yield Evidence(held=held.get(task.id, ""))
            continue
        events = attempt.events()  # anew: the job may have ended before squeue was asked
        history = history_of(events)
        log = history.log or (str(folder.logs / f"{job}.log") if job else "")
        is_over = history.ended is not None or job not in live  # Slurm sees an end some time after the job tells it
        may_have_failed = not history.has_succeeded and is_over and bool(job)
        yield Evidence(
            attempt=attempt.number,
            job=job,
            log=log,
            events=events,
            queue=None if queue is None else queue.get(job),
            is_queue_known=queue is not None,
            records=records.get(job, ()),
            silent_s=_silent_s(attempt, history, now_s),
            is_beginning=runner is not None and _is_beginning(history, runner),
            output=_output(task, history) if history.has_succeeded or may_have_failed else None,
            tail=tail_of(Path(log)) if may_have_failed and log else "",
            held=held.get(task.id, ""),
        )


def earlier_evidence(folder: ExperimentFolder, attempt: Attempt) -> Evidence:
    """Of an attempt that another has followed: what its job has written. Outputs are of the later one."""
    events = attempt.events()
    history = history_of(events)
    job = history.job or _claim(attempt)
    log = history.log or (str(folder.logs / f"{job}.log") if job else "")
    is_told = bool(log) and not history.has_succeeded
    return Evidence(attempt=attempt.number, job=job, log=log, events=events, tail=tail_of(Path(log)) if is_told else "")


def _last(attempts: Sequence[Attempt]) -> Attempt | None:
    return attempts[-1] if attempts else None


def _history(attempt: Attempt | None) -> History:
    return History() if attempt is None else history_of(attempt.events())


def _jobs(
    folder: ExperimentFolder, attempts: Mapping[str, Attempt | None], histories: Mapping[str, History]
) -> dict[str, str]:
    """Job ids by the task's: as events say them, otherwise the claim, otherwise what was submitted."""
    found = {name: history.job for name, history in histories.items() if history.job}
    unknown = {}
    for name, attempt in attempts.items():
        if attempt is not None and name not in found:
            claim = _claim(attempt)
            if claim:
                found[name] = claim
            else:
                unknown[name, attempt.number] = name
    if unknown:
        for record in submissions_in(folder):
            for index, entry in record.entries.items():
                if record.job is not None and tuple(entry) in unknown:
                    found[entry.task_id] = record.job_of(index)
    return found


def _claim(attempt: Attempt) -> str:
    try:
        return attempt.claim.read_text().strip()
    except OSError:
        return ""


def _queue(jobs: set[str]) -> dict[str, Job] | None:
    """None: squeue does not answer, or is not there."""
    found: dict[str, Job] = {}
    try:
        for ids in in_calls(jobs):
            found |= {job.id: job for job in jobs_with(ids)}
    except SlurmError:
        return None
    return found


def _is_beginning(history: History, runner: Holder) -> bool:
    """For that it imports this package, which may take seconds."""
    if not history.job.startswith(LOCAL) or history.is_running or history.ended is not None:
        return False
    return runner.host != socket.gethostname() or is_there(int(history.job.removeprefix(LOCAL)))


def _silent_s(attempt: Attempt, history: History, now_s: float) -> float | None:
    is_here = history.job.startswith(LOCAL) and history.host == socket.gethostname()
    if is_here and history.pid is not None and not is_there(history.pid):
        return float("inf")
    try:
        return now_s - attempt.heartbeat.stat().st_mtime
    except OSError:
        return None if history.started_s is None else now_s - history.started_s


def _output(task: Task, history: History) -> str | None:
    if history.ended is None:
        return invalid_output(task) if task.outputs else None
    made, there = history.ended.sizes, sizes(task)
    for path, size in made.items():
        if path not in there:
            return f"output {path}: it was there when the job ended, and is gone"
        if there[path] < size:
            return f"output {path}: it had {size} bytes when the job ended, and has {there[path]} now"
    return ""
