"""The slots of a sandbox and what they have to do: one thread each, failures retried, what is late done again alone."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TypeVar
from weakref import ref

from containers.runtime import Runtime
from sandbox.errors import ClosedError, InfrastructureError, ProblemError, UnsupportedLanguageError
from sandbox.level import Level
from sandbox.messages import Message, alone
from sandbox.schedule import Schedule, Turn
from sandbox.slot import Enforcement, Slot

T = TypeVar("T")
QUEUED_PER_SLOT = 4
_TRIES = 3
_PATIENCE_S = 10.0
"""How long a host that fails is tried at least, and at least so often: it may be short of memory for a moment, or the
processes of a slot may be killed from outside several times in a row."""
_LONGEST_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What slots do, and what has happened to them so far."""

    busy: int
    """Slots with a program, of all there are."""
    waiting: int
    """Programs that wait for a slot, those to be run again alone included."""
    failures: int
    """Times that the host failed a program; each was tried again unless it had been for too long."""
    replaced: int
    """Slots that failed and were replaced."""
    alone: int
    """Programs run again alone, because beside others their time had run out."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class _Job:
    """A request on its way to a slot."""

    request: Message
    problem: tuple[str, Message] | None
    """Its id and definition, for what judges."""
    future: Future[Message]


class Crew:
    """Slots, one request at a time each. Thread-safe.

    Args:
        runtime: see `Slot`. level: likewise.
        workers: how many slots; the first is started at once, the others when there is something to do.

    Raises:
        UnsupportedHostError: see `Slot`.
        InfrastructureError: see `Slot`.
    """

    def __init__(self, runtime: Runtime, level: Level, workers: int) -> None:
        self._runtime = runtime
        self._level = level
        # Where there is a slot for each core it has that core: the next step of a run then need not wait until the
        # program of another slot gives its core up, which halves what the slowest runs pay on a busy machine.
        cores = sorted(os.sched_getaffinity(0))
        self._cores: list[int | None] = [*cores] if workers == len(cores) else [None] * workers
        self._schedule: Schedule[_Job] = Schedule(workers * QUEUED_PER_SLOT)
        self._closed = threading.Event()
        self._slots: dict[int, Slot] = {}
        self._count = threading.Lock()
        self._failures = self._replaced = self._alone = 0
        self._threads: list[threading.Thread] = []
        first: Future[Enforcement] = Future()
        self._start_thread(self._start_first, first)
        try:
            self.enforcement = first.result()
        except BaseException:
            self.close()
            raise
        for index in range(1, workers):
            self._start_thread(self._serve, index)

    def _start_thread(self, target: Callable[[T], None], argument: T) -> None:
        name = f"sandbox-slot-{len(self._threads)}"
        self._threads.append(threading.Thread(target=target, args=(argument,), name=name, daemon=True))
        self._threads[-1].start()

    def submit(self, request: Message, problem: tuple[str, Message] | None) -> Future[Message]:
        """Waits while the queue is full; the answer to come.

        Args:
            problem: id and definition of what the request judges by.

        Raises:
            ClosedError: the crew is closed.
        """
        job = _Job(request, problem, Future())
        if not self._schedule.put(job):
            raise ClosedError("this Sandbox is closed; make a new one")
        waiting = ref(job)  # a future must not hold its job, which holds it
        job.future.add_done_callback(lambda done: self._withdraw(waiting()) if done.cancelled() else None)
        return job.future

    def _withdraw(self, job: _Job | None) -> None:
        if job is not None:
            self._schedule.withdraw(job)

    @property
    def activity(self) -> Activity:
        """As of now."""
        running, waiting = self._schedule.load()
        with self._count:
            return Activity(
                busy=running, waiting=waiting, failures=self._failures, replaced=self._replaced, alone=self._alone
            )

    def close(self) -> None:
        """End every slot and fail what is pending; returns when no process is left."""
        if self._closed.is_set():
            return
        self._closed.set()
        for job in self._schedule.close():
            _fail(job)
        for slot in list(self._slots.values()):
            slot.interrupt()
        for thread in self._threads:
            thread.join()

    def _start_first(self, started: Future[Enforcement]) -> None:
        """The thread of the first slot; like the others it starts its slot itself, for that ends with its thread."""
        try:
            self._slots[0] = Slot(self._runtime, self._level, self._cores[0])
        except BaseException as error:  # noqa: BLE001 - to whoever makes the crew
            started.set_exception(error)
            return
        started.set_result(self._slots[0].enforcement)
        self._serve(0)

    def _serve(self, index: int) -> None:
        """A slot's thread: takes jobs, replaces the slot when it fails."""
        while (turn := self._schedule.take()) is not None:
            try:
                if turn.is_alone or turn.job.future.set_running_or_notify_cancel():
                    self._do(index, turn)
            finally:
                self._schedule.done(turn)
                del turn  # or what it was about would live until there is another
        slot = self._slots.pop(index, None)
        if slot is not None:
            slot.close()

    def _do(self, index: int, turn: Turn[_Job]) -> None:
        job = turn.job
        try:
            answer = self._answer(index, job)
        except BaseException as error:  # noqa: BLE001 - to whoever waits for the result
            job.future.set_exception(error)
            return
        if turn.is_alone or not answer["is_late"]:
            job.future.set_result(answer)
            return
        with self._count:
            self._alone += 1
        if not self._schedule.put_alone(replace(job, request=alone(job.request))):
            job.future.set_exception(_closed_before())

    def _answer(self, index: int, job: _Job) -> Message:
        last: Exception | None = None
        began_s = time.monotonic()
        attempt = 0
        while attempt < _TRIES or time.monotonic() - began_s < _PATIENCE_S:
            if self._closed.wait(min(max(0, attempt - 1) * 0.1, _LONGEST_PAUSE_S)):  # no pause before the first retry
                raise _closed_before()
            attempt += 1
            try:
                if index not in self._slots:
                    self._slots[index] = Slot(self._runtime, self._level, self._cores[index])
                answer = self._slots[index].request(job.request, job.problem[1] if job.problem else None)
            except InfrastructureError as error:
                last = error
                failed = self._slots.pop(index, None)
                with self._count:
                    self._failures += 1
                    self._replaced += failed is not None
                if failed is not None:
                    failed.kill()
                continue
            if job.problem is not None and "problem" in answer:
                raise ProblemError(job.problem[0], "", answer["problem"])
            if "unsupported_language" in answer:
                raise UnsupportedLanguageError(answer["unsupported_language"])
            return answer
        if self._closed.is_set():
            raise _closed_before()
        raise InfrastructureError(f"the host failed {attempt} times, the last time: {last}") from last


def _closed_before() -> ClosedError:
    return ClosedError("the sandbox was closed before the program was judged")


def _fail(job: _Job) -> None:
    """Tell whoever waits for it; one that was to be run again is running already."""
    if job.future.running() or job.future.set_running_or_notify_cancel():
        job.future.set_exception(_closed_before())
