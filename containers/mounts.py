"""What is mounted where. Source: proc(5), /proc/PID/mountinfo."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

_FILE = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """A file system at a place."""

    root: PurePosixPath
    """What of the file system is to be seen there."""
    point: PurePosixPath
    options: frozenset[str]
    """Of the mount: `noexec`, `nodev` and the like."""
    type: str
    """As mount(8) calls it."""
    file_system_options: frozenset[str]
    """Of the file system, wherever it is mounted; for control groups of version 1 the controllers."""


def mountinfo() -> str:
    """This process's list. Raises OSError."""
    return _FILE.read_text(errors="surrogateescape")  # anybody's mount point may be no UTF-8


def mounts(text: str) -> Iterator[Mount]:
    """In the order in which they were mounted; of those at one place the last hides the others."""
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(" "), right.split(" ")
        if len(fields) < 6 or len(kind) < 3:
            continue
        yield Mount(
            root=_unescaped(fields[3]),
            point=_unescaped(fields[4]),
            options=frozenset(fields[5].split(",")),
            type=kind[0],
            file_system_options=frozenset(kind[2].split(",")),
        )


def _unescaped(path: str) -> PurePosixPath:
    return PurePosixPath(_OCTAL.sub(lambda octal: chr(int(octal[1], 8)), path))
