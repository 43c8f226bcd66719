"""What `qrpo-sandbox servers` says of the servers in a folder."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from slurm.commands import own_command
from slurm.errors import FleetError

_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that has said it is there."""

    name: str
    url: str
    host: str
    job: str
    """As squeue's %i; empty outside of jobs."""
    workers: int
    state: str
    """ready, draining or unreachable."""
    error: str
    """Why it cannot be reached."""
    heartbeat_age_s: float
    path: Path
    """Of its endpoint file."""


def servers_in(folder: Path) -> list[Server]:
    """The servers of a folder; what dead ones have left there is removed.

    Raises:
        FleetError: they cannot be listed.
    """
    command = [own_command(), "servers", str(folder), "--json"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise FleetError(f"`qrpo-sandbox servers {folder}` did not end within {_TIMEOUT_S:g} s") from None
    if done.returncode:
        raise FleetError(done.stderr.strip().removeprefix("error: ") or f"`qrpo-sandbox servers {folder}` failed")
    return [
        Server(
            name=row["name"],
            url=row["url"],
            host=row["host"],
            job=row["job"],
            workers=row["workers"],
            state=row["state"],
            error=row.get("error") or "",
            heartbeat_age_s=row["heartbeat_age_s"],
            path=Path(row["path"]),
        )
        for row in json.loads(done.stdout)
    ]
