"""The native API; see `sandbox.wire`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from sandbox.errors import SandboxError
from sandbox.pool import Submission
from sandbox.problem import Problem
from sandbox.records import LimitsRecord, ResultRecord
from sandbox.records import Submission as SubmissionOf
from sandbox.result import JudgeResult, RunResult
from sandbox.server.batch import Batch, answer
from sandbox.server.body import client_of
from sandbox.server.dispatch import Request
from sandbox.server.errors import InvalidError
from sandbox.server.json_route import JsonRoute
from sandbox.server.problems import check
from sandbox.server.service import Service, service_of
from sandbox.server.work import Keep
from sandbox.wire import (
    API_VERSION,
    NDJSON,
    ErrorAnswer,
    Info,
    JudgeAnswer,
    JudgeBody,
    JudgeRow,
    ProblemsAnswer,
    ProblemsBody,
    RowError,
    RunAnswer,
    RunBody,
    RunRecord,
    RunRow,
)
from sandbox.worker.languages import check_known

router = APIRouter(
    prefix="/v1",
    route_class=JsonRoute,
    dependencies=[Depends(HTTPBearer(auto_error=False))],  # for the description: TokenGuard has asked before
    responses={"4XX": {"model": ErrorAnswer}, 422: {"model": ErrorAnswer}, 503: {"model": ErrorAnswer}},
)


async def _here(request: HttpRequest) -> Service:
    return service_of(request)  # FastAPI calls what is not asynchronous in a thread


Here = Annotated[Service, Depends(_here)]
IdempotencyKey = Annotated[str | None, Header(description="A repeated request with the same key runs what is missing.")]


def _lines_of(row: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """What the description says of answers that come as lines."""
    schema = {"$ref": f"#/components/schemas/{row.__name__}"}
    return {200: {"content": {NDJSON: {"schema": schema}}}}


@router.get("/info")
async def info(service: Here, *, with_languages: bool = True) -> Info:
    """What this server is and does."""
    settings = service.settings
    enforcement = service.sandbox.enforcement
    return Info(
        api=API_VERSION,
        version=version("qrpo-sandbox"),
        workers=service.sandbox.workers,
        enforcement=enforcement.level,
        guards=list(enforcement.guards),
        absent=dict(enforcement.absent),
        python=enforcement.python,
        languages=list(await run_in_threadpool(lambda: service.sandbox.languages)) if with_languages else None,
        max_limits=LimitsRecord.from_limits(settings.max_limits),
        max_submissions=settings.queued // 2,
        max_body_bytes=settings.body_bytes,
    )


@router.put("/problems")
async def put_problems(
    service: Here,
    body: Annotated[
        ProblemsBody,
        Body(examples=[{"problems": [{"id": "add", "tests": ["assert add(2, 2) == 4", "assert add(-1, 1) == 0"]}]}]),
    ],
) -> ProblemsAnswer:
    """Hold problems; all are checked before any is taken."""
    return ProblemsAnswer(keys=service.problems.hold(await run_in_threadpool(check, body.problems)))


@router.post("/judge", response_model=JudgeAnswer, responses=_lines_of(JudgeRow))
async def judge(
    service: Here,
    request: HttpRequest,
    body: Annotated[
        JudgeBody,
        Body(
            examples=[
                {"submissions": [{"problem": "0" * 64, "code": "def add(a, b):\n    return a + b", "id": "mine"}]}
            ]
        ),
    ],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Judge submissions to problems that the server holds."""
    problems = service.problems.get(submission.problem for submission in body.submissions)
    if body.limits is not None:
        problems = {key: _with_limits(problem, body.limits) for key, problem in problems.items()}
    submissions = [(problems[submission.problem], submission.text()) for submission in body.submissions]

    def start(places: Sequence[int], keep: Keep[JudgeResult] | None) -> Request[JudgeResult]:
        return service.judge(
            client_of(request),
            [submissions[place] for place in places],
            keep,
            stop_on_first_failure=body.stop_on_first_failure,
            isolate=body.isolate,
        )

    ids = [submission.id for submission in body.submissions]
    return await answer(request, Batch(len(submissions), start, partial(_judge_row, submissions, ids)), idempotency_key)


@router.post("/run", response_model=RunAnswer, responses=_lines_of(RunRow))
async def run(
    service: Here,
    request: HttpRequest,
    body: Annotated[
        RunBody,
        Body(examples=[{"programs": [{"code": "print(input()[::-1])", "stdin": "olleh"}], "limits": {"cpu_s": 2}}]),
    ],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Run programs with nothing to compare."""
    try:
        check_known(body.language)
        limits = body.limits.to_limits()
    except ValueError as error:
        raise InvalidError(str(error)) from None
    programs = [(program.text(), program.stdin_bytes()) for program in body.programs]

    def start(places: Sequence[int], keep: Keep[RunResult] | None) -> Request[RunResult]:
        return service.run(client_of(request), [programs[place] for place in places], limits, body.language, keep)

    return await answer(request, Batch(len(programs), start, _run_row), idempotency_key)


def _with_limits(problem: Problem, record: LimitsRecord) -> Problem:
    try:
        return replace(problem, limits=replace(problem.limits, **record.model_dump(exclude_none=True)))
    except ValueError as error:
        raise InvalidError(f"limits of problem {problem.id!r}: {error}") from None


def _judge_row(
    submissions: Sequence[Submission], ids: Sequence[str | None], place: int, outcome: JudgeResult | SandboxError
) -> JudgeRow:
    if isinstance(outcome, SandboxError):
        return JudgeRow(index=place, error=RowError.from_error(outcome))
    problem, code = submissions[place]
    return JudgeRow(index=place, result=ResultRecord.from_result(SubmissionOf(problem, code, ids[place]), outcome))


def _run_row(place: int, outcome: RunResult | SandboxError) -> RunRow:
    if isinstance(outcome, SandboxError):
        return RunRow(index=place, error=RowError.from_error(outcome))
    return RunRow(index=place, result=RunRecord.from_result(outcome))
