"""Folders in which nobody but their owner can have put something."""

from __future__ import annotations

import os
import stat
from pathlib import Path

NOBODY_ELSE = 0o077
"""Others can do nothing in it."""
NOBODY_ELSE_WRITES = 0o022
"""Others can pass through, and read what they may."""


def is_private(folder: Path, forbidden: int = NOBODY_ELSE) -> bool:
    """Whether it is a folder of this user's own, no link to one, that gives others none of these rights.

    Raises:
        OSError: it cannot be looked at; it is not there, say.
    """
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & forbidden
