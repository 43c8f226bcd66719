"""The routes of the sandbox that the authors of QRPO published, so that their client gets its rewards from this one.

Source: the client and server of the code to arXiv 2507.08068. Theirs counts an infrastructure failure as a reward of 0;
here the whole batch is answered by 503, at which their client raises: its job ends, and goes on from its checkpoint.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import time
from collections.abc import Iterator
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel, Field
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from sandbox.errors import ProblemError
from sandbox.limits import MIB
from sandbox.problem import Problem
from sandbox.records import LimitsRecord, ProblemRecord
from sandbox.server.body import client_of
from sandbox.server.errors import InvalidError
from sandbox.server.json_route import FAIL_FAST
from sandbox.server.native import Here
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

_FENCE = re.compile(r"```python(.*?)```", re.DOTALL)
"""Theirs: the first block is the program."""

router = APIRouter(
    tags=["QRPO authors"],
    route_class=route_class(with_detail),
    responses={
        415: {"model": Detail},
        400: {"model": Detail},
        422: {"model": Detail},
        429: {"model": Detail},
        503: {"model": Detail},
    },
)


class Config(BaseModel):
    """What each completion may use; their other settings are not read."""

    cpu_limit: int = 1
    time_limit: float = 1.0
    """CPU time for each test, s, and as much idle time."""
    memory_limit_mb_per_cpu: int = 1024
    max_tests: int = Field(100, ge=1)
    """Of a problem, the first."""


class BatchBody(BaseModel):
    """N completions for each of B problems."""

    pre_code: str
    """Runs before each program."""
    batch_ref_model_completions: Annotated[list[Annotated[list[str], FAIL_FAST]], FAIL_FAST]
    batch_entrypoints: Annotated[list[str], FAIL_FAST]
    batch_tests: Annotated[list[str], FAIL_FAST]
    """Texts of `def check(candidate)`."""
    config: Config


class BatchAnswer(BaseModel):
    """Rewards."""

    message: str
    results: list[list[float]]
    """[B][N]: the part of the tests that passed."""
    durations: list[list[float]]
    """[B][N]: wall time, s."""
    stdout: str = ""
    stderr: str = ""
    duration_seconds: float


class Welcome(BaseModel):
    """The server is there."""

    message: str


@router.get("/test", summary="The server is there")
async def test() -> Welcome:
    """The server is there."""
    return Welcome(message="qrpo-sandbox")


_EXAMPLE = {
    "pre_code": "from typing import *",
    "batch_ref_model_completions": [["```python\ndef add(a, b):\n    return a + b\n```", "I do not know."]],
    "batch_entrypoints": ["add"],
    "batch_tests": ["def check(candidate):\n    assert candidate(2, 2) == 4\n    assert candidate(-1, 1) == 0\n"],
    "config": {"cpu_limit": 1, "time_limit": 1, "memory_limit_mb_per_cpu": 1024, "max_tests": 100},
}


@router.post("/execute_batch_code/", response_model=BatchAnswer, summary="Rewards of completions")
async def execute_batch_code(
    service: Here, request: HttpRequest, body: Annotated[BatchBody, Body(examples=[_EXAMPLE])]
) -> Response:
    """Judge completions by the asserts of their problem's tests."""
    began_s = time.monotonic()
    sizes = [len(body.batch_ref_model_completions), len(body.batch_entrypoints), len(body.batch_tests)]
    if len(set(sizes)) > 1:
        raise InvalidError(
            f"{sizes[0]} lists of completions, {sizes[1]} entry points and {sizes[2]} tests: not one each"
        )
    common = hashlib.sha256(json.dumps([body.pre_code, body.config.model_dump_json()]).encode())  # once: it may be long
    problems = [await _problem(service, body, place, common.copy()) for place in range(sizes[0])]
    submissions = [
        (problem, code_of(completion))
        for problem, completions in zip(problems, body.batch_ref_model_completions, strict=True)
        for completion in completions
    ]
    results = []
    if submissions:
        results = results_of(await collected(request, service.judge(client_of(request), submissions)))
    rewards, walls = (result.pass_rate for result in results), (round(result.wall_s, 2) for result in results)
    answer = BatchAnswer(
        message="Batch evaluated successfully",
        results=_rows(rewards, body),
        durations=_rows(walls, body),
        duration_seconds=round(time.monotonic() - began_s, 2),
    )
    return Response(answer.model_dump_json(), media_type="application/json")


def code_of(completion: str) -> str | None:
    """The program in a completion; None where there is none, which fails all tests."""
    found = _FENCE.search(completion)
    return found[1] if found else None


def first_tests(text: str, count: int) -> str:
    """The text of `check(candidate)` without what comes after the last of so many statements that assert.

    Raises:
        ValueError: it is not Python.
    """
    tree = parse(text)
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "check":
            tests = [place for place, inner in enumerate(statement.body, 1) if _asserts(inner)]
            if len(tests) > count:
                del statement.body[tests[count - 1] :]
                return ast.unparse(tree)
    return text


def _asserts(statement: ast.stmt) -> bool:
    return any(isinstance(node, ast.Assert) for node in ast.walk(statement))


async def _problem(service: Service, body: BatchBody, place: int, key: hashlib._Hash) -> Problem:
    """One of a batch, made when it is first seen. Raises ProblemError, InvalidError.

    Args:
        key: of what all have in common; goes on with what is its own.
    """
    tests, entry_point, config = body.batch_tests[place], body.batch_entrypoints[place], body.config
    key.update(json.dumps([tests, entry_point]).encode())

    def make() -> ProblemRecord:
        limits = limits_under(
            service.settings,
            timeout_s=config.time_limit,
            tests=config.max_tests,
            memory_bytes=config.memory_limit_mb_per_cpu * config.cpu_limit * MIB,
        )
        try:
            chosen = first_tests(tests, config.max_tests)
        except ValueError as error:
            raise ProblemError(f"batch_tests[{place}]", "tests", str(error)) from None
        return ProblemRecord(
            id=f"batch_tests[{place}]",
            prelude=body.pre_code,
            tests=[chosen],
            entry_point=entry_point,
            limits=LimitsRecord.from_limits(limits),
        )

    return await problem_of(service, key.hexdigest(), make)


def _rows(values: Iterator[float], body: BatchBody) -> list[list[float]]:
    """[B][N] of them, one after the other."""
    return [list(islice(values, len(completions))) for completions in body.batch_ref_model_completions]
