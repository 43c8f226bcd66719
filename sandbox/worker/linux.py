"""System calls that the standard library lacks. Each raises OSError. Source: the man page of its name."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from typing import Dict, Optional

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38

CAP_SYS_ADMIN = 21

INSIDE_ID = 1000
NAMESPACE_KINDS = ("user", "pid", "mnt", "ipc", "uts", "net")

_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 1
_MOUNT_ATTR_NOSUID = 2
_MOUNT_ATTR_NODEV = 4
_MOUNT_ATTR_NOEXEC = 8
_SYS_MOUNT_SETATTR, _SYS_CLOSE_RANGE = 442, 436  # the same numbers on every architecture
_SYS = {
    "x86_64": {"clone": 56, "capset": 126, "pivot_root": 155, "signalfd4": 289, "kcmp": 312},
    "aarch64": {"clone": 220, "capset": 91, "pivot_root": 41, "signalfd4": 74, "kcmp": 272},
}

MACHINE = os.uname().machine  # the module platform would remember the host's name for every program
if MACHINE not in _SYS:
    raise RuntimeError("this machine is %r; the sandbox knows %s" % (MACHINE, ", ".join(_SYS)))

_libc = ctypes.CDLL(None, use_errno=True)
# PyDLL keeps the interpreter lock: between fork and exec nothing else may run.
_libc_locked = ctypes.PyDLL(None, use_errno=True)
_libc_locked.syscall.restype = ctypes.c_long
# Made once: each object made in a clone is a page for the kernel to copy.
_CAPABILITY_HEADER = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
_NO_CAPABILITIES = (ctypes.c_uint32 * 6)()
_CLONE, _CAPSET = ctypes.c_long(_SYS[MACHINE]["clone"]), ctypes.c_long(_SYS[MACHINE]["capset"])
_libc.syscall.restype = ctypes.c_long
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, "%s: %s" % (what, os.strerror(code)))
    return result


def clone(flags: int) -> int:
    """Fork into new namespaces, clone(2): 0 in the child, its pid in the parent. Only for a process with one thread.

    Nothing of what os.fork does around it: with no other thread every lock of the interpreter and of libc is as the
    child needs it, and those repairs write to so many pages, each of which the kernel then copies, that they cost as
    much as the fork itself. What is registered with os.register_at_fork is not called, so `random` goes on from the
    parent's state; and libc keeps the parent's thread id until the child forks itself, which nothing here relies on.
    """
    none = ctypes.c_void_p(None)
    pid = _libc_locked.syscall(_CLONE, ctypes.c_ulong(flags | signal.SIGCHLD), none, none, none, none)
    if pid < 0:
        code = ctypes.get_errno()
        raise OSError(code, "clone: %s" % os.strerror(code))
    return int(pid)


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, fstype: Optional[str], flags: int, data: str = "") -> None:
    """mount(2)."""
    kind = fstype.encode() if fstype else None
    _check(
        _libc.mount(os.fsencode(source), os.fsencode(target), kind, flags, data.encode()),
        "mount %s on %s" % (fstype or source, target),
    )


def unmount(target: str) -> None:
    """umount2(2), lazily."""
    _check(_libc.umount2(ctypes.c_char_p(os.fsencode(target)), ctypes.c_int(MNT_DETACH)), "umount2 " + target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)."""
    new, old = ctypes.c_char_p(os.fsencode(new_root)), ctypes.c_char_p(os.fsencode(put_old))
    _check(_libc.syscall(ctypes.c_long(_SYS[MACHINE]["pivot_root"]), new, old), "pivot_root " + new_root)


class _MountAttr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def make_read_only(target: str, is_device: bool = False) -> None:
    """Make a mount and all below it read-only, nosuid and nodev; a device, which can be written to still, noexec."""
    last = _MOUNT_ATTR_NOEXEC if is_device else _MOUNT_ATTR_NODEV
    attr = _MountAttr(set=_MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID | last)
    result = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        ctypes.c_char_p(os.fsencode(target)),
        ctypes.c_uint(_AT_RECURSIVE),
        ctypes.byref(attr),
        ctypes.c_size_t(ctypes.sizeof(attr)),
    )
    if result == 0:
        return
    # Before Linux 5.12: one remount per mount, keeping the flags that a user namespace locks.
    for point in _mounts_below(target):
        locked = os.statvfs(point).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC | 1024 | 2048 | 4096)
        # statvfs tells noatime, nodiratime and relatime by other bits than mount(2) takes.
        flags = locked & 15 | (locked & 3072) | ((1 << 21) if locked & 4096 else 0)
        kind = MS_NOEXEC if is_device else MS_NODEV
        mount("none", point, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | kind | flags)


def _mounts_below(target: str) -> list[str]:
    points = []
    with open("/proc/self/mountinfo", "rb") as lines:
        for line in lines:
            point = os.fsdecode(line.split()[4].decode("unicode_escape").encode("latin-1"))
            if point == target or point.startswith(target.rstrip("/") + "/"):
                points.append(point)
    return points


def deny_setgroups(proc: int) -> None:
    """In this process's new user namespace and all below it, before it maps groups; user_namespaces(7)."""
    write_file("self/setgroups", b"deny", proc)


def map_ids(uid: bytes, gid: bytes, proc: int) -> None:
    """Map ids of this process's new user namespace to those it was made by; user_namespaces(7).

    Args:
        uid: see id_map. gid: likewise.
        proc: a descriptor of a /proc that can be written.
    """
    write_file("self/uid_map", uid, proc)
    write_file("self/gid_map", gid, proc)


def id_map(outside: int) -> bytes:
    """INSIDE_ID, and no other, for an id outside."""
    return b"%d %d 1" % (INSIDE_ID, outside)


def write_file(path: str, content: bytes, folder: int) -> None:
    """Write to a file that exists; io's file objects cost several times as much."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


def prctl(option: int, value: int) -> int:
    """prctl(2) with one argument."""
    return _check(_libc.prctl(option, value, 0, 0, 0), "prctl %d" % option)


def set_host_name(name: str) -> None:
    """sethostname(2)."""
    encoded = os.fsencode(name)
    _check(_libc.sethostname(ctypes.c_char_p(encoded), ctypes.c_size_t(len(encoded))), "sethostname")


def close_from(lowest: int) -> None:
    """Close every descriptor from `lowest` on; close_range(2)."""
    most = ctypes.c_uint(0xFFFFFFFF)
    if _libc.syscall(ctypes.c_long(_SYS_CLOSE_RANGE), ctypes.c_uint(lowest), most, ctypes.c_uint(0)) != 0:
        os.closerange(lowest, os.sysconf("SC_OPEN_MAX"))  # before Linux 5.9


def drop_capabilities() -> None:
    """Give up every capability: effective, permitted and inheritable; see capabilities(7)."""
    _check(_libc.syscall(_CAPSET, _CAPABILITY_HEADER, _NO_CAPABILITIES), "capset")


def keep_capability(kept: int) -> None:
    """Give up every capability but one."""
    data = (ctypes.c_uint32 * 6)()
    word = 3 * (kept // 32)
    data[word] = data[word + 1] = 1 << kept % 32
    _check(_libc.syscall(_CAPSET, _CAPABILITY_HEADER, data), "capset")


def signal_fd(number: int) -> int:
    """signalfd(2): a descriptor that becomes readable when the (blocked) signal arrives; close-on-exec."""
    mask = ctypes.c_uint64(1 << (number - 1))
    flags = os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = _libc.syscall(
        ctypes.c_long(_SYS[MACHINE]["signalfd4"]),
        ctypes.c_int(-1),
        ctypes.byref(mask),
        ctypes.c_size_t(8),
        ctypes.c_int(flags),
    )
    return int(_check(descriptor, "signalfd4"))


def namespaces() -> Dict[str, str]:
    """This process's namespaces by kind; namespaces(7)."""
    return {kind: os.readlink("/proc/self/ns/" + kind) for kind in NAMESPACE_KINDS}


def is_same_memory(first: int, second: int) -> bool:
    """Whether two processes share their memory, as a vfork does until it executes; kcmp(2)."""
    number = ctypes.c_long(_SYS[MACHINE]["kcmp"])
    return int(_libc.syscall(number, ctypes.c_int(first), ctypes.c_int(second), ctypes.c_int(1), None, None)) == 0


def process_cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process, ns; 0 when it is gone. Source: clock_getcpuclockid(3)."""
    try:
        return time.clock_gettime_ns(((~pid) << 3) | 2)
    except OSError:
        return 0
