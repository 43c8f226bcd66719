"""The process that starts a container and, with most runtimes, becomes the Python in it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

NOBODY = 65534
INSIDE = "/.qrpo-sandbox"
"""The folder in a container that has what it is given of this host."""


def begin(
    command: Sequence[str],
    environment: Mapping[str, str],
    log: IO[bytes],
    stdin: int = subprocess.DEVNULL,
    kept: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start it.

    Args:
        command: of the runtime.
        environment: of the command, not of what it starts.
        log: takes stderr.
        stdin: a descriptor.
        kept: descriptors that stay open.

    Raises:
        OSError: the command could not be started.
    """
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=log,
        pass_fds=kept,
        env=environment,
        cwd="/",
        start_new_session=True,  # Ctrl-C is for the caller, who then closes the slot
        **owner(),
    )


def owner() -> dict[str, Any]:
    """Who starts containers, as `subprocess` takes it: instead of root, nobody.

    Programs shall not be root's, and in a user namespace there is nobody else to be.
    """
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def inside(folder: str) -> str:
    """Where a folder of this host is found in a container."""
    return f"{INSIDE}/{Path(folder).name}"
