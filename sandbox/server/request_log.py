"""One line in the log and one measurement for each HTTP request, and the id by which both are found."""

from __future__ import annotations

import logging
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.server.answers import plain_error
from sandbox.server.body import client_of
from sandbox.server.logs import log_event
from sandbox.server.observation import Observation
from sandbox.server.request_context import RequestContext, current
from sandbox.wire import ErrorBody

log = logging.getLogger(__name__)

ID_HEADER = "x-request-id"
GONE = 499
"""Status in log and metrics of a request whose client left, or sent half of it, before there was an answer."""
_VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_WATCHED_BY = frozenset({"/healthz", "/readyz", "/metrics", "/v1/stats"})
"""Asked every few seconds by whoever watches: at DEBUG, unless it fails."""


class RequestLog:
    """Middleware around all others: names each request, writes its line, measures it.

    It also answers what nobody foresaw: in starlette the handler of such errors is outside of all middleware, where the
    request has no id any more.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request. Source: the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.monotonic()
        given = Headers(scope=scope).get(ID_HEADER, "")
        context = RequestContext(given if _VALID_ID.fullmatch(given) else secrets.token_hex(8))
        answer = _Answer(send, context.id)
        token = current.set(context)
        try:
            await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            pass  # nobody is there to be answered
        except Exception as error:
            log.exception("request id=%s failed in an unforeseen way", context.id)
            if answer.status is not None:
                raise  # the server ends the connection, by which the client sees that the rest is missing
            body = ErrorBody(kind="internal", message=f"{type(error).__name__}; the server's log says more")
            await plain_error(500, body)(scope, receive, answer.send)
        finally:
            current.reset(token)
            _report(scope, context, answer, time.monotonic() - began_s)


class _Answer:
    """What has been sent of an answer."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None
        self.is_whole = False

    async def send(self, message: Message) -> None:
        """Passes a part on, the first one with the request's id."""
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)[ID_HEADER] = self._request_id
            self.status = message["status"]
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.is_whole = True


def _report(scope: Scope, context: RequestContext, answer: _Answer, took_s: float) -> None:
    observation: Observation = scope["app"].state.observation
    status = answer.status if answer.status is not None else GONE
    method = scope["method"] if scope["method"] in _METHODS else "OTHER"
    route = _route_of(scope)
    observation.answered(method, route, status, took_s)
    log_event(
        log,
        logging.DEBUG if route in _WATCHED_BY and status < 400 else logging.INFO,
        "request",
        {
            "id": context.id,
            "method": method,
            "route": route,
            "status": status,
            "client": client_of(HTTPConnection(scope)),
            "submissions": context.submissions,
            "ms": round(took_s * 1000, 1),
            "answer": None if answer.is_whole else "cut short",
        },
    )


def _route_of(scope: Scope) -> str:
    """The template of the route, of which there are few; a path can hold anything."""
    route = scope.get("route")
    if isinstance(route, Route):
        return route.path
    # It was answered before its route was looked for, as where the token is wrong.
    path: str = scope["path"]
    return path if path in scope["app"].state.paths else "other"
