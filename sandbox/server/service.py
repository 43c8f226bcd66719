"""What every route asks for: submissions judged and programs run, in fair turns and under the server's maxima."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from typing import Unpack

from starlette.requests import Request as HttpRequest

from sandbox.limits import Limits
from sandbox.options import JudgeOptions
from sandbox.pool import Program, Sandbox, Submission
from sandbox.result import JudgeResult, RunResult
from sandbox.server.dispatch import Dispatcher, Request
from sandbox.server.errors import InvalidError, LimitError
from sandbox.server.logs import log_programs
from sandbox.server.problems import Problems
from sandbox.server.retained import Retained
from sandbox.server.settings import Settings
from sandbox.server.versions import Versions
from sandbox.server.work import Keep, Observer, Work
from sandbox.surroundings import NOTHING, Surroundings
from sandbox.worker.languages import PYTHON


class Service:
    """The sandbox behind a server's routes. Lives in one event loop.

    Args:
        sandbox: stays the caller's to close.
        observer: see `Dispatcher`.
    """

    def __init__(self, sandbox: Sandbox, settings: Settings, observer: Observer) -> None:
        self.sandbox = sandbox
        self.settings = settings
        self.problems = Problems(settings.problems_bytes)
        self.versions = Versions(sandbox)
        self.retained = Retained(settings.retained_bytes, settings.retained_s)
        self.dispatcher = Dispatcher(sandbox, settings.queued, observer, settings.unsent_bytes)

    def judge(
        self,
        client: str,
        submissions: Sequence[Submission],
        keep: Keep[JudgeResult] | None = None,
        **options: Unpack[JudgeOptions],
    ) -> Request[JudgeResult]:
        """Judge submissions.

        Args:
            keep: see `Work`.

        Raises:
            LimitError: a problem's limits are above the server's.
            OverloadedError, TooLargeError, DrainingError: see `Dispatcher.open`.
        """
        for problem in {id(problem): problem for problem, _ in submissions}.values():
            self.check_limits(problem.limits)
        tasks = [partial(self.sandbox.submit, problem, code, **options) for problem, code in submissions]
        if self.settings.logs_programs:
            log_programs([code for _, code in submissions])
        ids = [problem.id for problem, _ in submissions]
        return self.dispatcher.open(client, Work(tasks=tasks, size=_judge_size, problem_ids=ids, keep=keep))

    def run(
        self,
        client: str,
        programs: Sequence[Program],
        limits: Limits,
        language: str = PYTHON,
        keep: Keep[RunResult] | None = None,
        *,
        surroundings: Surroundings = NOTHING,
    ) -> Request[RunResult]:
        """Run programs, each in the same surroundings.

        Args:
            keep: see `Work`.

        Raises:
            InvalidError: a file cannot be given.
            LimitError: the limits are above the server's.
            OverloadedError, TooLargeError, DrainingError: see `Dispatcher.open`.
        """
        self.check_limits(limits)
        if self.settings.logs_programs:
            log_programs([code for code, _ in programs])
        try:
            surroundings.check(language, self.sandbox.enforcement.level)
        except ValueError as error:
            raise InvalidError(str(error)) from None
        run = partial(self.sandbox.submit_run, limits=limits, language=language, surroundings=surroundings)
        tasks = [partial(run, code, stdin) for code, stdin in programs]
        return self.dispatcher.open(client, Work(tasks=tasks, size=_run_size, keep=keep))

    def check_limits(self, limits: Limits) -> None:
        """Raises LimitError where they are above the server's."""
        for field in fields(Limits):
            most, value = getattr(self.settings.max_limits, field.name), getattr(limits, field.name)
            if value is None:  # total_cpu_s, which is 10 times cpu_s then
                value = 10 * limits.cpu_s
            if most is not None and value > most:
                raise LimitError(field.name, value, most)


def service_of(request: HttpRequest) -> Service:
    """The service of the server that a request came to."""
    service: Service = request.app.state.service
    return service


def _judge_size(result: JudgeResult) -> int:
    return sum(len(test.message) for test in result.tests) + 100 * len(result.tests)


def _run_size(result: RunResult) -> int:
    return len(result.stdout) + len(result.stderr)
