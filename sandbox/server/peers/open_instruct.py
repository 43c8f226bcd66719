"""The routes of open-instruct's code API, for its CodeVerifier.

Source: open_instruct/code_utils. The tests stay outside of the program's process, and programs are not refused for
words in their text (`import os`), as they are there.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Body
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from sandbox.checker import Checker, Compare
from sandbox.problem import Kind
from sandbox.records import CheckerRecord, LimitsRecord, ProblemRecord, StdioTestRecord
from sandbox.result import JudgeResult
from sandbox.server.body import client_of
from sandbox.server.errors import InvalidError
from sandbox.server.native import Here
from sandbox.server.peers.encoded_tests import decode
from sandbox.server.peers.routing import (
    Detail,
    collected,
    limits_under,
    problem_of,
    results_of,
    route_class,
    with_detail,
)
from sandbox.server.service import Service
from sandbox.syntax import parse
from sandbox.verdict import Verdict

_NOT_PYTHON = "assert False, 'this test is not Python'"
_REACHED = ast.parse("assert 1 == 1")
"""What a piece that asserts nothing has to live through."""
_NUMBERS = CheckerRecord.from_checker(Checker(compare=Compare.FLOATS, abs_tol=0.0, rel_tol=0.0))
"""1.0 is 1.00, as there; but 1.0 is not 1, nor do line ends count."""
_FAILED_S = -1.0
"""The run time of a test that did not pass."""

router = APIRouter(
    tags=["open-instruct"],
    route_class=route_class(with_detail),
    responses={415: {"model": Detail}, 422: {"model": Detail}, 429: {"model": Detail}, 503: {"model": Detail}},
)


class TestsBody(BaseModel):
    """A program and its tests."""

    program: str
    tests: list[object] | str | None
    """A list, or that list as JSON, or pickled, compressed and in base64."""
    max_execution_time: float = 1.0
    """CPU time for each test, s, and as much idle time."""


class TestsAnswer(BaseModel):
    """One entry for each test."""

    results: list[Literal[0, 1]]
    runtimes: list[float]
    """Wall time, s; -1 where the test did not pass."""


class Health(BaseModel):
    """Whether the server is there."""

    status: str


@router.get("/health", summary="The server is there")
async def health() -> Health:
    """The server is there."""
    return Health(status="healthy")


@router.post("/test_program", response_model=TestsAnswer, summary="Test functions")
async def test_program(
    service: Here,
    request: HttpRequest,
    body: Annotated[
        TestsBody,
        Body(examples=[{"program": "def add(a, b):\n    return a + b", "tests": ["assert add(1, 2) == 3"]}]),
    ],
) -> Response:
    """Judge a program by pieces of Python, each of which is one test."""
    return await _judged(service, request, body, _function_tests)


@router.post("/test_program_stdio", response_model=TestsAnswer, summary="Test a script")
async def test_program_stdio(
    service: Here,
    request: HttpRequest,
    body: Annotated[
        TestsBody,
        Body(examples=[{"program": "print(int(input()) + 1)", "tests": [{"input": "1\n", "output": "2\n"}]}]),
    ],
) -> Response:
    """Judge a program by what it writes."""
    return await _judged(service, request, body, _stdio_tests)


Read = Callable[[list[object]], ProblemRecord]


async def _judged(service: Service, request: HttpRequest, body: TestsBody, read: Read) -> Response:
    tests = body.tests or []
    if isinstance(tests, str):
        try:
            tests = await run_in_threadpool(decode, tests, service.settings.body_bytes)
        except ValueError as error:
            raise InvalidError(f"tests: {error}") from None
    if not tests:
        return _answer(TestsAnswer(results=[], runtimes=[]))
    limits = limits_under(service.settings, timeout_s=body.max_execution_time, tests=len(tests))
    try:
        content = json.dumps([read.__name__, body.tests, body.max_execution_time])
    except RecursionError:  # where they were decoded, the stack was shorter
        raise InvalidError("tests: nested too deep") from None
    key = hashlib.sha256(content.encode()).hexdigest()
    problem = await problem_of(
        service, key, lambda: read(tests).model_copy(update={"limits": LimitsRecord.from_limits(limits)})
    )
    (result,) = results_of(await collected(request, service.judge(client_of(request), [(problem, body.program)])))
    return _answer(answer_of(result))


def answer_of(result: JudgeResult) -> TestsAnswer:
    """The answer that tells a result."""
    passed = [test.verdict is Verdict.AC for test in result.tests]
    runtimes = [test.wall_s if is_passed else _FAILED_S for test, is_passed in zip(result.tests, passed, strict=True)]
    return TestsAnswer(results=[1 if is_passed else 0 for is_passed in passed], runtimes=runtimes)


def _answer(answer: TestsAnswer) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


def _function_tests(tests: list[object]) -> ProblemRecord:
    pieces = [test for test in tests if isinstance(test, str)]
    if len(pieces) < len(tests):
        raise InvalidError("tests: each must be a text of Python")
    return ProblemRecord(id="tests", tests=[one_test(piece) for piece in pieces])


def one_test(piece: str) -> str:
    """A piece of test code as a single statement that asserts, so that it is one test whatever it holds."""
    try:
        tree = parse(piece)
    except ValueError:
        return _NOT_PYTHON  # it fails for every program, as there
    if len(tree.body) == 1 and isinstance(tree.body[0], ast.Assert):
        return piece
    whole = ast.If(test=ast.Constant(value=True), body=[*tree.body, *_REACHED.body], orelse=[])
    return ast.unparse(whole)


def _stdio_tests(tests: list[object]) -> ProblemRecord:
    return ProblemRecord(
        id="tests", kind=Kind.STDIO.value, tests=[_stdio_test(test) for test in tests], checker=_NUMBERS
    )


def _stdio_test(test: object) -> StdioTestRecord:
    match test:
        case {"input": given, "output": expected}:
            return StdioTestRecord(stdin=_text(given), stdout=_text(expected))
        case _:
            raise InvalidError("tests: each must be an object of `input` and `output`")


def _text(value: object) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)
