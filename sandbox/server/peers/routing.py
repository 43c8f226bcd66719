"""What the routes share: one answer to a request, which ends with its client, and errors in each peer's own shape."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from sandbox.errors import ProblemError, SandboxError
from sandbox.limits import Limits
from sandbox.problem import Problem
from sandbox.records import ProblemRecord
from sandbox.server.dispatch import Request
from sandbox.server.errors import ClientGoneError, HostFailedError, InvalidError, ServerError
from sandbox.server.json_route import JsonRoute
from sandbox.server.problems import check
from sandbox.server.service import Service
from sandbox.server.settings import Settings
from sandbox.server.work import Outcome

Result = TypeVar("Result", bound=Outcome)
ErrorShape = Callable[[str], Mapping[str, object]]
"""From a message to the body of an error."""


class Detail(BaseModel):
    """The error of a server made with FastAPI."""

    detail: str


def with_detail(message: str) -> Mapping[str, object]:
    """The body of a Detail."""
    return {"detail": message}


def route_class(shape: ErrorShape, statuses: Mapping[int, int] = MappingProxyType({})) -> type[JsonRoute]:
    """Routes whose errors are told in a peer's shape.

    Args:
        shape: of the body.
        statuses: by our own status that which the peer's clients know better.
    """

    class Route(JsonRoute):
        def get_route_handler(self) -> Callable[[HttpRequest], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def answer(request: HttpRequest) -> Response:
                try:
                    return await handle(request)
                except ServerError as error:
                    status, message, retry_after_s = error.status, str(error), error.retry_after_s
                except ProblemError as error:
                    status, message, retry_after_s = 422, str(error), None
                except RequestValidationError as error:
                    status, message, retry_after_s = 422, first_fault(error), None
                except HTTPException as error:
                    status, message, retry_after_s = error.status_code, str(error.detail), None
                headers = {} if retry_after_s is None else {"retry-after": str(max(1, round(retry_after_s)))}
                content = json.dumps(shape(message.encode("utf-8", "backslashreplace").decode()))
                return Response(content, statuses.get(status, status), headers, media_type="application/json")

            return answer

    return Route


def first_fault(error: RequestValidationError) -> str:
    """Where a body is not what it should be, and why."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    return f"{place}: {first['msg']}" if place else str(first["msg"])


async def problem_of(service: Service, key: str, make: Callable[[], ProblemRecord]) -> Problem:
    """The problem of a key that a route has thought of: made, checked and held where it is not here.

    Raises:
        ProblemError, InvalidError: it is of no use.
        TooLargeError: it is more than may be held.
    """
    held = service.problems.find(key)
    if held is not None:
        return held
    try:
        (checked,) = await run_in_threadpool(lambda: check([make()]))
    except RecursionError:
        raise InvalidError("the tests are nested too deep") from None
    except ValueError as error:
        raise InvalidError(f"tests: {error}") from None
    service.problems.hold([checked._replace(key=key)])
    return checked.problem


async def collected(http: HttpRequest, work: Request[Result]) -> list[Result | SandboxError]:
    """What came of all of a request's tasks, in their order; they are dropped when the client hangs up.

    Raises:
        ClientGoneError: it has.
    """
    with work:
        gathering = asyncio.ensure_future(_in_order(work))
        watching = asyncio.ensure_future(_hang_up(http))
        try:
            await asyncio.wait((gathering, watching), return_when=asyncio.FIRST_COMPLETED)
            if not gathering.done():
                raise ClientGoneError
            return gathering.result()
        finally:
            gathering.cancel()
            watching.cancel()


def results_of(outcomes: Sequence[Result | SandboxError]) -> list[Result]:
    """The results, where all are there.

    Raises:
        ProblemError: a problem is of no use.
        HostFailedError: the host failed one.
    """
    results: list[Result] = []
    for outcome in outcomes:
        if isinstance(outcome, ProblemError):
            raise outcome
        if isinstance(outcome, SandboxError):
            raise HostFailedError(str(outcome))
        results.append(outcome)
    return results


def limits_under(settings: Settings, *, timeout_s: float, tests: int = 1, memory_bytes: int | None = None) -> Limits:
    """Limits from the wall time that a peer gives a test: as CPU time, and as much idle time as the server allows.

    Args:
        tests: so many have that time each, one after the other, within the server's maximum for all.
        memory_bytes: None for the default.

    Raises:
        InvalidError: a number is out of range.
    """
    most = settings.max_limits
    most_in_all = most.total_cpu_s or 10 * most.cpu_s
    try:
        return Limits(
            cpu_s=timeout_s,
            total_cpu_s=max(timeout_s, min(timeout_s * max(tests, 2), most_in_all)),
            idle_s=min(timeout_s, most.idle_s),
            memory_bytes=Limits().memory_bytes if memory_bytes is None else memory_bytes,
        )
    except (ValueError, OverflowError) as error:
        raise InvalidError(str(error)) from None


async def _in_order(work: Request[Result]) -> list[Result | SandboxError]:
    found: list[tuple[int, Result | SandboxError]] = []
    async for finished in work:
        found += finished
        work.sent()  # there is no answer before all are there
    return [outcome for _, outcome in sorted(found, key=lambda entry: entry[0])]


async def _hang_up(http: HttpRequest) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass
