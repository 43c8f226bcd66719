"""The application: routes, middleware and what they share, from the start of a server to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sandbox.errors import ProblemError
from sandbox.pool import Sandbox
from sandbox.server import health, metrics, native, page, stats
from sandbox.server.answers import error_response, plain_error
from sandbox.server.auth import TokenGuard
from sandbox.server.body import BodyLimit
from sandbox.server.errors import ServerError
from sandbox.server.metrics import Metrics
from sandbox.server.observation import Observation
from sandbox.server.peers import authors, open_instruct, piston, sandbox_fusion
from sandbox.server.recent import Recent
from sandbox.server.request_log import RequestLog
from sandbox.server.service import Service
from sandbox.server.settings import Settings
from sandbox.server.stats import sample_forever
from sandbox.wire import ErrorBody


def create_app(sandbox: Sandbox, settings: Settings, token: str | None) -> FastAPI:
    """The server's application.

    Args:
        sandbox: stays the caller's to close.
        token: what clients must send; None where nothing else can connect.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        observation = Observation(Metrics(), Recent(), logs_messages=settings.logs_programs)
        service = Service(sandbox, settings, observation)
        app.state.observation = observation
        app.state.service = service
        app.state.paths = frozenset((*app.openapi()["paths"], *page.PATHS))
        sampling = asyncio.create_task(sample_forever(observation.recent, service))
        try:
            yield
        finally:
            sampling.cancel()

    app = FastAPI(
        title="qrpo-sandbox",
        version=version("qrpo-sandbox"),
        lifespan=lifespan,
        docs_url=None,  # both would load from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.include_router(health.router)
    app.include_router(native.router)
    app.include_router(stats.router)
    app.include_router(metrics.router)
    app.include_router(page.router)
    for peer in (sandbox_fusion, piston, open_instruct, authors):
        app.include_router(peer.router)
    app.add_exception_handler(ServerError, _answer_server_error)
    app.add_exception_handler(ProblemError, _answer_problem_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_middleware(BodyLimit, settings=settings)
    app.add_middleware(TokenGuard, token=token, open_paths=(*health.PATHS, *page.PATHS))
    app.add_middleware(RequestLog)
    return app


async def _answer_server_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServerError)
    return error_response(error)


async def _answer_problem_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return plain_error(422, ErrorBody(kind="problem", message=str(error), field=error.field))


async def _answer_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    # A name that is not known is part of the place, however long.
    place = ".".join(str(part) for part in first["loc"] if part != "body")[:200]
    what = "there is no such field" if first["type"] == "extra_forbidden" else str(first["msg"])
    message = f"{place}: {what}" if place else what
    return plain_error(422, ErrorBody(kind="invalid", message=message, field=place or None))


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = str(error.detail)
    allowed = (error.headers or {}).get("Allow")
    if error.status_code in (404, 405):
        asked = f"{request.method} {request.url.path[:200]}"
        message = f"there is no {asked}; " + (f"use {allowed}" if allowed else "GET /openapi.json lists all routes")
    kind = "not_found" if error.status_code == 404 else "invalid"
    answer = plain_error(error.status_code, ErrorBody(kind=kind, message=message))
    if allowed:  # RFC 9110: a 405 names the methods that there are
        answer.headers["allow"] = allowed
    return answer
