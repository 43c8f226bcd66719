"""What the zygote has of /proc, makes of it for its candidates, and sets there from one run to the next."""

from __future__ import annotations

import os
import socket
import time
from typing import FrozenSet, NamedTuple, Optional

from . import linux

MAX_PIDS = 4096
"""Processes and threads that any program may be allowed; sandbox.limits."""
_RESERVED_PIDS = 301
"""Numbers that the kernel never gives out again after its count has wrapped."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_SHORT_LIST = 3 << 10
"""The kernel ends a chunk before the line that would make it longer than a page, and no line has a KiB."""
_GARBAGE_S = 5.0
"""How long the kernel may take to collect sockets in flight; it takes milliseconds."""


class Proc(NamedTuple):
    """A /proc, and what can be set by it."""

    descriptor: int
    """Of a mount that shows everything of its process-id namespace."""
    pid_max: Optional[int]
    """How many numbers the namespace gives out, where the kernel (from 6.14 on) counts them for each: a fence behind
    RLIMIT_NPROC."""
    last_pid: Optional[int]
    """Descriptor of the setting by which the next process gets a low number again: how many processes ran before is
    nobody's business. None where the kernel lacks it (CONFIG_CHECKPOINT_RESTORE)."""
    sockets: Optional[int]
    """Descriptor of the list of local sockets in the slot's network namespace, which its runs share one after the
    other. None at level `landlock`, where no program makes any."""
    own_names: FrozenSet[bytes]
    """Abstract names of the slot's own sockets."""


def host() -> Proc:
    """The /proc that is there, which belongs to others. Raises OSError."""
    return Proc(os.open("/proc", _FOLDER), None, None, None, frozenset())


def mount() -> Proc:
    """A /proc for candidates, in which each sees its own processes only, and one that shows all. Raises OSError."""
    flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    linux.mount("proc", "/tmp", "proc", flags)
    proc = os.open("/tmp", _FOLDER)
    pid_max = last_pid = None
    try:
        setting = os.open("/tmp/sys/kernel/pid_max", os.O_RDWR | os.O_CLOEXEC)
        os.write(setting, b"%d" % (_RESERVED_PIDS + MAX_PIDS))
        pid_max = int(os.pread(setting, 32, 0))
        os.close(setting)
    except OSError:
        pass  # it is the host's own, and not ours to set
    try:
        last_pid = os.open("/tmp/sys/kernel/ns_last_pid", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        pass
    sockets = os.open("/tmp/self/net/unix", os.O_RDONLY | os.O_CLOEXEC)
    linux.unmount("/tmp")
    # subset=pid leaves only the processes: no host settings, no kernel counters. hidepid leaves only those that the
    # reader may trace: not PID 1, which is this process. Read-only: a program has settings there of its own.
    linux.mount("proc", "/proc", "proc", flags | linux.MS_RDONLY, "subset=pid,hidepid=ptraceable")
    return Proc(proc, pid_max, last_pid, sockets, _abstract_names(sockets))


def forget_previous_run(proc: Proc) -> None:
    """Take away what can outlive the last process: the count of processes, and names of sockets still in flight.

    Raises:
        OSError: such a socket is there after seconds.
    """
    if proc.last_pid is not None:
        os.pwrite(proc.last_pid, b"1", 0)
    if proc.sockets is None:
        return
    end = time.monotonic() + _GARBAGE_S
    while not _abstract_names(proc.sockets) <= proc.own_names:
        if time.monotonic() > end:
            raise OSError("a socket of the run before is still there")
        collect_garbage()


def collect_garbage() -> None:
    """Have the kernel collect descriptors in flight that only sockets in flight hold: it does when one is closed."""
    for sock in socket.socketpair():
        sock.close()
    time.sleep(0.001)


def _abstract_names(sockets: int) -> FrozenSet[bytes]:
    """From the list's descriptor: to open it for every run would cost three times as much as to read it."""
    content = chunk = os.pread(sockets, 1 << 14, 0)
    while len(chunk) > _SHORT_LIST:
        chunk = os.pread(sockets, 1 << 14, len(content))
        content += chunk
    return frozenset(line.split(b"@", 1)[1] for line in content.splitlines() if b"@" in line)
