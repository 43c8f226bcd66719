"""One run of a task: from the claim to its end, or to the moment when its job is to be queued again."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from slurm.child import Child
from slurm.commands import call_slurm
from slurm.errors import SlurmError
from slurm.experiments.claim import holder, outlast, still_running
from slurm.experiments.events import Ended, Event, Requeued, Started, Stopped, append
from slurm.experiments.folder import Attempt, ExperimentFolder
from slurm.experiments.heartbeat import beating
from slurm.experiments.notices import Notices
from slurm.experiments.outputs import invalid_output, missing_input, sizes
from slurm.experiments.task import Task

log = logging.getLogger(__name__)

Why: TypeAlias = Literal["limit", "preempted", "cancelled"]
FAILED = 1
"""Exit code of a job whose command has none, or 0."""
_HEARD_S = 1.0
"""Slurm signals one process of a job after the other."""
_EARLY_S = 120.0
"""A signal ahead of a time limit may come a minute early (sbatch(1)), and the job's clock starts a little before us."""
_VISIBLE_S = 60.0
"""NFS may say for so long that there is no such file, after another node has made it."""
_LAST_S = 20.0
"""Of the time ahead of the limit: to look at the outputs, and to be queued again."""
_PAUSES_S = (0.5, 2.0, 5.0)


class Outcome(NamedTuple):
    """How a run has ended."""

    code: int
    """For the job to exit with."""
    goes_on: bool = False
    """The job is to be queued again."""


class TaskRun:
    """Runs a task's command, and writes what happens to it.

    Args:
        folder: of the experiment.
        task: what to do.
        attempt: its folder is there.
        job: as `Submitted.job`.
        notices: what the job is told.
        own_limit_s: after how many seconds the time limit comes; None: Slurm keeps it.
    """

    def __init__(
        self,
        folder: ExperimentFolder,
        task: Task,
        attempt: Attempt,
        job: str,
        notices: Notices,
        own_limit_s: float | None = None,
    ) -> None:
        self._folder = folder
        self._task = task
        self._attempt = attempt
        self._job = job
        self._notices = notices
        self._start_s = time.monotonic()
        self._warn_s = self._start_s + own_limit_s - task.ahead_s if own_limit_s else float("inf")
        self._is_slurms = own_limit_s is None
        self._kill_s = float("inf")
        self._why: Why | None = None

    def run(self) -> Outcome:
        """Returns once no process of the command is left."""
        if not outlast(self._attempt, self._job, self._is_told):
            log.error("an earlier run of this job still runs: nothing is run beside it")
            return Outcome(FAILED, goes_on=not self._notices.is_ended)
        earlier = self._attempt.events()
        has_succeeded = any(isinstance(event, Ended) and event.has_succeeded for event in earlier)
        if has_succeeded and not invalid_output(self._task):  # Slurm runs it again, as its node was lost at the end
            log.warning("%s has succeeded already: nothing to do", self._task.id)
            return Outcome(0)
        try:
            claimed_by = holder(self._attempt, self._job)
        except OSError as error:
            words = "nothing is run, since another job could do the same"
            log.error("%s: %s; %s", self._attempt.claim, error.strerror, words)  # noqa: TRY400  # it says all
            return Outcome(FAILED)
        if claimed_by != self._job:
            log.error("%s is run by job %s, and not by this one, %s", self._task.id, claimed_by, self._job)
            return Outcome(FAILED if invalid_output(self._task) else 0)
        with beating(self._attempt.heartbeat):
            self._note(Started(time=time.time(), job=self._job, host=socket.gethostname(), pid=os.getpid()))
            # Only now: of two that start at once each sees the other, and none runs beside one.
            found = still_running(self._folder, self._task, self._attempt.number, self._is_told)
            if found is not None:
                other, started = found
                return self._end(0, f"job: attempt {other.number} still runs as job {started.job} on {started.host}")
            problem = self._patiently(missing_input, bool(self._task.needs))
            if problem:
                return self._end(0, problem)
            code = self._command()
            problem = self._patiently(invalid_output, self._task.resources.nodes > 1) if code == 0 else ""
            return self._judge(code, problem or (self._failed_check() if code == 0 else ""), earlier)

    def _is_told(self) -> bool:
        return self._notices.is_ended or self._notices.is_warned

    def _command(self) -> int:
        for path in self._task.output_paths:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError:  # the command says better why it cannot write there
                pass
        number = self._signal
        # The shell outlives the signal to tell how the command that runs has ended, and starts no other.
        trap = f"trap 'set -T; trap \"exit {128 + number}\" DEBUG' {self._task.stopping.signal}"
        return self._attend(self._child(f"{trap}; {self._task.script}"))

    def _child(self, script: str) -> Child:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SUBMITIT_")}
        env = {**inherited, **self._task.environment}
        return Child(["bash", "-c", script], env=env, cwd=Path(self._task.workdir))

    def _attend(self, child: Child) -> int:
        while not child.has_ended:
            self._react(child)
            self._notices.wait(child, min(self._warn_s, self._kill_s))
        return child.end()

    def _react(self, child: Child) -> None:
        now_s = time.monotonic()
        if self._notices.is_ended and self._why != "cancelled":
            is_first = self._why is None
            self._stop("cancelled")
            # To a Slurm job's end all its processes are sent a SIGTERM; for many a second one means "at once".
            if is_first and not (self._signal is signal.SIGTERM and child.was_heard(_HEARD_S)):
                self._tell(child)
        elif self._why is None and (self._notices.is_warned or now_s >= self._warn_s):
            left_s = self._task.limit_s - (now_s - self._start_s) if self._task.limit_s else float("inf")
            is_early = self._is_slurms and left_s > self._task.ahead_s + _EARLY_S
            self._stop("preempted" if is_early else "limit")
            self._tell(child)
        if now_s >= self._kill_s:
            log.warning("it goes on after SIG%s for too long: it is killed", self._task.stopping.signal)
            self._kill_s = float("inf")
            child.kill()

    def _stop(self, why: Why) -> None:
        if self._why is None:
            ahead_s = self._task.ahead_s
            self._kill_s = time.monotonic() + ahead_s - min(_LAST_S, ahead_s / 4)
        self._why = why
        self._warn_s = float("inf")
        log.warning("%s: the command gets SIG%s", why, self._task.stopping.signal)
        self._note(Stopped(time=time.time(), why=why))

    def _tell(self, child: Child) -> None:
        """Each process once: those on other nodes, too."""
        if self._is_slurms and child.runs_steps():
            try:
                call_slurm("scancel", "--quiet", f"--signal={self._task.stopping.signal}", self._job)
            except SlurmError as error:
                log.warning("what srun runs was not signalled: %s", error)
        child.signal_group(self._signal)

    def _failed_check(self) -> str:
        for expected in self._task.outputs:
            if expected.check is not None:
                code = self._attend(self._child(expected.check))
                if code:
                    return f"output {expected.path}: its check exits with {code}: {expected.check.splitlines()[-1]}"
        return ""

    def _judge(self, code: int, problem: str, earlier: Sequence[Event]) -> Outcome:
        """What an exit code means; one of 0 after a signal, that the command has finished if its outputs say so."""
        is_finished = code == 0 and not problem
        if self._why is None or (is_finished and self._task.outputs):
            return self._end(code, problem)
        if self._why == "cancelled":
            return self._end(code, f"cancelled; {problem}" if problem else "cancelled")
        allowed = self._task.stopping.requeues
        used = sum(
            isinstance(stopped, Stopped) and stopped.why == "limit" and isinstance(event, Requeued)
            for stopped, event in pairwise(earlier)
        )
        if self._why == "limit" and used >= allowed:
            return self._end(code, f"time limit: reached {used + 1} times; stopping.requeues is {allowed}")
        self._note(Requeued(time=time.time()))
        return Outcome(FAILED, goes_on=True)

    def _end(self, code: int, problem: str) -> Outcome:
        if problem:
            log.error("%s: %s", self._task.id, problem)
        has_succeeded = code == 0 and not problem
        made = sizes(self._task) if has_succeeded else {}
        self._note(Ended(time=time.time(), code=code, problem=problem, sizes=made))
        return Outcome(0 if has_succeeded else (128 - code if code < 0 else code) or FAILED)

    def not_queued_again(self, problem: str) -> Outcome:
        """To be called where the job goes on, and could not."""
        return self._end(0, f"job: it was not queued again: {problem}")

    def _patiently(self, look: Callable[[Task], str], is_remote: bool) -> str:
        end_s = time.monotonic() + (_VISIBLE_S if is_remote else 0)
        while problem := look(self._task):
            if time.monotonic() >= end_s or self._notices.is_ended or "is not there" not in problem:
                break
            time.sleep(1)
        return problem

    def _note(self, event: Started | Stopped | Requeued | Ended) -> None:
        """What cannot be written is said in the log: Slurm's own words remain, and outputs are looked at anyway."""
        for pause_s in _PAUSES_S:
            try:
                return append(self._attempt.events_path, event)
            except OSError as error:
                log.warning("%s: %s; it says %s", self._attempt.events_path, error.strerror, event.model_dump_json())
            time.sleep(pause_s)
        return None

    @property
    def _signal(self) -> signal.Signals:
        return signal.Signals[f"SIG{self._task.stopping.signal}"]
