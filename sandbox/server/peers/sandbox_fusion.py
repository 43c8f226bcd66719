"""The route of SandboxFusion that runs a program, for its clients, such as the sandbox_fusion reward of verl.

Source: SandboxFusion's API documentation and its server's models. Theirs is a wall-clock timeout, ours CPU time with an
equally long guard against idleness: a busy machine changes no result.
"""

from __future__ import annotations

import base64
import posixpath
import signal
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel, Field
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from sandbox.errors import SandboxError
from sandbox.limits import MIB
from sandbox.result import RunResult
from sandbox.server.body import client_of
from sandbox.server.errors import InvalidError, LimitError
from sandbox.server.json_route import FAIL_FAST
from sandbox.server.native import Here
from sandbox.server.peers.routing import Detail, collected, limits_under, route_class, with_detail
from sandbox.server.service import Service
from sandbox.surroundings import Surroundings
from sandbox.verdict import Verdict
from sandbox.worker.languages import LANGUAGES

_BUSY = 504
"""In place of 429 and 503: the one status that verl's client tries again. Any other becomes a reward of 0."""
_LANGUAGES = {"nodejs": "javascript", "js": "javascript", **{name: name for name in LANGUAGES}}
_FOLDER = "/tmp/"  # noqa: S108  # the program's own

router = APIRouter(
    tags=["SandboxFusion"],
    route_class=route_class(with_detail, {429: _BUSY, 503: _BUSY}),
    responses={
        415: {"model": Detail},
        422: {"model": Detail},
        _BUSY: {"model": Detail, "description": "No room now, or about to end."},
    },
)


class RunCodeBody(BaseModel):
    """A program."""

    code: str
    language: str
    """`python`, `cpp`, `nodejs`, `go`, `java`, `rust`, `bash`, and `c`."""
    stdin: str | None = None
    compile_timeout: float = 10.0
    """Not read: a compiler has 30 s of CPU time."""
    run_timeout: float = 10.0
    """CPU time, s, and as much idle time."""
    memory_limit_MB: int = -1  # noqa: N815 - their name
    """MiB; below 0: the default of `sandbox.Limits`."""
    files: dict[str, str | None] = Field(default_factory=dict)
    """Contents in base64 by path, relative to the program's folder or below /tmp."""
    fetch_files: Annotated[list[str], FAIL_FAST] = Field(default_factory=list)


class CommandStatus(StrEnum):
    """What became of a command."""

    FINISHED = "Finished"
    ERROR = "Error"
    TIME_LIMIT_EXCEEDED = "TimeLimitExceeded"


class CommandResult(BaseModel):
    """One command."""

    status: CommandStatus
    execution_time: float | None = None
    """Wall time, s; null where it was not measured."""
    return_code: int | None = None
    """Below 0: of the signal that killed it."""
    stdout: str | None = None
    stderr: str | None = None


class RunStatus(StrEnum):
    """What became of a program."""

    SUCCESS = "Success"
    FAILED = "Failed"
    SANDBOX_ERROR = "SandboxError"
    """It was not run, or the host failed: this says nothing about it."""


class RunCodeAnswer(BaseModel):
    """What became of a program."""

    status: RunStatus
    message: str = ""
    compile_result: CommandResult | None = None
    run_result: CommandResult | None = None
    executor_pod_name: str | None = None
    files: dict[str, str] = Field(default_factory=dict)


@router.post("/run_code", response_model=RunCodeAnswer, summary="Run a program")
async def run_code(
    service: Here,
    request: HttpRequest,
    body: Annotated[RunCodeBody, Body(examples=[{"code": "print(input())", "stdin": "hello", "language": "python"}])],
) -> Response:
    """Run a program; `SandboxError` is never the program's fault."""
    try:
        answer = await _run(service, request, body)
    except (InvalidError, LimitError, SandboxError) as error:
        answer = RunCodeAnswer(status=RunStatus.SANDBOX_ERROR, message=_printable(str(error)))
    return Response(answer.model_dump_json(), media_type="application/json")


async def _run(service: Service, request: HttpRequest, body: RunCodeBody) -> RunCodeAnswer:
    language = _LANGUAGES.get(body.language)
    if language is None:
        raise InvalidError(f"language is {body.language!r}; this server runs {', '.join(_LANGUAGES)}")
    fetched = {name: _below(name) for name in body.fetch_files}
    memory_bytes = None if body.memory_limit_MB < 0 else body.memory_limit_MB * MIB
    work = service.run(
        client_of(request),
        [(body.code, body.stdin or "")],
        limits_under(service.settings, timeout_s=body.run_timeout, memory_bytes=memory_bytes),
        language,
        surroundings=_surroundings(body, fetched),
    )
    (outcome,) = await collected(request, work)
    if isinstance(outcome, SandboxError):
        raise outcome
    answer = answer_of(outcome, is_compiled=bool(LANGUAGES[language].product))
    for name, path in fetched.items():
        if path in outcome.files:
            answer.files[name] = base64.b64encode(outcome.files[path]).decode()
    return answer


def answer_of(result: RunResult, *, is_compiled: bool) -> RunCodeAnswer:
    """The answer that tells a result."""
    if is_compiled and result.verdict is Verdict.CE:
        failed = CommandResult(
            status=CommandStatus.FINISHED, return_code=1, stdout="", stderr=_text(result.stderr) or result.message
        )
        return RunCodeAnswer(status=RunStatus.FAILED, compile_result=failed)
    is_late = result.verdict is Verdict.TLE
    words = _text(result.stderr)
    if result.verdict in (Verdict.MLE, Verdict.OLE) or not words:
        words = f"{words}\n{result.message}".strip()  # their shape has no other place for it
    run = CommandResult(
        status=CommandStatus.TIME_LIMIT_EXCEEDED if is_late else CommandStatus.FINISHED,
        execution_time=result.wall_s,
        return_code=None if is_late else return_code_of(result),
        stdout=_text(result.stdout),
        stderr=words,
    )
    return RunCodeAnswer(
        status=RunStatus.SUCCESS if result.verdict is Verdict.AC else RunStatus.FAILED,
        compile_result=_COMPILED if is_compiled else None,
        run_result=run,
    )


_COMPILED = CommandResult(status=CommandStatus.FINISHED, return_code=0, stdout="", stderr="")


def return_code_of(result: RunResult) -> int:
    """As Python's subprocess tells it; never 0 where the verdict is not AC."""
    if result.verdict is Verdict.AC:
        return 0
    return result.exit_code or -(result.signal or signal.SIGKILL)


def _surroundings(body: RunCodeBody, fetched: dict[str, str]) -> Surroundings:
    try:
        files = {
            _below(name): base64.b64decode(content, validate=True)
            for name, content in body.files.items()
            if content is not None
        }
        return Surroundings(files=files, fetch=tuple(dict.fromkeys(fetched.values())))
    except ValueError as error:
        raise InvalidError(f"files: {error}") from None


def _below(name: str) -> str:
    """A path as one below the program's folder, where it is one."""
    return posixpath.normpath(name).removeprefix(_FOLDER)


def _text(output: bytes) -> str:
    return output.decode(errors="replace")


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
