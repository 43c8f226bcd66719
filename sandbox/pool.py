"""The sandbox as a Python object: a bounded queue before one slot per core."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import Future
from functools import cached_property
from types import TracebackType
from typing import Self, Unpack

from containers.host import HostRuntime
from containers.runtime import Runtime
from sandbox.allotment import allotment
from sandbox.crew import QUEUED_PER_SLOT, Activity, Crew
from sandbox.errors import ProblemError
from sandbox.futures import Stoppable, as_completed, in_order, in_thread, then
from sandbox.level import Level
from sandbox.limits import Limits
from sandbox.messages import (
    Message,
    definition,
    host_failed_result,
    judge_request,
    judge_result,
    no_code_result,
    run_request,
    run_result,
)
from sandbox.options import Isolation, JudgeOptions, OnHostFailure, check_options, check_text, stdin_bytes
from sandbox.per_problem import PerProblem
from sandbox.problem import Problem
from sandbox.result import JudgeResult, RunResult
from sandbox.slot import Enforcement
from sandbox.surroundings import NOTHING, Surroundings
from sandbox.syntax import check_entry_point
from sandbox.worker.languages import PYTHON, check_known

Submission = tuple[Problem, str | None]
Program = tuple[str, str | bytes]
"""Code and its stdin."""
DEFAULT_PACKAGES = ("numpy", "sortedcontainers")
log = logging.getLogger(__name__)


class Sandbox:
    """Runs and judges programs, each in namespaces of its own. Thread-safe; use it as a context manager.

    Args:
        workers: slots, each running one program at a time. None: one per CPU that this process may use, if
            memory allows; see `sandbox.allotment`.
        packages: third-party packages of this environment that programs may import.
        runtime: where programs run. None: under this host's own Python, with `packages`.
        level: what must hold; see `Level`. Only who names `landlock` gets it.

    Raises:
        UnsupportedHostError: a required guard is missing; nothing runs with less.
        InfrastructureError: the host could not start a slot.
        MissingPackageError: a package is not installed.
    """

    def __init__(
        self,
        workers: int | None = None,
        packages: Sequence[str] = DEFAULT_PACKAGES,
        runtime: Runtime | None = None,
        level: Level | str = Level.USERNS,
    ) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers is {workers}; at least 1 is needed")
        self._runtime = runtime if runtime is not None else HostRuntime(packages=tuple(packages))
        self.workers = workers if workers is not None else _workers_of_this_process()
        self._level = Level(level)
        self._crew = Crew(self._runtime, self._level, self.workers)
        self.enforcement: Enforcement = self._crew.enforcement
        self._definitions = PerProblem(self._defined)

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Names of the languages whose programs can run here, measured by running one in each.

        Raises:
            InfrastructureError: the host failed, and went on failing for ten seconds.
            ClosedError: the sandbox is closed.
        """
        faults = self._crew.submit({"op": "languages"}, None).result()["languages"]
        return tuple(name for name, fault in faults.items() if not fault)

    def run(
        self, code: str, stdin: str | bytes = b"", limits: Limits | None = None, language: str = PYTHON
    ) -> RunResult:
        """Run a program with nothing to compare.

        Raises:
            InfrastructureError: the host failed, and went on failing for ten seconds.
            UnsupportedLanguageError: the runtime cannot run programs in this language.
            ClosedError: the sandbox is closed.
            ValueError: there is no such language.
        """
        return self.submit_run(code, stdin, limits, language).result()

    def run_batch(
        self, programs: Iterable[Program], limits: Limits | None = None, language: str = PYTHON
    ) -> list[RunResult]:
        """Run many programs, each with its stdin, in parallel; results in input order. Raises as `run`."""
        return in_order(self.run_as_completed(programs, limits, language))

    def run_as_completed(
        self, programs: Iterable[Program], limits: Limits | None = None, language: str = PYTHON
    ) -> Stoppable[tuple[int, RunResult]]:
        """Run many programs; (input index, result) as they finish. Input is read as slots get free. Raises as `run`."""
        check_known(language)
        return as_completed((self.submit_run(code, stdin, limits, language) for code, stdin in programs), self._most)

    def judge(
        self,
        problem: Problem,
        code: str | None,
        **options: Unpack[JudgeOptions],
    ) -> JudgeResult:
        """Judge one program.

        Args:
            problem: what it is judged by.
            code: the program; None, where a completion held no code, is judged NO_CODE.
            **options: see `JudgeOptions`.

        Raises:
            InfrastructureError: the host failed, and went on failing for ten seconds.
            ProblemError: the tests, the prelude or the entry point are no Python.
            UnsupportedLanguageError: the runtime cannot run programs in the problem's language.
            ClosedError: the sandbox is closed.
        """
        return self.submit(problem, code, **options).result()

    def judge_batch(
        self,
        submissions: Iterable[Submission],
        **options: Unpack[JudgeOptions],
    ) -> list[JudgeResult]:
        """Judge many, in parallel; results in input order. Raises as `judge`."""
        return in_order(self.judge_as_completed(submissions, **options))

    def judge_as_completed(
        self,
        submissions: Iterable[Submission],
        **options: Unpack[JudgeOptions],
    ) -> Stoppable[tuple[int, JudgeResult]]:
        """Judge many, in parallel; (input index, result) as they finish. Input is read as slots get free.

        Raises as `judge`.
        """
        futures = (self.submit(problem, code, **options) for problem, code in submissions)
        return as_completed(futures, self._most)

    async def run_async(
        self, code: str, stdin: str | bytes = b"", limits: Limits | None = None, language: str = PYTHON
    ) -> RunResult:
        """`run` without blocking the event loop."""
        return await asyncio.wrap_future(await asyncio.to_thread(self.submit_run, code, stdin, limits, language))

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

    async def judge_async(
        self,
        problem: Problem,
        code: str | None,
        **options: Unpack[JudgeOptions],
    ) -> JudgeResult:
        """`judge` without blocking the event loop."""
        submitted = await asyncio.to_thread(self.submit, problem, code, **options)
        return await asyncio.wrap_future(submitted)

    async def judge_batch_async(
        self,
        submissions: Iterable[Submission],
        **options: Unpack[JudgeOptions],
    ) -> list[JudgeResult]:
        """`judge_batch` without blocking the event loop."""
        results = self.judge_as_completed_async(submissions, **options)
        return in_order([found async for found in results])

    def judge_as_completed_async(
        self,
        submissions: Iterable[Submission],
        **options: Unpack[JudgeOptions],
    ) -> AsyncIterator[tuple[int, JudgeResult]]:
        """`judge_as_completed` without blocking the event loop."""
        return in_thread(self.judge_as_completed(submissions, **options))

    def submit_run(
        self,
        code: str,
        stdin: str | bytes = b"",
        limits: Limits | None = None,
        language: str = PYTHON,
        surroundings: Surroundings = NOTHING,
    ) -> Future[RunResult]:
        """`run`, whose result is waited for elsewhere; waits while the queue is full. Its future raises as `run`.

        Args:
            surroundings: arguments and files; at level `landlock` there can be no files.

        Raises:
            ClosedError: the sandbox is closed.
            ValueError: there is no such language, or a file cannot be given.
        """
        check_known(language)
        surroundings.check(language, self._level)
        check_text("code", code)
        request = run_request(code, stdin_bytes(stdin), limits or Limits(), language, surroundings)
        answer = self._crew.submit(request, None)
        return then(answer, lambda answer: run_result(answer, self.enforcement.level))

    def submit(
        self,
        problem: Problem,
        code: str | None,
        *,
        stop_on_first_failure: bool = False,
        isolate: Isolation = "submission",
        on_host_failure: OnHostFailure = "raise",
    ) -> Future[JudgeResult]:
        """`judge`, whose result is waited for elsewhere; waits while the queue is full. Its future raises as `judge`.

        Raises:
            ProblemError: the tests, the prelude or the entry point are no Python.
            ClosedError: the sandbox is closed.
        """
        check_options(isolate, on_host_failure)
        if code is not None:
            check_text("code", code)
        key, plain = self._definitions.of(problem)
        level = self.enforcement.level
        if code is None:
            future: Future[JudgeResult] = Future()
            future.set_result(no_code_result(problem, level))
            return future
        request = judge_request(
            key,
            code,
            problem.limits,
            language=problem.language,
            stop_on_first_failure=stop_on_first_failure,
            isolate_tests=isolate == "test",
        )
        answer = self._crew.submit(request, (problem.id, plain))
        recover = None
        if on_host_failure == "return":
            recover = lambda error: host_failed_result(problem, level, str(error))
        return then(answer, lambda answer: judge_result(answer, problem, level), recover)

    @property
    def activity(self) -> Activity:
        """What the slots are doing, and what has happened to them since the sandbox was made."""
        return self._crew.activity

    def close(self) -> None:
        """End every slot and fail what is pending; returns when no process is left."""
        self._crew.close()

    async def close_async(self) -> None:
        """`close` without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _most(self) -> int:
        """Of one batch's programs that run or wait at a time."""
        return self.workers * QUEUED_PER_SLOT

    def _defined(self, problem: Problem) -> tuple[str, Message]:
        """`definition`. Raises ProblemError where the entry point is of no use."""
        check_entry_point(problem)
        if self._level is Level.LANDLOCK and problem.checker is not None and problem.checker.program is not None:
            reason = "a checker program reads files, which no program at level 'landlock' can be given"
            raise ProblemError(problem.id, "checker", reason)
        return definition(problem)


def _workers_of_this_process() -> int:
    own = allotment()
    if own.why_fewer:
        log.debug("%d workers: %s", own.workers, own.why_fewer)
    return own.workers
