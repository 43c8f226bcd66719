"""How much a user may still write, where a file system has quotas and a command that tells."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_TIMEOUT_S = 10.0
"""A file server that does not answer is none of ours to wait for."""
_FIELDS = 9
"""file system; KiB used, soft limit, hard limit, grace; files used, soft limit, hard limit, grace."""


class Room(NamedTuple):
    """What is left; None: no limit, or none that is known."""

    bytes: int | None
    files: int | None


def quota_at(path: Path) -> Room:
    """Of the user, on the file system of a folder that is there; its path is absolute.

    Sources: lfs-quota(1), quota(1); a soft limit counts as a limit, as an experiment outlasts its grace.
    """
    user = getpass.getuser()
    kind = _first_line(["stat", "--file-system", "--format=%T", str(path)])
    if kind == "lustre":
        return parsed(_said(["lfs", "quota", "-q", "-u", user, str(path)]))
    mount = next(place for place in (path, *path.parents) if place.is_mount())
    return parsed(_said(["quota", "--no-wrap", "--raw-grace", f"--filesystem={mount}"]))


def parsed(text: str) -> Room:
    """The last line with all fields; lfs breaks the line after a long name."""
    lines = [line.split() for line in text.replace("\n ", " ").splitlines()]
    found = [
        fields[-_FIELDS:] for fields in lines if len(fields) >= _FIELDS and fields[-_FIELDS + 1].rstrip("*").isdigit()
    ]
    if not found:
        return Room(None, None)
    _, used, soft, hard, _, files, files_soft, files_hard, _ = found[-1]
    kib = _left(used, soft, hard)
    return Room(None if kib is None else kib * 1024, _left(files, files_soft, files_hard))


def _left(used: str, soft: str, hard: str) -> int | None:
    limits = [int(text) for text in (soft, hard) if text.isdigit() and int(text) > 0]
    amount = used.rstrip("*")
    return max(0, min(limits) - int(amount)) if limits and amount.isdigit() else None


def _first_line(command: Sequence[str]) -> str:
    return _said(command).partition("\n")[0].strip()


def _said(command: Sequence[str]) -> str:
    """What a command prints; nothing where it is not there. quota(1) fails where a user is over their quota."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
