"""Measure the guards from inside: our own code in a candidate's place tries what a program must not be able to do.

Each check fails when the guard it is named for is taken away, whatever the others still hold.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import socket
import time
from typing import Any, Callable, Dict, List, Optional

from .cage import LANDLOCK
from .linux import MACHINE, _libc

Facts = Dict[str, Any]
"""What the broker knows; see Broker.measure_guards."""


class Absent(Exception):  # noqa: N818 - no error: this kernel or this machine lacks an optional guard
    """An optional guard is not there; the text says what lacks it."""


def measure(facts: Facts) -> Dict[str, Dict[str, str]]:
    """`guards`: each guard and what is wrong with it, the empty string where it holds; `absent`: those not there."""
    guards: Dict[str, str] = {}
    absent: Dict[str, str] = {}
    for name, check in (_AT_LANDLOCK if facts["level"] == LANDLOCK else _AT_USERNS).items():
        try:
            guards[name] = check(facts)
        except Absent as reason:
            absent[name] = str(reason)
        except OSError as error:
            guards[name] = "could not be tried: %s" % error
    return {"guards": guards, "absent": absent}


def _status_field(name: str) -> str:
    with open("/proc/self/status") as lines:
        for line in lines:
            if line.startswith(name + ":"):
                return line.split(":", 1)[1].strip()
    return ""


def _error_of(action: Callable[[], object]) -> int:
    """The number of the error that an action fails with; 0 where it succeeds."""
    try:
        action()
    except OSError as error:
        return error.errno or -1
    return 0


def _succeeds(action: Callable[[], object]) -> bool:
    return _error_of(action) == 0


def _user_namespace(facts: Facts) -> str:
    return _own_namespace(facts, "user")


def _pid_namespace(facts: Facts) -> str:
    if facts["broker"] != 1:
        return "the broker is not PID 1 of the slot"
    return _namespace_unlike("pid", facts["host"], facts["slot"])


def _mount_namespace(facts: Facts) -> str:
    return _own_namespace(facts, "mnt")


def _ipc_namespace(facts: Facts) -> str:
    return _own_namespace(facts, "ipc")


def _uts_namespace(facts: Facts) -> str:
    # Where the host's machine has the name that slots are given, the namespace tells them apart.
    return _namespace_unlike("uts", facts["host"]) or (
        "" if os.uname().nodename == "sandbox" else "the host's name shows"
    )


def _own_namespace(facts: Facts, kind: str) -> str:
    """A namespace that each run has for itself."""
    return _namespace_unlike(kind, facts["host"], facts["slot"], facts["zygote"]["namespaces"])


def _namespace_unlike(kind: str, *others: Dict[str, str]) -> str:
    mine = os.readlink("/proc/self/ns/" + kind)
    return "the %s namespace is shared" % kind if mine in [other[kind] for other in others] else ""


def _network_namespace(facts: Facts) -> str:
    for family, address in ((socket.AF_INET, ("127.0.0.1", 9)), (socket.AF_INET6, ("::1", 9))):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect(address)  # of a datagram socket: sends nothing
        except OSError as error:
            if error.errno not in (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                return "connect fails for another reason: %s" % error
        else:
            return "%s is reachable" % address[0]
    return _namespace_unlike("net", facts["host"])


def _unprivileged(_facts: Facts) -> str:
    return "" if os.getuid() != 0 and os.geteuid() != 0 else "the program runs as uid 0"


def _capabilities(_facts: Facts) -> str:
    # capget(2), because /proc may be out of reach
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    if _libc.syscall(ctypes.c_long({"x86_64": 125, "aarch64": 90}[MACHINE]), ctypes.byref(header), ctypes.byref(data)):
        return "they cannot be asked for"
    return "capabilities are held: %s" % [hex(word) for word in data] if any(data) else ""


def _no_new_privileges(_facts: Facts) -> str:
    return "" if _libc.prctl(39, 0, 0, 0, 0) == 1 else "no_new_privs is off"  # PR_GET_NO_NEW_PRIVS


_DEVICE_FOLDER = {"null", "zero", "full", "random", "urandom", "fd", "shm", "stderr", "stdin", "stdout"}
_NUMBERS = {
    # by name, on x86-64 and on aarch64
    "sendto": (44, 206),
    "unshare": (272, 97), "setns": (308, 268), "ptrace": (101, 117), "keyctl": (250, 219),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "clone3": (435, 435),
    "flock": (73, 32), "memfd_create": (319, 279), "fcntl": (72, 25), "ioctl": (16, 29), "prctl": (157, 167),
    "rt_sigaction": (13, 134), "prlimit64": (302, 261), "personality": (135, 92), "semget": (64, 190),
    "inotify_init1": (294, 26), "getpid": (39, 172), "chmod": (90, 53), "socket": (41, 198), "clone": (56, 220),
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
    ("rt_sigaction", (17, 0, 0, 8), errno.EPERM),  # SIGCHLD
    ("prlimit64", (1 << 30, 0, 0, 0), errno.EPERM),
    ("personality", (0,), errno.EPERM),
    ("semget", (0, -1, 0), errno.EPERM),
    ("inotify_init1", (-1,), errno.EPERM),
    ("memfd_create", (0, -1), errno.EPERM),
    ("clone", (-1, 0, 0, 0, 0), errno.EPERM),  # with every CLONE_NEW* flag, and many that contradict each other
)


def _seccomp(_facts: Facts) -> str:
    for name, arguments, expected in _REFUSED:
        found = _errno_of_call(name, *arguments)
        if found != expected:
            return "%s%r answers %s" % (name, arguments, errno.errorcode.get(found, found))
    if _errno_of_call("socket", 16, 3, 0) not in (errno.EAFNOSUPPORT, errno.EPERM):
        return "a netlink socket can be made"
    if _succeeds(lambda: mmap.mmap(-1, mmap.PAGESIZE).close()):
        return "shared anonymous memory can be made"
    return ""


def _single_process(_facts: Facts) -> str:
    if _succeeds(lambda: os._exit(0) if os.fork() == 0 else None):
        return "another process can be started"
    if _succeeds(lambda: os.kill(os.getppid(), 0)):
        return "another process can be signalled"
    if _errno_of_call("socket", 1, 1, 0) != errno.EPERM:
        return "a socket can be made"
    return "" if _errno_of_call("chmod", -1, 0, 0) == errno.EPERM else "the mode of a file can be changed"


def _private_root(facts: Facts) -> str:
    strange = sorted(set(os.listdir("/")) - set(facts["root"]))
    return "the root shows %s" % ", ".join(strange) if strange else ""


def _read_only_root(_facts: Facts) -> str:
    for folder in ("/", "/usr", "/etc", "/dev", os.path.dirname(os.__file__)):
        path = os.path.join(folder, "qrpo-probe")
        # The mount says so before Landlock is asked.
        if os.path.isdir(folder) and not os.statvfs(folder).f_flag & os.ST_RDONLY:
            return "%s is not mounted read-only" % folder
        if os.path.isdir(folder) and _succeeds(lambda path=path: open(path, "w").close()):  # type: ignore[misc]
            return "%s can be written" % folder
    return ""


def _hidden_files(_facts: Facts) -> str:
    hidden = ("/etc/shadow", "/etc/machine-id", "/var/run", "/run", "/sys", "/var/lib", "/root/.ssh", "/boot")
    seen = [path for path in hidden if os.path.exists(path)]
    return "" if not seen else "visible: %s" % ", ".join(seen)


def _private_proc(_facts: Facts) -> str:
    entries = os.listdir("/proc")
    strange = [name for name in entries if not name.isdigit() and name not in ("self", "thread-self")]
    if strange:
        return "/proc shows %s" % ", ".join(sorted(strange)[:5])
    if not os.statvfs("/proc").f_flag & os.ST_RDONLY:
        return "/proc is not mounted read-only"
    others = [name for name in entries if name.isdigit() and int(name) != os.getpid()]
    return "other processes are visible: %s" % ", ".join(others) if others else ""


def _supervisor_memory(facts: Facts) -> str:
    if facts["zygote"]["dumpable"]:
        return "the zygote can be traced and dumped by its user"
    parent = os.getppid()
    return (
        "PID %d's memory can be opened" % parent
        if _succeeds(lambda: open("/proc/%d/mem" % parent, "rb").close())
        else ""
    )


def _devices(_facts: Facts) -> str:
    strange = sorted(set(os.listdir("/dev")) - _DEVICE_FOLDER)
    if strange:
        return "/dev holds %s" % ", ".join(strange)
    if os.path.exists("/dev/zero") and _succeeds(lambda: os.close(os.open("/dev/zero", os.O_RDWR))):
        return "/dev/zero can be opened for writing, and mapped as shared memory"
    return ""


def _writable_memory(_facts: Facts) -> str:
    stats = os.statvfs("/tmp")
    size = stats.f_blocks * stats.f_frsize
    if not 0 < size <= 2 << 20 or not 0 < stats.f_files <= 1 << 16:
        return "/tmp has %d bytes, %d files" % (size, stats.f_files)
    return ""


def _descriptors(_facts: Facts) -> str:
    opened = [number for number in range(5, 1024) if _succeeds(lambda number=number: os.fstat(number))]  # type: ignore[misc]
    return "" if not opened else "open descriptors: %s" % opened


def _environment(_facts: Facts) -> str:
    known = {"HOME", "LANG", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PATH", "PYTHONHASHSEED", "TMPDIR", "LC_CTYPE"}
    strange = sorted(set(os.environ) - known)
    return "the environment holds %s" % ", ".join(strange) if strange else ""


def _process_limit(facts: Facts) -> str:
    children = []
    try:
        for _ in range(64):
            pid = os.fork()
            if pid == 0:
                time.sleep(10)
                os._exit(0)
            children.append(pid)
    except OSError:
        return ""
    finally:
        for pid in children:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
    return "64 children could be made where %d are allowed" % facts["limits"]["processes"]


def _pid_limit(facts: Facts) -> str:
    if facts["zygote"]["pid_max"] is None:
        raise Absent("the kernel counts process numbers for the whole machine, not per namespace, before Linux 6.14")
    return "" if facts["zygote"]["pid_max"] < 1 << 13 else "%d processes" % facts["zygote"]["pid_max"]


def _rlimits(facts: Facts) -> str:
    limits = facts["limits"]
    most: Dict[str, float] = {
        "CORE": 1, "FSIZE": limits["disk_bytes"], "NOFILE": limits["open_files"], "MSGQUEUE": 0,
        "MEMLOCK": 1 << 20, "DATA": limits["memory_bytes"] + (128 << 20), "AS": 4 * limits["memory_bytes"] + (2 << 30),
        "CPU": limits["total_cpu_s"] + 5,
    }  # fmt: skip
    if facts["level"] != LANDLOCK:
        most["NPROC"] = limits["processes"]
    for name, value in most.items():
        soft, hard = resource.getrlimit(getattr(resource, "RLIMIT_" + name, 12))  # MSGQUEUE has no name before 3.8
        if not 0 <= soft <= hard <= value:
            return "RLIMIT_%s is %d, %d" % (name, soft, hard)
    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    if not 64 << 20 <= stack <= 128 << 20:
        return "RLIMIT_STACK is %d" % stack
    return ""


def _oom_score(_facts: Facts) -> str:
    with open("/proc/self/oom_score_adj") as file:
        score = int(file.read())
    return "" if score == 1000 else "oom_score_adj is %d" % score


def _landlock(facts: Facts) -> str:
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
    zero = _error_of(lambda: os.close(os.open("/dev/zero", os.O_RDWR)))
    gaps.append("files can be opened for writing" if zero != errno.EACCES else None)
    if version >= 4:
        with socket.socket() as sock:
            gaps.append("a TCP port can be bound" if _error_of(lambda: sock.bind(("", 0))) != errno.EACCES else None)
        with socket.socket() as sock:
            reached = _error_of(lambda: sock.connect(("0.0.0.0", 9)))  # noqa: S104 - this machine, which is none
            gaps.append("TCP connections can be tried" if reached != errno.EACCES else None)
    if version >= 6:
        with socket.socket(socket.AF_UNIX) as sock:
            found = _error_of(lambda: sock.connect(facts["socket"]))
            gaps.append("an abstract socket outside can be reached" if found != errno.EPERM else None)
    return gaps


def _landlock_alone(facts: Facts) -> str:
    if facts["zygote"]["landlock"] == 0:
        return "this kernel has no Landlock, or it is not in its list of security modules"
    for path, flags in (
        ("/proc/self/status", os.O_RDONLY), ("/etc/passwd", os.O_RDONLY), ("/", os.O_RDONLY), ("/tmp", os.O_RDONLY),
        (os.path.expanduser("~"), os.O_RDONLY), ("/dev/shm/qrpo-probe", os.O_CREAT | os.O_WRONLY),
        ("/tmp/qrpo-probe", os.O_CREAT | os.O_WRONLY), ("/tmp", os.O_TMPFILE | os.O_WRONLY),
    ):  # fmt: skip
        found = _error_of(lambda path=path, flags=flags: os.close(os.open(path, flags, 0o600)))  # type: ignore[misc]
        if found not in (errno.EACCES, errno.ENOENT, errno.EROFS, errno.EOPNOTSUPP):
            return "%s can be opened" % path
    return ""


def _interpreter(_facts: Facts) -> str:
    """At level `landlock` the host's own permissions hold, too, for whom the slot has become."""
    found = _error_of(lambda: open(os.__file__, "rb").close())
    return "uid %d cannot read %s" % (os.getuid(), os.__file__) if found else ""


def _control_group(facts: Facts) -> str:
    if not facts["has_group"]:
        raise Absent("no control group is delegated to this user")
    with open("/proc/self/cgroup") as file:
        entered = [line.strip() for line in file if line.startswith("0::")]
    return "" if entered and entered[0].endswith("/run") else "the run is in %s" % entered


_Checks = Dict[str, Callable[[Facts], str]]
_AT_USERNS: _Checks = {
    "user_namespace": _user_namespace,
    "pid_namespace": _pid_namespace,
    "mount_namespace": _mount_namespace,
    "ipc_namespace": _ipc_namespace,
    "uts_namespace": _uts_namespace,
    "network_namespace": _network_namespace,
    "private_root": _private_root,
    "read_only_root": _read_only_root,
    "hidden_files": _hidden_files,
    "private_proc": _private_proc,
    "devices": _devices,
    "descriptors": _descriptors,
    "environment": _environment,
    "unprivileged": _unprivileged,
    "capabilities": _capabilities,
    "no_new_privileges": _no_new_privileges,
    "seccomp": _seccomp,
    "landlock": _landlock,
    "rlimits": _rlimits,
    "process_limit": _process_limit,
    "pid_limit": _pid_limit,
    "oom_score": _oom_score,
    "supervisor_memory": _supervisor_memory,
    "writable_memory": _writable_memory,
    "control_group": _control_group,
}
_AT_LANDLOCK: _Checks = {
    "interpreter": _interpreter,
    "landlock": _landlock_alone,
    "single_process": _single_process,
    "descriptors": _descriptors,
    "environment": _environment,
    "unprivileged": _unprivileged,
    "capabilities": _capabilities,
    "no_new_privileges": _no_new_privileges,
    "seccomp": _seccomp,
    "rlimits": _rlimits,
    "supervisor_memory": _supervisor_memory,
}
