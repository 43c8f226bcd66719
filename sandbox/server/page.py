"""`GET /`: the live page, and the files that it consists of.

They are the same for everybody and hold nothing of the server's, so that they need no token; what the page shows it
asks for with the token that its reader gives it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response
from starlette.routing import Route

_FOLDER: Final = Path(__file__).with_suffix("")
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
HEADERS: Final = {
    # Nothing but these files, no script or style within them, no request but to this server, no frame around it; and
    # no text becomes markup: browsers that know trusted types refuse innerHTML and its like.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-cache",
}


def _responses() -> dict[str, Response]:
    """By path."""
    files = sorted(path for path in _FOLDER.iterdir() if path.suffix in _TYPES)
    return {
        "/" if path.name == "index.html" else f"/page/{path.name}": Response(
            path.read_bytes(), headers={**HEADERS, "content-type": _TYPES[path.suffix]}
        )
        for path in files
    }


_RESPONSES: Final = _responses()
PATHS: Final = tuple(_RESPONSES)
router = APIRouter()


def _endpoint(path: str) -> Route:
    async def file(_: object) -> Response:
        return _RESPONSES[path]

    return Route(path, file, methods=["GET"], include_in_schema=False)


router.routes += [_endpoint(path) for path in PATHS]
