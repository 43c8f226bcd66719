"""The routes of Piston that run a program, for its clients.

Source: Piston's documentation of its API, version 2, and its server where that says nothing. Files after the first lie
beside the program: it can import, include or read them, but only the first is named to a compiler.
"""

from __future__ import annotations

import base64
import posixpath
import signal
from typing import Annotated, Literal

from fastapi import APIRouter, Body
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from sandbox.limits import Limits
from sandbox.result import RunResult
from sandbox.server.body import client_of
from sandbox.server.errors import InvalidError
from sandbox.server.json_route import FAIL_FAST
from sandbox.server.native import Here
from sandbox.server.peers.routing import collected, limits_under, results_of, route_class
from sandbox.server.peers.semver import satisfies
from sandbox.server.settings import Settings
from sandbox.surroundings import Surroundings
from sandbox.verdict import Verdict
from sandbox.worker.languages import LANGUAGES

_COMPILE_MS = 30_000
_RUN_MS = 3000
"""Piston's default."""
_STATUSES = {Verdict.AC: None, Verdict.TLE: "TO", Verdict.OLE: "OL"}
"""Of others, it is how the process ended."""


class _Name(BaseModel):
    """How Piston calls one of our languages."""

    language: str
    aliases: list[str]
    runtime: str | None = None


_NAMES = {
    "python": _Name(language="python", aliases=["py", "py3", "python3"]),
    "c": _Name(language="c", aliases=["gcc"], runtime="gcc"),
    "cpp": _Name(language="c++", aliases=["cpp", "g++"], runtime="gcc"),
    "rust": _Name(language="rust", aliases=["rs"]),
    "go": _Name(language="go", aliases=["go", "golang"]),
    "java": _Name(language="java", aliases=[]),
    "javascript": _Name(
        language="javascript", aliases=["node-javascript", "node-js", "javascript", "js"], runtime="node"
    ),
    "bash": _Name(language="bash", aliases=["sh"]),
}


class Fault(BaseModel):
    """What is wrong with a request."""

    message: str


def _with_message(message: str) -> dict[str, object]:
    return {"message": message}


router = APIRouter(
    prefix="/api/v2",
    tags=["Piston"],
    route_class=route_class(_with_message, {422: 400}),
    responses={415: {"model": Fault}, 400: {"model": Fault}, 429: {"model": Fault}, 503: {"model": Fault}},
)


class File(BaseModel):
    """One of a program's files."""

    name: str | None = None
    content: str
    encoding: Literal["utf8", "base64", "hex"] = "utf8"

    def to_bytes(self) -> bytes:
        """Its content.

        Raises:
            ValueError: it is not of its encoding.
        """
        match self.encoding:
            case "base64":
                return base64.b64decode(self.content)
            case "hex":
                return bytes.fromhex(self.content)
            case _:
                return self.content.encode()


class ExecuteBody(BaseModel):
    """A program: the first file in UTF-8."""

    language: str
    version: str
    files: Annotated[list[File], FAIL_FAST]
    stdin: str = ""
    args: Annotated[list[str], FAIL_FAST] = Field(default_factory=list)
    run_timeout: float | None = Field(None, description="ms; ours is CPU time, and as much idle time")
    run_cpu_time: float | None = Field(None, description="ms")
    run_memory_limit: int | None = Field(None, description="bytes; below 0: the default of `sandbox.Limits`")
    compile_timeout: float | None = Field(None, description="ms; a compiler always has 30 s of CPU time")
    compile_cpu_time: float | None = Field(None, description="ms")
    compile_memory_limit: int | None = Field(None, description="bytes; a compiler always has 2 GiB")


class Stage(BaseModel):
    """What a stage wrote, and how it ended."""

    stdout: str = ""
    stderr: str = ""
    output: str = ""
    """stdout, then stderr: their order in time is not known here."""
    code: int | None = None
    signal: str | None = None
    message: str | None = None
    status: str | None = None
    """RE: failed, SG: killed, by a signal of its own or for its memory, TO: time, OL: output; null: ended well."""
    cpu_time: float | None = None
    """ms"""
    wall_time: float | None = None
    """ms"""
    memory: int | None = None
    """Bytes, at most."""


class ExecuteAnswer(BaseModel):
    """What became of a program."""

    language: str
    version: str
    run: Stage
    compile: Stage | None = None


class Runtime(BaseModel):
    """A language that can be run."""

    language: str
    version: str
    aliases: list[str]
    runtime: str | None = None


@router.get("/runtimes", response_model=list[Runtime], response_model_exclude_none=True, summary="The languages")
async def runtimes(service: Here) -> list[Runtime]:
    """The languages that work here, with the versions that were measured."""
    languages = await run_in_threadpool(lambda: service.sandbox.languages)
    return [Runtime(**_NAMES[name].model_dump(), version=await service.versions.of(name)) for name in languages]


@router.post(
    "/execute", response_model=ExecuteAnswer, response_model_exclude_none=True, summary="Run a program of files"
)
async def execute(
    service: Here,
    request: HttpRequest,
    body: Annotated[
        ExecuteBody,
        Body(
            examples=[{"language": "python", "version": "3.x", "files": [{"content": "print(input())"}], "stdin": "a"}]
        ),
    ],
) -> Response:
    """Run a program that may have several files."""
    language = next((name for name, names in _NAMES.items() if body.language in (names.language, *names.aliases)), None)
    version = await service.versions.of(language) if language is not None else ""
    if language is None or not satisfies(version, body.version):
        raise InvalidError(f"{body.language}-{body.version} runtime is unknown")
    code, surroundings = _program_of(body)
    stdin = body.stdin if body.stdin.endswith("\n") else body.stdin + "\n"  # as Piston does
    limits = limits_of(body, service.settings)
    work = service.run(client_of(request), [(code, stdin)], limits, language, surroundings=surroundings)
    (result,) = results_of(await collected(request, work))
    answer = _answer_of(result, language, version)
    left_out = {"compile"} if answer.compile is None else None  # clients look whether it is there at all
    return Response(answer.model_dump_json(exclude=left_out), media_type="application/json")


def limits_of(body: ExecuteBody, settings: Settings) -> Limits:
    """The limits of the run.

    Raises:
        InvalidError: one is out of range.
    """
    most_ms = settings.max_limits.cpu_s * 1000
    for name, value, most in (
        ("compile_timeout", body.compile_timeout, _COMPILE_MS),
        ("compile_cpu_time", body.compile_cpu_time, _COMPILE_MS),
        ("run_timeout", body.run_timeout, most_ms),
        ("run_cpu_time", body.run_cpu_time, most_ms),
        ("run_memory_limit", body.run_memory_limit, settings.max_limits.memory_bytes),
    ):
        if value and value > most:
            raise InvalidError(f"{name} cannot exceed the configured limit of {most:.0f}")
        if value and value < 0 and name != "run_memory_limit":
            raise InvalidError(f"{name} must be non-negative")
    times_ms = [value for value in (body.run_timeout, body.run_cpu_time) if value]
    memory_bytes = body.run_memory_limit if body.run_memory_limit and body.run_memory_limit > 0 else None
    return limits_under(settings, timeout_s=min(times_ms, default=_RUN_MS) / 1000, memory_bytes=memory_bytes)


def _program_of(body: ExecuteBody) -> tuple[str, Surroundings]:
    """The first file that is text, and the others beside it."""
    place = next((place for place, file in enumerate(body.files) if file.encoding == "utf8"), None)
    if place is None:
        raise InvalidError("files must include at least one utf8 encoded file")
    others = {
        posixpath.normpath(file.name or f"file{index}.code"): file
        for index, file in enumerate(body.files)
        if index != place
    }
    try:
        files = {name: file.to_bytes() for name, file in others.items()}
        return body.files[place].content, Surroundings(arguments=tuple(body.args), files=files)
    except ValueError as error:
        raise InvalidError(f"files: {error}") from None


def _answer_of(result: RunResult, language: str, version: str) -> ExecuteAnswer:
    name = _NAMES[language].language
    if result.verdict is Verdict.CE:
        words = result.stderr.decode(errors="replace") or result.message
        failed = Stage(stderr=words, output=words, code=1, status="RE", message="Exited with error status 1")
        is_compiled = bool(LANGUAGES[language].product)
        return ExecuteAnswer(language=name, version=version, run=failed, compile=failed if is_compiled else None)
    compiled = Stage(code=0) if LANGUAGES[language].product else None
    return ExecuteAnswer(language=name, version=version, run=stage_of(result), compile=compiled)


def stage_of(result: RunResult) -> Stage:
    """A run, as Piston tells one."""
    stdout, stderr = (output.decode(errors="replace") for output in (result.stdout, result.stderr))
    code, killed = result.exit_code, result.signal
    if result.verdict in (Verdict.TLE, Verdict.OLE) or (result.verdict is not Verdict.AC and not code):
        code, killed = None, killed or signal.SIGKILL
    return Stage(
        stdout=stdout,
        stderr=stderr,
        output=stdout + stderr,
        code=code,
        signal=None if killed is None else signal_name(killed),
        message=result.message or None,
        status=_STATUSES.get(result.verdict, "SG" if code is None else "RE"),
        cpu_time=result.cpu_s * 1000,
        wall_time=result.wall_s * 1000,
        memory=result.peak_memory_bytes,
    )


def signal_name(number: int) -> str:
    """As in signal(7)."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
