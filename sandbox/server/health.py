"""Whether the server is there, and whether it takes work; for schedulers and load balancers, without a token."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from sandbox.server.service import Service

router = APIRouter()
PATHS = ("/healthz", "/readyz")


@router.get("/healthz", response_class=PlainTextResponse)
async def healthz() -> str:
    """The process answers."""
    return "ok\n"


@router.get("/readyz", response_class=PlainTextResponse, responses={503: {"description": "It is about to end."}})
async def readyz(request: Request) -> PlainTextResponse:
    """It takes submissions."""
    service: Service = request.app.state.service
    if service.dispatcher.is_draining:
        return PlainTextResponse("draining\n", 503)
    return PlainTextResponse("ok\n")
