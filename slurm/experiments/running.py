"""Submits what is to be submitted, waits for it, ends it."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

from slurm.commands import call_slurm
from slurm.errors import ExperimentError, SlurmError
from slurm.experiments.events import Started, Stopped, append
from slurm.experiments.executor import Executor, Submission
from slurm.experiments.experiment import Experiment, give, opened, save, write_down
from slurm.experiments.folder import ExperimentFolder
from slurm.experiments.local import LocalExecutor
from slurm.experiments.machine import Machine
from slurm.experiments.plan import LIVE, Plan
from slurm.experiments.preflight import check
from slurm.experiments.preparation import Choose, planned_for, prepared
from slurm.experiments.sbatch import settle
from slurm.experiments.slurm_jobs import SlurmJobs
from slurm.experiments.standing import LOCAL, Standing, look, pauses
from slurm.experiments.state import Kind, State
from slurm.experiments.submission_lock import local_holder, submitting

_CHUNK = 500
"""Jobs in one call of scancel: a command line has its limits."""
_ENDING_S, _LOOK_S = 10.0, 0.1
"""What commands on this machine get to end, before it is told where they stand."""
Read = Callable[[], Experiment]
Show = Callable[[Standing], None]


@dataclass(frozen=True, slots=True)
class Done:
    """What a submission has done."""

    planned: Plan
    before: Standing
    submitted: Sequence[Submission]


def submit(
    folder: ExperimentFolder,
    read: Read,
    choose: Choose,
    machine: Machine | None = None,
    on_submission: Callable[[Submission], None] = lambda _: None,
    *,
    tops_up: bool = False,
) -> Done:
    """Submits what was not, and what is chosen.

    Args:
        folder: the experiment's; made where it is missing, once all checks have passed.
        read: gives the experiment, as it is once nobody else submits.
        choose: ids of tasks to submit whatever their state.
        machine: run the tasks here; returns when all have ended. None: in Slurm.
        on_submission: told of each.
        tops_up: for a command that waits: nothing is submitted once somebody has cancelled the experiment.

    Raises:
        ExperimentError: something is wrong; then nothing was submitted.
        SlurmError: Slurm says no; what was submitted before stays.
    """
    is_local = machine is not None
    if not folder.path.exists():  # nothing is made for what cannot be done
        check(prepared(read(), choose, is_local=is_local).preflight)
    with submitting(folder, for_long=is_local):
        if not is_local:
            settle(folder)  # first: what sbatch has refused may be changed
        experiment = read()
        if not is_local:
            tasks = {task.id: task for task in experiment.all_tasks}
            for submission in SlurmJobs(folder, experiment.manifest.limits).recovered(tasks):
                write_down(experiment, submission)
        found = prepared(experiment, choose, is_local=is_local)
        before, planned = found.standing, found.planned
        if tops_up and folder.cancelled.exists():
            return Done(planned, before, [])
        check(found.preflight)
        save(experiment)
        if not tops_up:
            folder.cancelled.unlink(missing_ok=True)
        executor: Executor
        if machine is None:
            states = before.by_id
            _forget(states[task.id] for task in planned.todo)
            live = sum(state.kind in LIVE for state in before.states)
            executor = SlurmJobs(folder, experiment.manifest.limits, live)
        else:
            executor = LocalExecutor(folder, machine)
        submitted = []
        with closing(give(experiment, planned, before.by_id, executor)) as submissions:
            for submission in submissions:
                submitted.append(submission)
                on_submission(submission)
    return Done(planned, before, submitted)


def wait(folder: ExperimentFolder, show: Show) -> Standing:
    """Until nothing waits or runs and nothing can be submitted; submits what the limits have held back.

    While Slurm does not answer it goes on: jobs do without it.
    """
    for pause_s in pauses():
        experiment = opened(folder)  # another command may have submitted more
        standing = look(experiment)
        show(standing)
        todo = planned_for(standing, (), is_local=False).todo
        is_over = folder.cancelled.exists()
        if not standing.is_live and (is_over or not todo):
            return standing
        if todo and not is_over:
            try:
                if submit(folder, lambda: opened(folder), lambda _: (), tops_up=True).submitted:
                    continue
            except SlurmError:
                pass
        time.sleep(pause_s)
    raise AssertionError  # there are always more


def cancel(experiment: Experiment, chosen: Collection[str] | None) -> list[str]:
    """Ends jobs; the ids of the tasks that were queued or ran, and do not go on.

    Args:
        chosen: ids of tasks; None: all, and nothing more is submitted by commands that wait.

    Raises:
        ExperimentError: a job runs on another machine.
        SlurmError: scancel says no.
    """
    before = {state.task.id for state in look(experiment).all_states if state.kind is Kind.CANCELLED}
    if chosen is None:
        experiment.folder.cancelled.touch()
        _end_local_run(experiment.folder)
    with experiment.folder.locked():  # what another command submits just now is ended, too
        standing = look(experiment)
    states = [state for state in standing.all_states if chosen is None or state.task.id in chosen]
    live = [state for state in states if state.kind in LIVE]
    jobs = [state.job for state in live if state.job and not state.job.startswith(LOCAL)]
    _end_jobs(jobs)
    _forget(states)
    for state in live:
        if state.job.startswith(LOCAL):
            _end_process(experiment.folder, state)
        elif state.kind is Kind.QUEUED:  # it cannot say so itself, and Slurm soon forgets
            attempt = experiment.folder.attempt(state.task, state.attempt)
            append(attempt.events_path, Stopped(time=time.time(), why="cancelled"))
    kinds = LIVE | {Kind.CANCELLED}  # the latter by the command that ran them
    return [state.task.id for state in states if state.kind in kinds and state.task.id not in before]


def _forget(states: Iterable[State]) -> None:
    """Takes jobs out of the queue that will never start."""
    found = (state.job for state in states if state.kind is Kind.BLOCKED)
    jobs = [job for job in found if job and not job.startswith(LOCAL)]
    try:
        _end_jobs(jobs)
    except SlurmError:  # mostly Slurm has done so itself
        pass


def _end_jobs(jobs: Sequence[str]) -> None:
    for start in range(0, len(jobs), _CHUNK):
        call_slurm("scancel", "--quiet", *jobs[start : start + _CHUNK])


def _end_local_run(folder: ExperimentFolder) -> None:
    """Waits a little for a command that runs tasks: it looks for the mark. A signal could be one that it ignores."""
    end_s = time.monotonic() + _ENDING_S
    while (holder := local_holder(folder)) is not None and time.monotonic() < end_s:
        folder.cancelled.touch()  # again and again: one that has just begun removes it
        time.sleep(_LOOK_S)
    if holder is not None and holder.host != socket.gethostname():
        raise ExperimentError(
            f"tasks on {holder.host}, of process {holder.pid}, have not ended yet: `status` tells when; or end it there"
        )


def _end_process(folder: ExperimentFolder, state: State) -> None:
    events = folder.attempt(state.task, state.attempt).events()
    hosts = [event.host for event in events if isinstance(event, Started)]
    runner = local_holder(folder)
    if not hosts and runner is not None:  # it begins
        hosts.append(runner.host)
    if not hosts:
        return
    if hosts[-1] != socket.gethostname():
        raise ExperimentError(f"{state.task.id} runs on {hosts[-1]}: cancel it there")
    try:
        os.kill(int(state.job.removeprefix(LOCAL)), signal.SIGTERM)
    except ProcessLookupError:
        pass
