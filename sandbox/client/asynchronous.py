"""The client for callers with an event loop of their own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Self, TypeVar, Unpack

from sandbox.client.addresses import Addresses, ServersArgument
from sandbox.client.core import ClientSettings, Core
from sandbox.client.problem_keys import ProblemKeys
from sandbox.client.progress import progress_bar
from sandbox.client.sources import Sources
from sandbox.client.work import Judging, Running, Work
from sandbox.errors import ClosedError
from sandbox.futures import in_order
from sandbox.limits import Limits
from sandbox.options import JudgeOptions
from sandbox.pool import Program, Submission
from sandbox.problem import Problem
from sandbox.result import JudgeResult, RunResult
from sandbox.slot import Enforcement
from sandbox.worker.languages import PYTHON

Source = TypeVar("Source")
Result = TypeVar("Result")


class AsyncSandboxClient:
    """`SandboxClient` as coroutines and asynchronous iterators, which run in the caller's event loop.

    For one event loop at a time; in the next one it begins anew. Use it as an asynchronous context manager. An
    iterator that is left before its end goes on until it is closed: `async with contextlib.aclosing(...)` does that.

    Args:
        servers: see `SandboxClient`, and so for the others.

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
        self._core: Core | None = None
        self._place: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._is_closed = False

    async def workers(self) -> int:
        """See `SandboxClient.workers`."""
        return await self._live().workers()

    async def enforcement(self) -> Enforcement:
        """See `SandboxClient.enforcement`."""
        return await self._live().enforcement()

    async def languages(self) -> tuple[str, ...]:
        """See `SandboxClient.languages`."""
        return await self._live().languages()

    async def run(
        self, code: str, stdin: str | bytes = b"", limits: Limits | None = None, language: str = PYTHON
    ) -> RunResult:
        """See `SandboxClient.run`."""
        return await self._live().one(Running(limits, language), (code, stdin))

    async def run_batch(
        self, programs: Iterable[Program], limits: Limits | None = None, language: str = PYTHON
    ) -> list[RunResult]:
        """See `SandboxClient.run_batch`."""
        return in_order([found async for found in self.run_as_completed(programs, limits, language)])

    def run_as_completed(
        self, programs: Iterable[Program], limits: Limits | None = None, language: str = PYTHON
    ) -> AsyncIterator[tuple[int, RunResult]]:
        """See `SandboxClient.run_as_completed`; input that is no list or tuple is read in a thread."""
        return self._as_completed(Running(limits, language), programs)

    async def judge(self, problem: Problem, code: str | None, **options: Unpack[JudgeOptions]) -> JudgeResult:
        """See `SandboxClient.judge`."""
        return await self._live().one(Judging(self._keys, **options), (problem, code))

    async def judge_batch(
        self, submissions: Iterable[Submission], **options: Unpack[JudgeOptions]
    ) -> list[JudgeResult]:
        """See `SandboxClient.judge_batch`."""
        return in_order([found async for found in self.judge_as_completed(submissions, **options)])

    def judge_as_completed(
        self, submissions: Iterable[Submission], **options: Unpack[JudgeOptions]
    ) -> AsyncIterator[tuple[int, JudgeResult]]:
        """See `SandboxClient.judge_as_completed`; input that is no list or tuple is read in a thread."""
        return self._as_completed(Judging(self._keys, **options), submissions)

    async def close(self) -> None:
        """See `SandboxClient.close`."""
        self._is_closed = True
        core, self._core = self._core, None
        if core is not None and self._place == _here():
            await core.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _live(self) -> Core:
        if self._is_closed:
            raise ClosedError("this AsyncSandboxClient is closed; make a new one")
        if self._core is None or self._place != _here():
            self._core, self._place = Core(self._settings), _here()
        return self._core

    async def _as_completed(
        self, work: Work[Source, Result], sources: Iterable[Source]
    ) -> AsyncIterator[tuple[int, Result]]:
        core = self._live()
        reader = Sources(sources)
        batch = await core.open(work)
        try:
            with progress_bar(is_shown=self._settings.progress, total=reader.total) as advance:
                while not batch.is_over:
                    reading = asyncio.to_thread(reader.read, batch.room) if reader.may_block and batch.room else None
                    part = reader.read(batch.room) if reading is None else await reading
                    found = await batch.step(part.sources, are_last=part.are_last)
                    advance(len(found))
                    for each in found:
                        yield each
        finally:
            await core.end(batch)


def _here() -> tuple[int, asyncio.AbstractEventLoop]:
    return os.getpid(), asyncio.get_running_loop()
