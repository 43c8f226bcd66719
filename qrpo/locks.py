"""A folder for one process at a time."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qrpo.errors import PipelineError

LOCK = ".lock"
"""The file in a folder that is locked. It stays: to remove it would let two processes lock two files."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keeps a folder to this process: two that write the same journal would write everything twice.

    The system gives the lock back when the process ends, however it does. Where a file system has no locks, there is
    none.

    Raises:
        PipelineError: another process has it.
    """
    with (folder / LOCK).open("ab") as stream:
        try:
            # Not flock, which children inherit and would keep when this process is killed.
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise PipelineError(
                f"another process is at work in {folder}; let it end, or stop it, or give another --output_dir"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield
