"""What is added to an unpacked root file system, so that containers start in it without writing there.

Source: enroot 4.1, `enroot start`: it locks /.lock of what it starts, and makes what it mounts upon.
"""

from __future__ import annotations

import os
from pathlib import Path

from containers.process import INSIDE, NOBODY

_LOCK = ".lock"
_MOUNTED = ("proc", "sys", "dev", "tmp", INSIDE.lstrip("/"))
_RUNTIME = "runtime"


def make_startable(root: Path) -> None:
    """Adds it.

    Raises:
        OSError: it cannot be.
    """
    for name in _MOUNTED:
        if not os.path.lexists(root / name):
            (root / name).mkdir()
    runtime_folder(root).mkdir()
    lock = root / _LOCK
    lock.unlink(missing_ok=True)  # an image's own may be a link to a file of this host, and is cut to length 0
    lock.touch(mode=0o600)
    if os.geteuid() == 0:
        os.chown(lock, NOBODY, NOBODY)


def is_startable(root: Path) -> bool:
    """Whether it was added."""
    return (root / _LOCK).is_file() and runtime_folder(root).is_dir()


def runtime_folder(root: Path) -> Path:
    """An empty folder beside it, for each container to mount a file system of its own upon."""
    return root.parent / _RUNTIME
