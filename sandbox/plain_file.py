"""Small files in a folder where anything may lie."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_MOST_BYTES = 1 << 16


class NoPlainFileError(Exception):
    """It is a link, a folder, a FIFO, a socket or a device."""


def read_plain(path: Path) -> tuple[bytes, os.stat_result]:
    """The content: a FIFO is not waited for, and no link is followed to what others may have written.

    Raises:
        NoPlainFileError: it is something else.
        OSError: it cannot be read.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode):
                return file.read(_MOST_BYTES), found
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.ELOOP, errno.ENXIO):
            raise
    raise NoPlainFileError(f"{path} is no plain file")


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)
