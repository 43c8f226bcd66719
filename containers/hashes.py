"""SHA-256 of files and texts; that of a file is remembered for as long as the file stays as it was."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from containers.locks import locked_file
from containers.runtime import ContainerError

_DIGITS = 64


def text_digest(text: str) -> str:
    """Of its UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Of all of the file, read now.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_digest(path: Path, memory: Path) -> str:
    """Of the file, read only if it was not before by anybody who shares the memory.

    Args:
        memory: a folder; it has a file for each that was read, named by device, inode, size and times.

    Raises:
        ContainerError: the file is being written to.
        OSError: it cannot be read, or the memory not be written.
    """
    stamp = _stamp(path)
    with locked_file(memory / text_digest(stamp)) as known:
        said = os.read(known, _DIGITS + 1).decode()
        if len(said) == _DIGITS:
            return said
        digest = file_digest(path)
        if _stamp(path) != stamp:
            raise ContainerError(f"{path} was changed while it was read; try again when it is complete")
        os.truncate(known, 0)
        os.pwrite(known, digest.encode(), 0)
        return digest


def _stamp(path: Path) -> str:
    found = path.stat()
    return f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
