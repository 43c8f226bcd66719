"""Runs tasks on this machine, several at a time, in the foreground."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, TypeAlias

from slurm.experiments.events import Ended, Started, Stopped
from slurm.experiments.executor import Submission
from slurm.experiments.folder import ExperimentFolder
from slurm.experiments.heartbeat import is_fresh
from slurm.experiments.history import history_of
from slurm.experiments.machine import Machine, Share
from slurm.experiments.notices import kept
from slurm.experiments.task import Task

_LOOK_S = 0.1


class Change(StrEnum):
    """What has become of a task."""

    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    BLOCKED = "blocked"
    """One that it needs has failed, so that it is not started."""


Tell: TypeAlias = Callable[[Task, Change], None]


class _Running(NamedTuple):
    task: Task
    process: subprocess.Popen[bytes]
    share: Share


class LocalExecutor:
    """Runs the same job as Slurm does, with its time limit, its signal ahead of it, and what follows.

    A memory limit is not enforced here, and `nodes` is not heeded. Jobs end with this process: where it is killed they
    are told to end, and what they run is. For the main thread. Iterate over `submit` under `contextlib.closing`: jobs
    are stopped, as by Ctrl-C, when it is left early; their tasks have a new, empty attempt then.

    Args:
        folder: of the experiment.
        machine: what there is.
        tell: called at each change.
    """

    def __init__(self, folder: ExperimentFolder, machine: Machine, tell: Tell = lambda task, change: None) -> None:
        self._folder = folder
        self._machine = machine
        self._tell = tell

    def submit(
        self, tasks: Sequence[Task], attempts: Mapping[str, int], jobs: Mapping[str, str]
    ) -> Iterator[Submission]:
        """See `Executor`. Ends when all have ended; those that others in `jobs` run are waited for. Or at a `cancel`.

        Raises:
            ExperimentError: a task can never run here.
        """
        self._machine.check(tasks)
        self._folder.logs.mkdir(parents=True, exist_ok=True)
        waiting = list(tasks)
        running: list[_Running] = []
        elsewhere = _Elsewhere(self._folder, jobs)
        failed: set[str] = set()
        try:
            while (waiting or running) and not self._folder.cancelled.exists():
                for item in [item for item in running if item.process.poll() is not None]:
                    running.remove(item)
                    self._machine.give_back(item.share)
                    if item.process.returncode:
                        failed.add(item.task.id)
                    self._tell(item.task, Change.FAILED if item.process.returncode else Change.SUCCEEDED)
                failed |= elsewhere.look()
                open_ = {task.id for task in waiting} | {item.task.id for item in running} | elsewhere.ids
                for task in list(waiting):
                    if failed & set(task.needs):
                        waiting.remove(task)
                        failed.add(task.id)
                        self._tell(task, Change.BLOCKED)
                    elif not open_ & set(task.needs) and (share := self._machine.take(task)):
                        waiting.remove(task)
                        item = self._start(task, attempts[task.id], share)
                        running.append(item)
                        self._tell(task, Change.STARTED)
                        yield Submission(task.id, f"local-{item.process.pid}", self._log(task, attempts[task.id]))
                if waiting or running:
                    time.sleep(_LOOK_S)
        finally:
            try:
                _stop([item.process for item in running])
            finally:
                self._keep_for_later([item.task for item in running], attempts)

    def _start(self, task: Task, attempt: int, share: Share) -> _Running:
        words = [str(self._folder.path), task.id, str(attempt), str(os.getpid())]
        environment = dict(share.environment()) if self._machine.gpus else {}
        with self._log(task, attempt).open("ab") as log_file, kept():
            process = subprocess.Popen(
                [sys.executable, "-m", "slurm.experiments.job", *words],
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                env=_outside_slurm() | environment,
                start_new_session=True,  # Ctrl-C is for this process, which tells the jobs
            )
        return _Running(task, process, share)

    def _keep_for_later(self, tasks: Sequence[Task], attempts: Mapping[str, int]) -> None:
        """Those that have ended with this run are not submitted: the next `submit` runs them, but after a `cancel`."""
        if self._folder.cancelled.exists():
            return
        for task in tasks:
            history = history_of(self._folder.attempt(task, attempts[task.id]).events())
            if history.ended is None or (not history.has_succeeded and "cancelled" in history.stops):
                self._folder.attempt(task, attempts[task.id] + 1).path.mkdir(exist_ok=True)

    def _log(self, task: Task, attempt: int) -> Path:
        return self._folder.logs / f"{task.folder_name}.{attempt}.log"


class _Elsewhere:
    """Needed tasks that other jobs run: of Slurm, or of another command on this or another machine."""

    def __init__(self, folder: ExperimentFolder, jobs: Mapping[str, str]) -> None:
        self._folder = folder
        self.ids = set(jobs)

    def look(self) -> set[str]:
        """Those that have failed, or vanished, since the last look; `ids` are those that still run."""
        failed = set()
        for task_id in sorted(self.ids):
            attempt = self._folder.attempts(self._folder.task(task_id))[-1]
            events = attempt.events()
            last = events[-1] if events else None
            if isinstance(last, Ended) or (isinstance(last, Started | Stopped) and not is_fresh(attempt.heartbeat)):
                self.ids.remove(task_id)
                failed |= set() if isinstance(last, Ended) and last.has_succeeded else {task_id}
        return failed


def _outside_slurm() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Tells jobs to end, and waits: they kill what does not. A second Ctrl-C kills at once."""
    try:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait()
    except KeyboardInterrupt:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
        raise
