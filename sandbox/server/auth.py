"""Who may ask: whoever has the server's token."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.server.answers import error_response
from sandbox.server.errors import UnauthorizedError

LET_IN = "sandbox.let_in"
"""In a scope: what to call when its request has shown the token."""


class TokenGuard:
    """Middleware that lets nobody in without the token.

    It comes as `Authorization: Bearer TOKEN`, or as the password of `Authorization: Basic`, which HTTP clients make of
    http://:TOKEN@HOST/: so may those be used that know nothing of tokens.

    Args:
        token: None lets everybody in, as on a Unix socket, whose folder says who may connect.
        open_paths: what needs none, unless it has a body: nobody without the token gets memory.
    """

    def __init__(self, app: ASGIApp, token: str | None, open_paths: Collection[str]) -> None:
        self._app = app
        self._token = token
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request. Source: the ASGI specification; RFC 6750 and 7617 for the header."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = _given_token(headers)
        if self._token is None or hmac.compare_digest(given.encode(), self._token.encode()):
            if (let_in := scope.get(LET_IN)) is not None:
                let_in()
            await self._app(scope, receive, send)
        elif scope["path"] in self._open_paths and not _has_body(headers):
            await self._app(scope, receive, send)
        else:
            await error_response(UnauthorizedError(was_given=bool(given)))(scope, receive, send)


def _given_token(headers: Headers) -> str:
    """That of a request; empty where it has none."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        return _password(given).strip()
    return given.strip() if scheme.lower() == "bearer" else ""


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _password(credentials: str) -> str:
    """That of `Basic` credentials; empty where they are none."""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
