"""The token of a server: made when it starts, or read from a file."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

_SHORTEST = 16
_READABLE = re.compile(r"[!-~]+")


class TokenError(Exception):
    """The file of a token is of no use; the message says why."""


def new_token() -> str:
    """256 random bits, as text."""
    return secrets.token_urlsafe(32)


def read_token(path: Path) -> str:
    """The token that a file holds.

    Raises:
        TokenError: others can read it, or it is none.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        mode = os.fstat(stream.fileno()).st_mode
        token = stream.read(1000).decode("latin-1").strip()
    if mode & 0o077:
        raise TokenError(f"{path}: others may read this token (mode {mode & 0o777:o}); chmod 600")
    if len(token) < _SHORTEST or not _READABLE.fullmatch(token):
        raise TokenError(f"{path}: a token has at least {_SHORTEST} characters of ASCII, and no spaces")
    return token
