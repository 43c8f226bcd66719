"""flock(2), on files and on folders that others may remove meanwhile."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def lock_folder(folder: Path, operation: int) -> int:
    """Locks a folder, which is made where it is missing; see `lock_present`."""
    while True:
        try:
            folder.mkdir()
            folder.chmod(0o755)  # the containers of root are another user's
        except FileExistsError:
            pass
        try:
            return lock_present(folder, operation)
        except FileNotFoundError:
            continue  # removed since


def lock_present(folder: Path, operation: int) -> int:
    """Locks a folder.

    Args:
        operation: of flock(2).

    Returns:
        A descriptor; closing it releases the lock.

    Raises:
        FileNotFoundError: it is not there, or was removed while the lock was waited for.
        BlockingIOError: somebody else holds it, and the operation has LOCK_NB.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, operation)
        if not os.path.samestat(os.fstat(descriptor), folder.stat()):
            raise FileNotFoundError(errno.ENOENT, "it was replaced", str(folder))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def locked_file(path: Path) -> Iterator[int]:
    """A descriptor of the file, made where it is missing, which nobody else has locked."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
