"""Measure the guards from inside: our own code in a candidate's place tries what a program must not be able to do.

Each check fails when the guard it is named for is taken away, whatever the others still hold.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import socket
import time
from typing import Callable, Dict

from .cage import LANDLOCK
from .linux import MACHINE, _libc
from .probe_calls import (
    Absent,
    Facts,
    error_of,
    landlock_inside,
    landlock_outside,
    seccomp,
    single_process,
    succeeds,
)


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


def _user_namespace(facts: Facts) -> str:
    return _own_namespace(facts, "user")


def _pid_namespace(facts: Facts) -> str:
    if facts["broker"] != 1:
        return "the broker is not PID 1 of the slot"
    return _namespace_unlike("pid", facts["host"], facts["slot"])


def _mount_namespace(facts: Facts) -> str:
    """The zygote's: this process has no rights in it, as its user namespace is another one."""
    return _namespace_unlike("mnt", facts["host"], facts["slot"])


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


def _private_root(facts: Facts) -> str:
    strange = sorted(set(os.listdir("/")) - set(facts["root"]))
    return "the root shows %s" % ", ".join(strange) if strange else ""


def _read_only_root(_facts: Facts) -> str:
    for folder in ("/", "/usr", "/etc", "/dev", os.path.dirname(os.__file__)):
        path = os.path.join(folder, "qrpo-probe")
        # The mount says so before Landlock is asked.
        if os.path.isdir(folder) and not os.statvfs(folder).f_flag & os.ST_RDONLY:
            return "%s is not mounted read-only" % folder
        if os.path.isdir(folder) and succeeds(lambda path=path: open(path, "w").close()):  # type: ignore[misc]
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
        if succeeds(lambda: open("/proc/%d/mem" % parent, "rb").close())
        else ""
    )


def _devices(_facts: Facts) -> str:
    strange = sorted(set(os.listdir("/dev")) - _DEVICE_FOLDER)
    if strange:
        return "/dev holds %s" % ", ".join(strange)
    if os.path.exists("/dev/zero") and succeeds(lambda: os.close(os.open("/dev/zero", os.O_RDWR))):
        return "/dev/zero can be opened for writing, and mapped as shared memory"
    return ""


def _writable_memory(_facts: Facts) -> str:
    stats = os.statvfs("/tmp")
    size = stats.f_blocks * stats.f_frsize
    if not 0 < size <= 2 << 20 or not 0 < stats.f_files <= 1 << 16:
        return "/tmp has %d bytes, %d files" % (size, stats.f_files)
    return ""


def _descriptors(_facts: Facts) -> str:
    opened = [number for number in range(5, 1024) if succeeds(lambda number=number: os.fstat(number))]  # type: ignore[misc]
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
        "CORE": 1, "FSIZE": limits["disk_bytes"], "NOFILE": limits["open_files"], "MSGQUEUE": 0, "SIGPENDING": 1 << 10,
        "MEMLOCK": 1 << 20, "DATA": limits["memory_bytes"] + (128 << 20), "AS": 4 * limits["memory_bytes"] + (2 << 30),
        "CPU": limits["total_cpu_s"] + 5,
    }  # fmt: skip
    if facts["level"] != LANDLOCK:
        most["NPROC"] = limits["processes"]
    for name, value in most.items():
        soft, hard = resource.getrlimit(getattr(resource, "RLIMIT_" + name))
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


def _interpreter(_facts: Facts) -> str:
    """At level `landlock` the host's own permissions hold, too, for whom the slot has become."""
    found = error_of(lambda: open(os.__file__, "rb").close())
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
    "seccomp": seccomp,
    "landlock": landlock_inside,
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
    "landlock": landlock_outside,
    "single_process": single_process,
    "descriptors": _descriptors,
    "environment": _environment,
    "unprivileged": _unprivileged,
    "capabilities": _capabilities,
    "no_new_privileges": _no_new_privileges,
    "seccomp": seccomp,
    "rlimits": _rlimits,
    "supervisor_memory": _supervisor_memory,
}
