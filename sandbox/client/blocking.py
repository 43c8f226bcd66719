"""The client for callers that wait: the methods of `Sandbox`, done by servers."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Generator, Iterable
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from sandbox.client.addresses import Addresses, ServersArgument
from sandbox.client.batch import Batch
from sandbox.client.core import ClientSettings, Core
from sandbox.client.loop_thread import LoopThread
from sandbox.client.problem_keys import ProblemKeys
from sandbox.client.progress import progress_bar
from sandbox.client.sources import Sources
from sandbox.client.work import Judging, Running, Work
from sandbox.errors import ClosedError
from sandbox.futures import Stop, Stoppable, in_order, in_thread
from sandbox.limits import Limits
from sandbox.options import JudgeOptions
from sandbox.pool import Program, Submission
from sandbox.problem import Problem
from sandbox.result import JudgeResult, RunResult
from sandbox.slot import Enforcement
from sandbox.worker.languages import PYTHON

Source = TypeVar("Source")
Result = TypeVar("Result")


class _Engine:
    """A core, in the event loop of a thread of its own."""

    def __init__(self, settings: ClientSettings) -> None:
        self.thread = LoopThread()
        self.core = self.thread.call(_made(settings))

    def give_up(self, batch: Batch[Any, Any]) -> None:
        """Ends a batch that another thread may wait for."""
        with suppress(ClosedError):
            self.thread.start(self.core.give_up(batch))

    def close(self) -> None:
        self.thread.call(self.core.close())
        self.thread.stop()


async def _made(settings: ClientSettings) -> Core:
    return Core(settings)


_left_behind: list[_Engine] = []
"""By forks: to end such a one would end the parent's connections, whose sockets and selector it shares."""


class SandboxClient:
    """Runs and judges programs in the sandboxes of servers. Thread-safe; use it as a context manager.

    Its methods are those of `Sandbox`, and raise the same errors; what was sent to a server that died goes to
    another. Nothing is connected before there is something to do, so that servers may come later. Blocking
    methods may be called where an event loop runs, and after a fork.

    Args:
        servers: a URL (`http://:TOKEN@HOST:PORT`, `unix:/PATH`), a list of them, or a folder of endpoint files, where
            servers may come and go; None: what QRPO_SANDBOX_SERVERS says, or else this user's servers on this node.
        token: for URLs that hold none.
        patience_s: for how long there may be no server that answers, before UnreachableError.
        hedge_after_s: a submission without a result by then is sent to a second server too, and the first result
            counts; None: never.
        progress: a bar on stderr for each batch.

    Raises:
        ValueError: a URL is none.
    """

    def __init__(
        self,
        servers: ServersArgument = None,
        *,
        token: str | None = None,
        patience_s: float = 60.0,
        hedge_after_s: float | None = None,
        progress: bool = False,
    ) -> None:
        self._settings = ClientSettings(
            addresses=Addresses(servers, token), patience_s=patience_s, hedge_after_s=hedge_after_s, progress=progress
        )
        self._keys = ProblemKeys()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._engine: _Engine | None = None
        self._is_closed = False

    @property
    def workers(self) -> int:
        """Slots of all servers that answer. Raises UnreachableError or RefusedError where none does."""
        engine = self._live()
        return engine.thread.call(engine.core.workers())

    @property
    def enforcement(self) -> Enforcement:
        """What holds on all servers that answer. Raises as `workers`."""
        engine = self._live()
        return engine.thread.call(engine.core.enforcement())

    @property
    def languages(self) -> tuple[str, ...]:
        """Names of the languages whose programs can run on all servers that answer. Raises as `workers`."""
        engine = self._live()
        return engine.thread.call(engine.core.languages())

    def run(
        self, code: str, stdin: str | bytes = b"", limits: Limits | None = None, language: str = PYTHON
    ) -> RunResult:
        """See `Sandbox.run`. Raises UnreachableError and RefusedError besides, as all methods here."""
        return self._called(Running(limits, language), (code, stdin))

    def run_batch(
        self, programs: Iterable[Program], limits: Limits | None = None, language: str = PYTHON
    ) -> list[RunResult]:
        """See `Sandbox.run_batch`."""
        return in_order(self.run_as_completed(programs, limits, language))

    def run_as_completed(
        self, programs: Iterable[Program], limits: Limits | None = None, language: str = PYTHON
    ) -> Stoppable[tuple[int, RunResult]]:
        """See `Sandbox.run_as_completed`. Input is read as servers have room."""
        return self._as_completed(Running(limits, language), programs)

    def judge(self, problem: Problem, code: str | None, **options: Unpack[JudgeOptions]) -> JudgeResult:
        """See `Sandbox.judge`."""
        return self._called(Judging(self._keys, **options), (problem, code))

    def judge_batch(self, submissions: Iterable[Submission], **options: Unpack[JudgeOptions]) -> list[JudgeResult]:
        """See `Sandbox.judge_batch`."""
        return in_order(self.judge_as_completed(submissions, **options))

    def judge_as_completed(
        self, submissions: Iterable[Submission], **options: Unpack[JudgeOptions]
    ) -> Stoppable[tuple[int, JudgeResult]]:
        """See `Sandbox.judge_as_completed`. Input is read as servers have room."""
        return self._as_completed(Judging(self._keys, **options), submissions)

    async def run_async(
        self, code: str, stdin: str | bytes = b"", limits: Limits | None = None, language: str = PYTHON
    ) -> RunResult:
        """`run` without blocking the event loop."""
        return await asyncio.wrap_future(self._started(Running(limits, language), (code, stdin)))

    async def run_batch_async(
        self, programs: Iterable[Program], limits: Limits | None = None, language: str = PYTHON
    ) -> list[RunResult]:
        """`run_batch` without blocking the event loop."""
        return in_order([found async for found in self.run_as_completed_async(programs, limits, language)])

    def run_as_completed_async(
        self, programs: Iterable[Program], limits: Limits | None = None, language: str = PYTHON
    ) -> AsyncIterator[tuple[int, RunResult]]:
        """`run_as_completed` without blocking the event loop."""
        return in_thread(self.run_as_completed(programs, limits, language))

    async def judge_async(self, problem: Problem, code: str | None, **options: Unpack[JudgeOptions]) -> JudgeResult:
        """`judge` without blocking the event loop."""
        return await asyncio.wrap_future(self._started(Judging(self._keys, **options), (problem, code)))

    async def judge_batch_async(
        self, submissions: Iterable[Submission], **options: Unpack[JudgeOptions]
    ) -> list[JudgeResult]:
        """`judge_batch` without blocking the event loop."""
        results = self.judge_as_completed_async(submissions, **options)
        return in_order([found async for found in results])

    def judge_as_completed_async(
        self, submissions: Iterable[Submission], **options: Unpack[JudgeOptions]
    ) -> AsyncIterator[tuple[int, JudgeResult]]:
        """`judge_as_completed` without blocking the event loop."""
        return in_thread(self.judge_as_completed(submissions, **options))

    def close(self) -> None:
        """Gives up what is pending, which raises ClosedError, and ends all connections; the servers go on."""
        self._is_closed = True
        with self._own_lock():
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    async def close_async(self) -> None:
        """`close` without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _own_lock(self) -> threading.Lock:
        """Guards `_engine`, which after a fork is not this process's; nor is a lock that another thread had then."""
        if self._pid != os.getpid():
            if self._engine is not None:
                _left_behind.append(self._engine)
            self._pid, self._lock, self._engine = os.getpid(), threading.Lock(), None
        return self._lock

    def _live(self) -> _Engine:
        with self._own_lock():
            if self._is_closed:
                raise ClosedError("this SandboxClient is closed; make a new one")
            if self._engine is None:
                self._engine = _Engine(self._settings)
            return self._engine

    def _started(self, work: Work[Source, Result], source: Source) -> Future[Result]:
        engine = self._live()
        return engine.thread.start(engine.core.one(work, source))

    def _called(self, work: Work[Source, Result], source: Source) -> Result:
        engine = self._live()
        return engine.thread.call(engine.core.one(work, source))

    def _as_completed(self, work: Work[Source, Result], sources: Iterable[Source]) -> Stoppable[tuple[int, Result]]:
        return Stoppable(lambda stop: self._completed(work, sources, stop))

    def _completed(
        self, work: Work[Source, Result], sources: Iterable[Source], stop: Stop
    ) -> Generator[tuple[int, Result]]:
        engine = self._live()
        reader = Sources(sources)
        batch = engine.thread.call(engine.core.open(work))
        stop.on(lambda: engine.give_up(batch))
        try:
            with progress_bar(is_shown=self._settings.progress, total=reader.total) as advance:
                while not batch.is_over:
                    part = reader.read(batch.room)
                    found = engine.thread.call(batch.step(part.sources, are_last=part.are_last))
                    advance(len(found))
                    yield from found
        except ClosedError:
            if not stop.is_set:
                raise
        finally:
            with suppress(ClosedError):
                engine.thread.call(engine.core.end(batch))
