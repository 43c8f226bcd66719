"""The sandbox as a Python object: a bounded queue before one slot per core."""

from __future__ import annotations

import asyncio
import concurrent.futures
import hashlib
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from containers.host import HostRuntime
from sandbox.errors import ClosedError, InfrastructureError, ProblemError
from sandbox.limits import Limits
from sandbox.problem import Kind, Problem, StdioTest
from sandbox.result import JudgeResult, RunResult, TestResult
from sandbox.slot import Enforcement, Runtime, Slot
from sandbox.verdict import Verdict, strongest
from sandbox.worker.tests import TestCodeError, compile_tests

Isolation = Literal["submission", "test"]
Submission = tuple[Problem, str | None]
DEFAULT_PACKAGES = ("numpy", "sortedcontainers")
_TRIES = 3
_QUEUED_PER_SLOT = 4
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Job:
    """A request on its way to a slot."""

    request: dict[str, Any]
    problem: Mapping[str, Any] | None
    future: concurrent.futures.Future[dict[str, Any]]


class Sandbox:
    """Runs and judges programs, each in namespaces of its own. Thread-safe; use it as a context manager.

    Args:
        workers: slots, each running one program at a time. None: one per core this process may use.
        packages: third-party packages of this environment that programs may import.
        runtime: where programs run. None: under this host's own Python, with `packages`.

    Raises:
        UnsupportedHostError: a required guard is missing; nothing runs with less.
        MissingPackageError: a package is not installed.
    """

    def __init__(
        self,
        workers: int | None = None,
        packages: Sequence[str] = DEFAULT_PACKAGES,
        runtime: Runtime | None = None,
    ) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers is {workers}; at least 1 is needed")
        self._runtime = runtime if runtime is not None else HostRuntime(packages=tuple(packages))
        self.workers = workers if workers is not None else len(os.sched_getaffinity(0))
        first = Slot(self._runtime)
        self.enforcement: Enforcement = first.enforcement
        self._queue: queue.Queue[_Job | None] = queue.Queue(self.workers * _QUEUED_PER_SLOT)
        self._closed = threading.Event()
        self._slots: dict[int, Slot] = {0: first}
        self._problems: dict[int, tuple[Problem, str, Mapping[str, Any]]] = {}
        self._threads = [
            threading.Thread(target=self._serve, args=(index,), name=f"sandbox-slot-{index}", daemon=True)
            for index in range(self.workers)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, code: str, stdin: str | bytes = b"", limits: Limits | None = None) -> RunResult:
        """Run a script with nothing to compare.

        Raises:
            InfrastructureError: the host failed three times.
            ClosedError: the sandbox is closed.
        """
        return self._submit_run(code, stdin, limits).result()

    def judge(
        self,
        problem: Problem,
        code: str | None,
        *,
        stop_on_first_failure: bool = False,
        isolate: Isolation = "submission",
    ) -> JudgeResult:
        """Judge one program.

        Args:
            problem: what it is judged by.
            code: the program; None, where a completion held no code, is judged NO_CODE.
            stop_on_first_failure: the tests after the first that fails are SKIPPED.
            isolate: `submission`: one candidate runs all tests, a fresh one follows each that died;
                `test`: each test has its own.

        Raises:
            InfrastructureError: the host failed three times.
            ProblemError: the tests or the prelude are no Python.
            ClosedError: the sandbox is closed.
        """
        return self._submit(problem, code, stop_on_first_failure, isolate).result()

    def judge_batch(
        self,
        submissions: Iterable[Submission],
        *,
        stop_on_first_failure: bool = False,
        isolate: Isolation = "submission",
    ) -> list[JudgeResult]:
        """Judge many, in parallel; results in input order. Raises as `judge`."""
        found = dict(self.judge_as_completed(submissions, stop_on_first_failure=stop_on_first_failure, isolate=isolate))
        return [found[index] for index in range(len(found))]

    def judge_as_completed(
        self,
        submissions: Iterable[Submission],
        *,
        stop_on_first_failure: bool = False,
        isolate: Isolation = "submission",
    ) -> Iterator[tuple[int, JudgeResult]]:
        """Judge many, in parallel; (input index, result) as they finish. Input is read as slots get free.

        Raises as `judge`.
        """
        pending: dict[concurrent.futures.Future[JudgeResult], int] = {}
        try:
            for index, (problem, code) in enumerate(submissions):
                pending[self._submit(problem, code, stop_on_first_failure, isolate)] = index
                if len(pending) >= self.workers * _QUEUED_PER_SLOT:
                    yield from _take_finished(pending)
            while pending:
                yield from _take_finished(pending)
        finally:
            for future in pending:
                future.cancel()

    async def run_async(self, code: str, stdin: str | bytes = b"", limits: Limits | None = None) -> RunResult:
        """`run` without blocking the event loop."""
        return await asyncio.wrap_future(await asyncio.to_thread(self._submit_run, code, stdin, limits))

    async def judge_async(
        self,
        problem: Problem,
        code: str | None,
        *,
        stop_on_first_failure: bool = False,
        isolate: Isolation = "submission",
    ) -> JudgeResult:
        """`judge` without blocking the event loop."""
        submitted = await asyncio.to_thread(self._submit, problem, code, stop_on_first_failure, isolate)
        return await asyncio.wrap_future(submitted)

    async def judge_batch_async(
        self,
        submissions: Iterable[Submission],
        *,
        stop_on_first_failure: bool = False,
        isolate: Isolation = "submission",
    ) -> list[JudgeResult]:
        """`judge_batch` without blocking the event loop."""
        results = self.judge_as_completed_async(
            submissions, stop_on_first_failure=stop_on_first_failure, isolate=isolate
        )
        found = {index: result async for index, result in results}
        return [found[index] for index in range(len(found))]

    async def judge_as_completed_async(
        self,
        submissions: Iterable[Submission],
        *,
        stop_on_first_failure: bool = False,
        isolate: Isolation = "submission",
    ) -> AsyncIterator[tuple[int, JudgeResult]]:
        """`judge_as_completed` without blocking the event loop."""
        results = self.judge_as_completed(submissions, stop_on_first_failure=stop_on_first_failure, isolate=isolate)
        while True:
            following = await asyncio.to_thread(next, results, None)
            if following is None:
                return
            yield following

    def close(self) -> None:
        """End every slot and fail what is pending; returns when no process is left."""
        if self._closed.is_set():
            return
        self._closed.set()
        for slot in list(self._slots.values()):
            slot.interrupt()
        for thread in self._threads:
            thread.join()
        self._fail_queued()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _submit_run(self, code: str, stdin: str | bytes, limits: Limits | None) -> concurrent.futures.Future[RunResult]:
        data = stdin.encode("utf-8", "surrogateescape") if isinstance(stdin, str) else stdin
        request = {"op": "run", "code": code, "stdin": data, "limits": _plain_limits(limits or Limits())}
        return _then(self._enqueue(request, None), self._run_result)

    def _submit(
        self, problem: Problem, code: str | None, stop_on_first_failure: bool, isolate: Isolation
    ) -> concurrent.futures.Future[JudgeResult]:
        if isolate not in ("submission", "test"):
            raise ValueError(f"isolate is {isolate!r}; it must be 'submission' or 'test'")
        key, definition = self._definition(problem)
        if code is None:
            future: concurrent.futures.Future[JudgeResult] = concurrent.futures.Future()
            future.set_result(self._no_code(problem))
            return future
        request = {
            "op": "judge",
            "key": key,
            "code": code,
            "limits": _plain_limits(problem.limits),
            "stop_on_first_failure": stop_on_first_failure,
            "isolate_tests": isolate == "test",
        }
        return _then(self._enqueue(request, definition), self._judge_result)

    def _definition(self, problem: Problem) -> tuple[str, Mapping[str, Any]]:
        """The problem's content hash and its plain form, remembered while the object lives."""
        known = self._problems.get(id(problem))
        if known is not None and known[0] is problem:
            return known[1], known[2]
        tests = [(test.stdin, test.stdout) if isinstance(test, StdioTest) else test for test in problem.tests]
        plain = {
            "kind": problem.kind.value,
            "prelude": problem.prelude,
            "tests": tests,
            "entry_point": problem.entry_point,
            "checker": problem.checker,
        }
        key = hashlib.blake2b(repr(plain).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        if len(self._problems) >= 4096:
            self._problems.clear()
        self._problems[id(problem)] = (problem, key, plain)
        return key, plain

    def _enqueue(
        self, request: dict[str, Any], problem: Mapping[str, Any] | None
    ) -> concurrent.futures.Future[dict[str, Any]]:
        job = _Job(request, problem, concurrent.futures.Future())
        while not self._closed.is_set():
            try:
                self._queue.put(job, timeout=0.2)
            except queue.Full:
                continue
            if self._closed.is_set():
                self._fail_queued()
            return job.future
        raise ClosedError("this Sandbox is closed; make a new one")

    def _serve(self, index: int) -> None:
        """A slot's thread: takes jobs, replaces the slot when it fails."""
        while not self._closed.is_set():
            try:
                job = self._queue.get(timeout=0.2)
            except queue.Empty:
                continue
            if job is None or not job.future.set_running_or_notify_cancel():
                continue
            try:
                job.future.set_result(self._answer(index, job))
            except BaseException as error:  # noqa: BLE001 - to whoever waits for the result
                job.future.set_exception(error)
        slot = self._slots.pop(index, None)
        if slot is not None:
            slot.close()

    def _answer(self, index: int, job: _Job) -> dict[str, Any]:
        last: Exception | None = None
        for _ in range(_TRIES):
            if self._closed.is_set():
                raise ClosedError("the sandbox was closed before the program was judged")
            try:
                if index not in self._slots:
                    self._slots[index] = Slot(self._runtime)
                answer = self._slots[index].request(job.request, job.problem)
            except InfrastructureError as error:
                last = error
                failed = self._slots.pop(index, None)
                if failed is not None:
                    failed.close()
                continue
            if "problem" in answer:
                raise ProblemError(answer["problem"])
            return answer
        if self._closed.is_set():
            raise ClosedError("the sandbox was closed before the program was judged")
        raise InfrastructureError(f"the host failed {_TRIES} times, the last time: {last}") from last

    def _fail_queued(self) -> None:
        while True:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                return
            if job is not None and job.future.set_running_or_notify_cancel():
                job.future.set_exception(ClosedError("the sandbox was closed before the program was judged"))

    def _run_result(self, answer: dict[str, Any]) -> RunResult:
        return RunResult(
            verdict=Verdict(answer["verdict"]),
            stdout=answer["stdout"],
            stderr=answer["stderr"],
            exit_code=answer["exit_code"],
            message=answer["message"],
            cpu_s=answer["cpu_ns"] / 1e9,
            wall_s=answer["wall_ns"] / 1e9,
            peak_memory_bytes=answer["peak_bytes"],
            enforcement=self.enforcement.level,
        )

    def _judge_result(self, answer: dict[str, Any]) -> JudgeResult:
        tests = tuple(
            TestResult(verdict=Verdict(verdict), message=message, wall_s=test_wall_s)
            for verdict, message, test_wall_s in answer["tests"]
        )
        return JudgeResult(
            verdict=strongest(test.verdict for test in tests),
            passed=sum(test.verdict is Verdict.AC for test in tests),
            total=len(tests),
            tests=tests,
            message=next((test.message for test in tests if test.verdict is not Verdict.AC), ""),
            cpu_s=answer["cpu_ns"] / 1e9,
            wall_s=sum(test.wall_s for test in tests),
            peak_memory_bytes=answer["peak_bytes"],
            enforcement=self.enforcement.level,
            tamper_proof=True,
        )

    def _no_code(self, problem: Problem) -> JudgeResult:
        return JudgeResult(
            verdict=Verdict.NO_CODE,
            passed=0,
            total=_count_tests(problem),
            tests=(),
            message="the completion holds no code",
            cpu_s=0.0,
            wall_s=0.0,
            peak_memory_bytes=0,
            enforcement=self.enforcement.level,
            tamper_proof=True,
        )


def _count_tests(problem: Problem) -> int:
    if problem.kind is Kind.STDIO:
        return len(problem.tests)
    try:
        return compile_tests([test for test in problem.tests if isinstance(test, str)]).total
    except TestCodeError as error:
        raise ProblemError(f"problem {problem.id!r}: {error}") from None


def _plain_limits(limits: Limits) -> dict[str, Any]:
    plain = asdict(limits)
    if plain["total_cpu_s"] is None:
        plain["total_cpu_s"] = 10 * limits.cpu_s
    return plain


def _then(
    source: concurrent.futures.Future[dict[str, Any]], convert: Callable[[dict[str, Any]], _T]
) -> concurrent.futures.Future[_T]:
    """A future of the converted result; cancelling it before it runs cancels the source."""
    target: concurrent.futures.Future[_T] = concurrent.futures.Future()

    def finish(done: concurrent.futures.Future[dict[str, Any]]) -> None:
        if not target.set_running_or_notify_cancel():
            return
        try:
            target.set_result(convert(done.result()))
        except BaseException as error:  # noqa: BLE001 - to whoever waits for the target
            target.set_exception(error)

    source.add_done_callback(finish)
    target.add_done_callback(lambda done: source.cancel() if done.cancelled() else None)
    return target


def _take_finished(
    pending: dict[concurrent.futures.Future[JudgeResult], int],
) -> Iterator[tuple[int, JudgeResult]]:
    done, _ = concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED)
    for future in done:
        index = pending.pop(future)
        yield index, future.result()
