"""What the probe tries of system calls and files: whether the filter and Landlock hold, each by itself."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
from typing import Any, Callable, Dict, List, Optional

from .linux import MACHINE, _libc

Facts = Dict[str, Any]
"""What the broker knows; see Broker.measure_guards."""


class Absent(Exception):  # noqa: N818 - no error: this kernel or this machine lacks an optional guard
    """An optional guard is not there; the text says what lacks it."""


def error_of(action: Callable[[], object]) -> int:
    """The number of the error that an action fails with; 0 where it succeeds."""
    try:
        action()
    except OSError as error:
        return error.errno or -1
    return 0


def succeeds(action: Callable[[], object]) -> bool:
    """Whether an action ends without an OSError."""
    return error_of(action) == 0


_NUMBERS = {
    # by name, on x86-64 and on aarch64
    "sendto": (44, 206),
    "unshare": (272, 97), "setns": (308, 268), "ptrace": (101, 117), "keyctl": (250, 219),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "clone3": (435, 435),
    "flock": (73, 32), "memfd_create": (319, 279), "fcntl": (72, 25), "ioctl": (16, 29), "prctl": (157, 167),
    "rt_sigaction": (13, 134), "prlimit64": (302, 261), "personality": (135, 92), "semget": (64, 190),
    "inotify_init1": (294, 26), "chmod": (90, 53), "socket": (41, 198), "clone": (56, 220),
}  # fmt: skip


def _errno_of_call(name: str, *arguments: int) -> int:
    number = _NUMBERS[name][0 if MACHINE == "x86_64" else 1]
    ctypes.set_errno(0)
    result = _libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
    return ctypes.get_errno() if result == -1 else 0


# Each would succeed or fail with another error if only the filter were missing.
_REFUSED = (
    ("unshare", (0,), errno.EPERM),
    ("setns", (-1, 0), errno.EPERM),
    ("ptrace", (999, 0, 0, 0), errno.EPERM),
    ("keyctl", (0, -3, 0), errno.EPERM),
    ("perf_event_open", (0, 0, -1, -1, 0), errno.EPERM),
    ("userfaultfd", (-1,), errno.EPERM),
    ("io_uring_setup", (0, 0), errno.ENOSYS),
    ("clone3", (0, 0), errno.ENOSYS),
    ("flock", (-1, 0), errno.EPERM),
    ("fcntl", (-1, 1025), errno.EPERM),  # F_GETLEASE
    ("fcntl", (-1, 1026), errno.EPERM),  # F_NOTIFY
    ("ioctl", (-1, 0x5412), errno.EPERM),  # TIOCSTI
    ("ioctl", (-1, 0x5411), errno.ENOTTY),  # TIOCOUTQ
    ("sendto", (-1, 0, 0, 1, 0, 0), errno.EPERM),  # MSG_OOB
    ("prctl", (4, 1), errno.EPERM),  # PR_SET_DUMPABLE
    ("rt_sigaction", (17, 1, 0, 8), 0),  # SIGCHLD: said to be done, at an address where nothing is
    ("prlimit64", (1 << 30, 0, 0, 0), errno.EPERM),
    ("personality", (0,), errno.EPERM),
    ("semget", (0, -1, 0), errno.EPERM),
    ("inotify_init1", (-1,), errno.EPERM),
    ("memfd_create", (0, -1), errno.EPERM),
    ("clone", (-1, 0, 0, 0, 0), errno.EPERM),  # with every CLONE_NEW* flag, and many that contradict each other
)


def seccomp(_facts: Facts) -> str:
    """The filter, by calls that only it refuses so."""
    for name, arguments, expected in _REFUSED:
        found = _errno_of_call(name, *arguments)
        if found != expected:
            return "%s%r answers %s" % (name, arguments, errno.errorcode.get(found, found))
    if _errno_of_call("socket", 16, 3, 0) not in (errno.EAFNOSUPPORT, errno.EPERM):
        return "a netlink socket can be made"
    if succeeds(lambda: mmap.mmap(-1, mmap.PAGESIZE).close()):
        return "shared anonymous memory can be made"
    return ""


def single_process(_facts: Facts) -> str:
    """What the filter refuses besides, to a process that no namespace holds."""
    if succeeds(lambda: os._exit(0) if os.fork() == 0 else None):
        return "another process can be started"
    if succeeds(lambda: os.kill(os.getppid(), 0)):
        return "another process can be signalled"
    if _errno_of_call("socket", 1, 1, 0) != errno.EPERM:
        return "a socket can be made"
    if succeeds(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)):
        return "a socket can be made that speaks to others"
    # Of a file that is not there: were the filter missing, it would be cut.
    if error_of(lambda: os.close(os.open("/qrpo-probe", os.O_RDONLY | os.O_TRUNC))) != errno.EPERM:
        return "a file can be cut that may only be read"
    return "" if _errno_of_call("chmod", -1, 0, 0) == errno.EPERM else "the mode of a file can be changed"


def landlock_inside(facts: Facts) -> str:
    """Landlock as a second fence, by what the namespaces and the mounts allow."""
    version = facts["zygote"]["landlock"]
    if version == 0:
        raise Absent("this kernel has no Landlock, or it is not in its list of security modules")
    for wrong in _landlock_gaps(facts, version):
        if wrong:
            return wrong
    return ""


def _landlock_gaps(facts: Facts, version: int) -> List[Optional[str]]:
    """What is wrong with each thing that this version of Landlock refuses; all of them are refused by nothing else."""
    gaps: List[Optional[str]] = []
    zero = error_of(lambda: os.close(os.open("/dev/zero", os.O_RDWR)))
    gaps.append("files can be opened for writing" if zero != errno.EACCES else None)
    if version >= 6:
        with socket.socket(socket.AF_UNIX) as sock:
            found = error_of(lambda: sock.connect(facts["socket"]))
            gaps.append("an abstract socket outside can be reached" if found != errno.EPERM else None)
    return gaps


def landlock_outside(facts: Facts) -> str:
    """Landlock alone, in the host's own file system."""
    if facts["zygote"]["landlock"] == 0:
        return "this kernel has no Landlock, or it is not in its list of security modules"
    for path, flags in (
        ("/proc/self/status", os.O_RDONLY), ("/etc/passwd", os.O_RDONLY), ("/", os.O_RDONLY), ("/tmp", os.O_RDONLY),
        (os.path.expanduser("~"), os.O_RDONLY), ("/dev/shm/qrpo-probe", os.O_CREAT | os.O_WRONLY),
        ("/tmp/qrpo-probe", os.O_CREAT | os.O_WRONLY), ("/tmp", os.O_TMPFILE | os.O_WRONLY),
    ):  # fmt: skip
        found = error_of(lambda path=path, flags=flags: os.close(os.open(path, flags, 0o600)))  # type: ignore[misc]
        if found not in (errno.EACCES, errno.ENOENT, errno.EROFS, errno.EOPNOTSUPP):
            return "%s can be opened" % path
    for path in facts["hidden"]:
        if succeeds(lambda path=path: os.close(os.open(path, os.O_RDONLY))):  # type: ignore[misc]
            return "%s can be opened, which is to be hidden" % path
    return ""
