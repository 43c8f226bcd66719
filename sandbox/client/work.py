"""What a batch asks of servers: submissions to be judged, or programs to be run; and what comes back."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, Protocol, TypeVar

from pydantic_core import PydanticSerializationError

from sandbox.client.connection import request_body
from sandbox.client.problem_keys import KnownProblem, ProblemKeys
from sandbox.errors import InfrastructureError, ProblemError, SandboxError
from sandbox.limits import Limits
from sandbox.messages import host_failed_result
from sandbox.options import Isolation, OnHostFailure, check_options, check_text, stdin_bytes
from sandbox.pool import Program, Submission
from sandbox.records import LimitsRecord
from sandbox.result import JudgeResult, RunResult
from sandbox.wire import JudgeRow, ProgramBody, RunRow, SubmissionBody, encode_text
from sandbox.worker.languages import PYTHON, check_known

Source_contra = TypeVar("Source_contra", contravariant=True)
Result = TypeVar("Result")


@dataclass(slots=True, eq=False, kw_only=True)
class Item:
    """One submission on its way."""

    index: int
    body: bytes
    """As JSON."""
    problem: KnownProblem | None = None
    tries: int = 0
    """Times that a server failed it."""
    failing_s: float = 0.0
    """When the first did; of `time.monotonic`."""
    failed_by: object = None
    """The server that did so last."""
    requests: int = 0
    """That it is part of at the moment."""
    sent_s: float = 0.0
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class Row(Generic[Result]):
    """What a server says of one submission."""

    place: int
    """In the request."""
    result: Result | None
    error: SandboxError | None


class Work(Protocol[Source_contra, Result]):
    """The kind of a batch."""

    path: str

    def item(self, index: int, source: Source_contra) -> Item:
        """What is sent of one submission. Raises as `Sandbox.submit` or `Sandbox.submit_run`, before it waits."""

    def body(self, items: Sequence[Item]) -> bytes:
        """What is sent of many."""

    def row(self, line: bytes) -> Row[Result]:
        """What a line of the answer says.

        Raises:
            ValueError: it is none.
        """

    def error(self, item: Item, error: SandboxError) -> SandboxError:
        """The error of a row, as the sandbox would have raised it."""

    def failed(self, item: Item, error: InfrastructureError, enforcement: str) -> Result:
        """What to give for a submission that the host failed, or the error itself is raised."""


class Judging:
    """Submissions to be judged.

    Args:
        keys: the client's.
        stop_on_first_failure: see `JudgeOptions`, and so for the others.
    """

    path = "/v1/judge"

    def __init__(
        self,
        keys: ProblemKeys,
        *,
        stop_on_first_failure: bool = False,
        isolate: Isolation = "submission",
        on_host_failure: OnHostFailure = "raise",
    ) -> None:
        check_options(isolate, on_host_failure)
        self._keys = keys
        self._on_host_failure = on_host_failure
        self._options = json.dumps({"stop_on_first_failure": bool(stop_on_first_failure), "isolate": isolate}).encode()

    def item(self, index: int, source: Submission) -> Item:
        """See `Work`."""
        problem, code = source
        if code is not None:
            check_text("code", code)
        known = self._keys.of(problem)
        try:
            body = SubmissionBody(problem=known.key, code=code).model_dump_json(exclude_none=True)
        except PydanticSerializationError:
            assert code is not None
            body = SubmissionBody(problem=known.key, code_base64=encode_text(code)).model_dump_json(exclude_none=True)
        return Item(index=index, body=body.encode(), problem=known)

    def body(self, items: Sequence[Item]) -> bytes:
        """See `Work`."""
        return request_body("submissions", [item.body for item in items], self._options)

    def row(self, line: bytes) -> Row[JudgeResult]:
        """See `Work`."""
        row = JudgeRow.model_validate_json(line)
        return Row(
            row.index,
            None if row.result is None else row.result.to_result(),
            None if row.error is None else row.error.to_error(),
        )

    def error(self, item: Item, error: SandboxError) -> SandboxError:
        """See `Work`."""
        if isinstance(error, ProblemError) and item.problem is not None:
            return item.problem.error(error.reason, error.field)
        return error

    def failed(self, item: Item, error: InfrastructureError, enforcement: str) -> JudgeResult:
        """See `Work`."""
        if self._on_host_failure == "raise" or item.problem is None:
            raise error
        return host_failed_result(item.problem.problem, enforcement, str(error))


class Running:
    """Programs with nothing to compare.

    Args:
        limits: of each; None: the default ones.
        language: of all.

    Raises:
        ValueError: there is no such language.
    """

    path = "/v1/run"

    def __init__(self, limits: Limits | None = None, language: str = PYTHON) -> None:
        check_known(language)
        self._options = _run_options(limits or Limits(), language)

    def item(self, index: int, source: Program) -> Item:
        """See `Work`."""
        code, stdin = source
        check_text("code", code)
        fields = _stdin_fields(stdin_bytes(stdin))
        try:
            body = ProgramBody(code=code, **fields).model_dump_json(exclude_unset=True)
        except PydanticSerializationError:
            body = ProgramBody(code_base64=encode_text(code), **fields).model_dump_json(exclude_unset=True)
        return Item(index=index, body=body.encode())

    def body(self, items: Sequence[Item]) -> bytes:
        """See `Work`."""
        return request_body("programs", [item.body for item in items], self._options)

    def row(self, line: bytes) -> Row[RunResult]:
        """See `Work`."""
        row = RunRow.model_validate_json(line)
        return Row(
            row.index,
            None if row.result is None else row.result.to_result(),
            None if row.error is None else row.error.to_error(),
        )

    def error(self, item: Item, error: SandboxError) -> SandboxError:  # noqa: ARG002  # of a problem there is none here
        """See `Work`."""
        return error

    def failed(self, item: Item, error: InfrastructureError, enforcement: str) -> RunResult:
        """See `Work`."""
        del item, enforcement
        raise error


@lru_cache(maxsize=256)
def _run_options(limits: Limits, language: str) -> bytes:
    record = LimitsRecord.from_limits(limits)
    return json.dumps({"language": language, "limits": record.model_dump(exclude_none=True)}).encode()


def _stdin_fields(stdin: bytes) -> dict[str, str]:
    if not stdin:
        return {}
    try:
        return {"stdin": stdin.decode()}
    except UnicodeDecodeError:
        return {"stdin_base64": base64.b64encode(stdin).decode()}
