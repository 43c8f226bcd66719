"""Files that a program has left, taken out of its folder after its end.

The zygote takes them, in whose mount namespace the folder is, when nothing of the run lives that could change it. The
program chose what lies there: no link is followed, nothing is waited for, and the kernel copies the bytes into a file
of memory, so that none is ever in the zygote.
"""

from __future__ import annotations

import os
import stat
from typing import Dict, List, Optional, Sequence

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def copy_files(folder: Optional[int], names: Sequence[str], to: int, most: int) -> List[int]:
    """Append files to `to`; the size of each, or -1 where it was not copied.

    Args:
        folder: descriptor of the folder that the names begin in.
        names: relative paths, without `..`.
        most: bytes of all together; a file that would exceed it is not copied.

    Raises:
        OSError: the host cannot copy.
    """
    sizes = []
    for name in names:
        file = None if folder is None else _open(folder, name)
        size = -1
        if file is not None:
            try:
                size = _copy(file, to, most)
            finally:
                os.close(file)
        most -= max(0, size)
        sizes.append(size)
    return sizes


def read_fetched(memory: int, names: Sequence[str], sizes: Sequence[int]) -> Dict[str, bytes]:
    """What `copy_files` has copied, by name."""
    files = {}
    offset = 0
    for name, size in zip(names, sizes):
        if size >= 0:
            files[name] = os.pread(memory, size, offset)
            offset += size
    return files


def _open(folder: int, name: str) -> Optional[int]:
    """A descriptor of the file, whatever it is; None where there is none that may be opened."""
    *folders, last = name.split("/")
    here = folder
    try:
        for part in folders:
            inner = os.open(part, _FOLDER, dir_fd=here)
            if here != folder:
                os.close(here)
            here = inner
        return os.open(last, _FILE, dir_fd=here)
    except OSError:
        return None
    finally:
        if here != folder:
            os.close(here)


def _copy(file: int, to: int, most: int) -> int:
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_size > most:
        return -1
    left = found.st_size
    while left:
        left -= os.sendfile(to, file, found.st_size - left, left)
    return found.st_size
