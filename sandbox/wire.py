"""What the native HTTP API says: bodies of requests and rows of answers, for the server and its clients.

    PUT  /v1/problems  ProblemsBody -> ProblemsAnswer   problems, once; each is named by a hash of its content
    POST /v1/judge     JudgeBody -> JudgeRow ...        submissions to problems by those names
    POST /v1/run       RunBody -> RunRow ...            programs with nothing to compare
    GET  /v1/info      -> Info                          ?with_languages=false spares measuring them

Rows come as lines of JSON as submissions finish where the request accepts `application/x-ndjson`, otherwise in the
order of the submissions as {"results": [...]}. What cannot be served is answered by an ErrorAnswer.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from sandbox.errors import (
    ClosedError,
    InfrastructureError,
    ProblemError,
    SandboxError,
    UnsupportedLanguageError,
)
from sandbox.options import Isolation
from sandbox.records import LimitsRecord, ProblemRecord, ResultRecord, StrictRecord
from sandbox.result import RunResult
from sandbox.verdict import Verdict
from sandbox.worker.languages import PYTHON

API_VERSION = 1
"""Grows when an older client would misunderstand."""
NDJSON = "application/x-ndjson"
CLIENT_HEADER = "x-client"
"""Names who asks, for fairness between clients; without it, it is the address."""
IDEMPOTENCY_HEADER = "idempotency-key"
MOST_ITEMS = 100_000
"""Of a list in a body, whatever a server's queue holds: what is longer is refused before it is all read."""
_SOME = Field(min_length=1, max_length=MOST_ITEMS, fail_fast=True)
_NOT_JUDGED_BY = {"prompt", "answer_start", "meta"}

ProblemKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""See `key_of`."""


def key_of(problem: ProblemRecord) -> str:
    """SHA-256, in hex, of all of a problem that the judge reads; what has its default value is left out."""
    judged_by = problem.model_dump_json(exclude=_NOT_JUDGED_BY, exclude_defaults=True)
    return hashlib.sha256(judged_by.encode()).hexdigest()


def encode_text(text: str) -> str:
    """Base64 of a text that holds lone surrogates, which UTF-8 cannot carry: of UTF-8 as if it could."""
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


class ProblemsBody(StrictRecord):
    """Problems to be held."""

    problems: Annotated[list[ProblemRecord], _SOME]


class ProblemsAnswer(StrictRecord):
    """The keys of problems, in their order; see `key_of`."""

    keys: list[ProblemKey]


class SubmissionBody(StrictRecord):
    """A program for a problem; without `code`, a completion that held none."""

    problem: ProblemKey
    code: str | None = None
    code_base64: str | None = None
    """Instead of `code`, where UTF-8 cannot carry that; see `encode_text`."""
    id: str | None = None
    """Comes back in the row."""

    @model_validator(mode="after")
    def _has_at_most_one_code(self) -> Self:
        if self.code is not None and self.code_base64 is not None:
            raise ValueError("a submission has `code` or `code_base64`, not both")
        self.text()
        return self

    def text(self) -> str | None:
        """The program; None: there is none.

        Raises:
            ValueError: `code_base64` is not base64 of a text.
        """
        return self.code if self.code_base64 is None else _decode_text(self.code_base64)


class JudgeBody(StrictRecord):
    """Submissions to be judged."""

    submissions: Annotated[list[SubmissionBody], _SOME]
    stop_on_first_failure: bool = False
    isolate: Isolation = "submission"
    limits: LimitsRecord | None = None
    """Those named replace the problems' own."""


class ProgramBody(StrictRecord):
    """A program and what it reads."""

    code: str = ""
    code_base64: str | None = None
    """Instead of `code`, where UTF-8 cannot carry that; see `encode_text`."""
    stdin: str = ""
    stdin_base64: str | None = None
    """Instead of `stdin`, where that is no text."""

    @model_validator(mode="after")
    def _has_one_of_each(self) -> Self:
        if ("code" in self.model_fields_set) == (self.code_base64 is not None):
            raise ValueError("a program has exactly one of `code` and `code_base64`")
        if self.stdin and self.stdin_base64 is not None:
            raise ValueError("a program has `stdin` or `stdin_base64`, not both")
        self.text()
        self.stdin_bytes()
        return self

    def text(self) -> str:
        """The program.

        Raises:
            ValueError: `code_base64` is not base64 of a text.
        """
        return self.code if self.code_base64 is None else _decode_text(self.code_base64)

    def stdin_bytes(self) -> bytes:
        """What the program reads.

        Raises:
            ValueError: `stdin_base64` is not base64.
        """
        if self.stdin_base64 is None:
            return self.stdin.encode()
        return base64.b64decode(self.stdin_base64, validate=True)


class RunBody(StrictRecord):
    """Programs to be run."""

    programs: Annotated[list[ProgramBody], _SOME]
    language: str = PYTHON
    limits: LimitsRecord = LimitsRecord()


class RunRecord(StrictRecord):
    """The fields of `sandbox.result.RunResult`; output that is not UTF-8 is also there in base64."""

    verdict: Verdict
    stdout: str
    stdout_base64: str | None = None
    stderr: str
    stderr_base64: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    message: str
    cpu_s: float
    wall_s: float
    peak_memory_bytes: int
    enforcement: str

    @classmethod
    def from_result(cls, result: RunResult) -> Self:
        """The row of a result."""
        stdout, stdout_base64 = _text_of(result.stdout)
        stderr, stderr_base64 = _text_of(result.stderr)
        return cls(
            verdict=result.verdict,
            stdout=stdout,
            stdout_base64=stdout_base64,
            stderr=stderr,
            stderr_base64=stderr_base64,
            exit_code=result.exit_code,
            signal=result.signal,
            message=result.message.encode("utf-8", "backslashreplace").decode(),
            cpu_s=result.cpu_s,
            wall_s=result.wall_s,
            peak_memory_bytes=result.peak_memory_bytes,
            enforcement=result.enforcement,
        )

    def to_result(self) -> RunResult:
        """The result.

        Raises:
            ValueError: base64 is none.
        """
        return RunResult(
            verdict=self.verdict,
            stdout=_bytes_of(self.stdout, self.stdout_base64),
            stderr=_bytes_of(self.stderr, self.stderr_base64),
            exit_code=self.exit_code,
            signal=self.signal,
            message=self.message,
            cpu_s=self.cpu_s,
            wall_s=self.wall_s,
            peak_memory_bytes=self.peak_memory_bytes,
            enforcement=self.enforcement,
        )


ErrorKind = Literal["infrastructure", "problem", "unsupported_language", "closed"]


class RowError(StrictRecord):
    """Why there is no result: an error of `sandbox.errors`."""

    kind: ErrorKind
    message: str
    problem_id: str | None = None
    field: str | None = None
    reason: str | None = None

    @classmethod
    def from_error(cls, error: SandboxError) -> Self:
        """The row of an error."""
        message = str(error).encode("utf-8", "backslashreplace").decode()
        match error:
            case ProblemError():
                return cls(
                    kind="problem", message=message, problem_id=error.problem_id, field=error.field, reason=error.reason
                )
            case UnsupportedLanguageError():
                return cls(kind="unsupported_language", message=message)
            case ClosedError():
                return cls(kind="closed", message=message)
            case _:
                return cls(kind="infrastructure", message=message)

    def to_error(self) -> SandboxError:
        """The error."""
        match self.kind:
            case "problem":
                return ProblemError(self.problem_id or "", self.field or "", self.reason or self.message)
            case "unsupported_language":
                return UnsupportedLanguageError(self.message)
            case "closed":
                return ClosedError(self.message)
            case "infrastructure":
                return InfrastructureError(self.message)


class JudgeRow(StrictRecord):
    """What became of one submission: a result or an error."""

    index: int
    result: ResultRecord | None = None
    error: RowError | None = None


class RunRow(StrictRecord):
    """What became of one program: a result or an error."""

    index: int
    result: RunRecord | None = None
    error: RowError | None = None


class JudgeAnswer(StrictRecord):
    """All of a request's rows, in the order of its submissions."""

    results: list[JudgeRow]


class RunAnswer(StrictRecord):
    """All of a request's rows, in the order of its programs."""

    results: list[RunRow]


class Info(StrictRecord):
    """What a server is and does."""

    api: int
    """See `API_VERSION`."""
    version: str
    workers: int
    enforcement: str
    """The level of isolation, measured."""
    guards: list[str]
    absent: dict[str, str]
    python: str
    """These three: see `sandbox.slot.Enforcement`."""
    languages: list[str] | None
    """None where `with_languages=false` was asked: the first time they are measured, which takes seconds."""
    max_limits: LimitsRecord
    max_submissions: int
    """In one request."""
    max_body_bytes: int


class ErrorBody(StrictRecord):
    """What is wrong with a request."""

    kind: str
    """`unauthorized`, `unknown_problems`, `conflict`, `too_large`, `limit`, `invalid`, `problem`, `overloaded`,
    `draining`, `not_found` or `internal`."""
    message: str
    problems: list[str] | None = None
    """Keys, for `unknown_problems`."""
    field: str | None = None


class ErrorAnswer(StrictRecord):
    """The answer to a request that cannot be served."""

    error: ErrorBody


def _decode_text(encoded: str) -> str:
    return base64.b64decode(encoded, validate=True).decode("utf-8", "surrogatepass")


def _text_of(output: bytes) -> tuple[str, str | None]:
    try:
        return output.decode(), None
    except UnicodeDecodeError:
        return output.decode(errors="replace"), base64.b64encode(output).decode()


def _bytes_of(text: str, encoded: str | None) -> bytes:
    return text.encode() if encoded is None else base64.b64decode(encoded, validate=True)
