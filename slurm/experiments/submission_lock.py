"""Who may submit an experiment's tasks, and who runs them on this machine."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from slurm.errors import ExperimentError
from slurm.experiments.folder import ExperimentFolder

_LOCAL_LOCK, _HOLDER = ".local.lock", ".local"


@contextmanager
def submitting(folder: ExperimentFolder, *, for_long: bool = False) -> Iterator[None]:
    """Of two commands that submit one waits; while tasks run on this machine others are refused.

    Args:
        for_long: tasks run on this machine: none of them may be submitted by somebody else meanwhile.

    Raises:
        ExperimentError: its tasks run on a machine already; or see `ExperimentFolder.locked`.
    """
    with folder.locked(), (folder.path / _LOCAL_LOCK).open("a") as mine:
        try:
            fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ExperimentError(
                f"{folder.path}: `submit --local` runs its tasks; stop that first, or wait for its end"
            ) from None
        except OSError:  # a file system without locks
            pass
        if not for_long:
            yield
            return
        (folder.path / _HOLDER).write_text(f"{os.getpid()} {socket.gethostname()}")
        kept = os.dup(mine.fileno())
    try:
        yield
    finally:
        (folder.path / _HOLDER).unlink(missing_ok=True)
        os.close(kept)


class Holder(NamedTuple):
    """A process that runs the experiment's tasks on its machine."""

    pid: int
    host: str


def local_holder(folder: ExperimentFolder) -> Holder | None:
    """The one there is. What a killed one has left names nobody."""
    try:
        pid, host = (folder.path / _HOLDER).read_text().split()
        with (folder.path / _LOCAL_LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return Holder(int(pid), host)
    except (OSError, ValueError):
        pass
    return None
