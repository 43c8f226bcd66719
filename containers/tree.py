"""Folders with what an image holds: how much it is, what of it is dangerous here, and how to remove it."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import NamedTuple

_PRIVILEGES = stat.S_ISUID | stat.S_ISGID


class Extent(NamedTuple):
    """How much there is in a folder."""

    entries: int
    """Files, folders and links."""
    size_bytes: int
    """Of the files, as they tell."""


def measured(root: Path) -> Extent:
    """What is in it; what this user may not open counts as empty."""
    entries = size = 0
    for folder, names, files in os.walk(root):
        entries += len(names) + len(files)
        for name in files:
            found = os.lstat(os.path.join(folder, name))  # noqa: PTH118  # of tens of thousands
            size += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return Extent(entries, size)


def disarm(root: Path) -> None:
    """Takes away what an image that root unpacks would give to whoever reaches it: set-user-id files, and devices."""
    for folder, _, files in os.walk(root):
        for name in files:
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
                path.unlink()
            elif stat.S_ISREG(mode) and mode & _PRIVILEGES:
                path.chmod(stat.S_IMODE(mode) & ~_PRIVILEGES)


def remove(root: Path) -> None:
    """Removes it, folders that were made read-only too.

    Raises:
        OSError: something of it cannot be removed.
    """
    root.chmod(0o700)
    for folder, names, _ in os.walk(root):  # a child's mode is changed before it is looked into
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o700)
    shutil.rmtree(root)
