"""The root file system of a slot: an empty tmpfs with read-only binds of what an interpreter needs.

Source: the order of steps is that of pivot_root(2), "new root on a tmpfs".
"""

from __future__ import annotations

import os
from typing import Any, Dict, List

from . import landlock, linux

_OLD = "/.old"
_FOLDERS = ("/etc", "/dev", "/proc", "/tmp", "/var")
WRITABLE_DEVICES = ("null", "full")
READABLE_DEVICES = ("random", "urandom")
ZERO = "zero"
"""Mapped shared for writing it is anonymous shared memory, which the filter denies (see seccomp.py). So it is there
only where Landlock lets nobody open it for writing."""
_FILES = {
    "/etc/passwd": "sandbox:x:1000:1000::/tmp:/bin/sh\n",
    "/etc/group": "sandbox:x:1000:\n",
    "/etc/hosts": "127.0.0.1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}


def devices() -> List[str]:
    """Names below /dev that are devices."""
    return [*WRITABLE_DEVICES, *READABLE_DEVICES, *([ZERO] if landlock.version() else [])]


def entries(spec: Dict[str, Any]) -> List[str]:
    """What lies directly below the root that `build` makes."""
    paths = [*spec["links"], *spec["binds"], *_FOLDERS]
    return sorted({path.split("/")[1] for path in paths})


def build(spec: Dict[str, Any]) -> None:
    """Make the root in a new mount namespace and move into it. Raises OSError.

    Args:
        spec: `binds` {path inside: path outside}, `links` {path inside: target} and `hidden` [folders inside
            that must look empty].
    """
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_SLAVE)
    base = "/tmp"  # any folder that exists: the tmpfs hides it only until it becomes the root
    linux.mount("tmpfs", base, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755,size=16m")
    os.mkdir(base + _OLD)
    linux.pivot_root(base, base + _OLD)
    os.chdir("/")
    linux.mount("none", _OLD, None, linux.MS_REC | linux.MS_PRIVATE)
    os.umask(0o022)
    for path, target in sorted(spec["links"].items()):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(target, path)
    for path, source in sorted(spec["binds"].items()):  # a folder before what lies in it
        _bind(_OLD + source, path)
    for path in spec["hidden"]:
        if os.path.isdir(path):
            linux.mount("tmpfs", path, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_RDONLY, "size=4k,mode=555")
    _populate()
    linux.unmount(_OLD)
    os.rmdir(_OLD)
    linux.mount("none", "/", None, linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | 6)


def _bind(source: str, path: str) -> None:
    if os.path.isdir(source):
        os.makedirs(path, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "ab").close()
    linux.mount(source, path, None, linux.MS_BIND | linux.MS_REC)
    linux.make_read_only(path)


def _populate() -> None:
    for folder in _FOLDERS:
        os.makedirs(folder, exist_ok=True)
    for name in devices():
        open("/dev/" + name, "wb").close()
        linux.mount(_OLD + "/dev/" + name, "/dev/" + name, None, linux.MS_BIND)
        linux.make_read_only("/dev/" + name, is_device=True)  # its time stamps are the whole machine's
    for link, target in (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
                         ("stderr", "/proc/self/fd/2"), ("shm", "/tmp")):  # fmt: skip
        os.symlink(target, "/dev/" + link)
    os.symlink("/tmp", "/var/tmp")
    for path, text in _FILES.items():
        with open(path, "w") as file:
            file.write(text)
    # Kept unhidden and whole: the kernel lets a nested namespace mount its own /proc only beside one like it.
    linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
