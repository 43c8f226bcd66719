"""What an image holds, as its own Python sees it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from containers.process import owner
from containers.runtime import ContainerError

PROBE = Path(__file__).parent / "probe.py"
OLDEST_PYTHON = (3, 8)
_TIMEOUT_S = 120.0
"""An image on a slow shared file system is read through FUSE."""
_LAST_WORDS = 1000


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What programs are to see of an image; paths are those inside."""

    version: tuple[int, ...]
    """Of its Python."""
    folders: tuple[str, ...]
    links: Mapping[str, str]
    """Symbolic links directly below the root, and what they say."""
    files: Mapping[str, str]
    """Below /etc, and where each is in truth."""
    path: tuple[str, ...]
    """Where its third-party packages are."""

    def root(self) -> dict[str, object]:
        """As `sandbox.worker.root.build` takes it."""
        binds = {**{path: path for path in self.folders}, **self.files}
        return {"binds": binds, "links": dict(self.links), "hidden": [], "path": list(self.path)}


def look_into(image: str, command: Sequence[str], environment: Mapping[str, str]) -> Contents:
    """Runs the probe.

    Args:
        image: its name, for errors.
        command: runs `probe.py` under the image's Python.
        environment: of the command.

    Raises:
        ContainerError: it could not be run, or the image's Python is too old.
    """
    try:
        done = subprocess.run(
            command,
            env=environment,
            cwd="/",
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
            **owner(),
        )
    except subprocess.TimeoutExpired:
        raise ContainerError(f"{image}: its Python did not start within {_TIMEOUT_S:.0f} s") from None
    except OSError as error:
        raise ContainerError(f"{command[0]} cannot be run: {error.strerror}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-_LAST_WORDS:]
        raise ContainerError(
            f"{image} cannot be used: no `python3` (>= 3.8) started in it; "
            f"{Path(command[0]).name} ended with {done.returncode}: {said or 'it said nothing'}"
        )
    try:
        found = json.loads(done.stdout.splitlines()[-1])
        version = tuple(found["version"])
    except (IndexError, KeyError, TypeError, ValueError):
        said = done.stdout[-_LAST_WORDS:].decode(errors="replace")
        raise ContainerError(
            f"{image} cannot be used: {Path(command[0]).name} ran no Python in it, but said {said!r}"
        ) from None
    if version[:2] < OLDEST_PYTHON:
        has = ".".join(map(str, version))
        raise ContainerError(f"{image} has Python {has}; at least {'.'.join(map(str, OLDEST_PYTHON))} is needed")
    return Contents(
        version=version,
        folders=tuple(found["folders"]),
        links=found["links"],
        files=found["files"],
        path=tuple(found["path"]),
    )
