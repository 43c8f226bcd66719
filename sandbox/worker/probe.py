"""Measure the guards from inside: our own code in a candidate's place tries what a program must not be able to do."""

from __future__ import annotations

import errno
import os
import socket
import time
from typing import Callable, Dict

from . import linux

Guards = Dict[str, str]


def measure() -> Guards:
    """Each required guard and what is wrong with it; the empty string says that it holds."""
    guards: Guards = {}
    for check in _CHECKS:
        try:
            guards[check.__name__.lstrip("_")] = check()
        except OSError as error:
            guards[check.__name__.lstrip("_")] = "could not be tried: %s" % error
    return guards


def _status_field(name: str) -> str:
    with open("/proc/self/status") as lines:
        for line in lines:
            if line.startswith(name + ":"):
                return line.split(":", 1)[1].strip()
    return ""


def _succeeds(action: Callable[[], object]) -> bool:
    try:
        action()
    except OSError:
        return False
    return True


def _capabilities() -> str:
    held = [_status_field(name) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")]
    return "" if set(held) == {"0" * 16} else "capabilities are held: %s" % held


def _no_new_privileges() -> str:
    return "" if _status_field("NoNewPrivs") == "1" else "no_new_privs is off"


def _seccomp() -> str:
    if _status_field("Seccomp") != "2":
        return "no filter is installed"
    if _succeeds(lambda: linux.unshare(linux.CLONE_NEWUSER)):
        return "unshare(CLONE_NEWUSER) is allowed"
    return ""


def _unprivileged() -> str:
    return "" if os.getuid() != 0 and os.geteuid() != 0 else "the program runs as uid 0"


def _processes() -> str:
    others = [name for name in os.listdir("/proc") if name.isdigit() and int(name) not in (1, os.getpid())]
    return "" if not others and os.getppid() == 1 else "other processes are visible: %s" % others


def _supervisor_memory() -> str:
    return "PID 1's memory can be opened" if _succeeds(lambda: open("/proc/1/mem", "rb").close()) else ""


def _network() -> str:
    for family, address in ((socket.AF_INET, ("127.0.0.1", 9)), (socket.AF_INET6, ("::1", 9))):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect(address)  # of a datagram socket: sends nothing
        except OSError as error:
            if error.errno not in (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                return "connect fails for another reason: %s" % error
        else:
            return "%s is reachable" % address[0]
    return ""


def _read_only_root() -> str:
    for folder in ("/", "/usr", "/etc", "/dev", os.path.dirname(os.__file__)):
        path = os.path.join(folder, "qrpo-probe")
        if os.path.isdir(folder) and _succeeds(lambda path=path: open(path, "w").close()):  # type: ignore[misc]
            return "%s can be written" % folder
    return ""


def _hidden_files() -> str:
    hidden = ("/etc/shadow", "/etc/machine-id", "/var/run", "/run", "/sys", "/var/lib", "/root/.ssh", "/boot")
    seen = [path for path in hidden if os.path.exists(path)]
    return "" if not seen else "visible: %s" % ", ".join(seen)


def _writable_memory() -> str:
    stats = os.statvfs("/tmp")
    size = stats.f_blocks * stats.f_frsize
    return "" if 0 < size <= 2 << 20 and stats.f_files <= 1 << 16 else "/tmp has %d bytes" % size


def _descriptors() -> str:
    opened = [number for number in range(5, 256) if _succeeds(lambda number=number: os.fstat(number))]  # type: ignore[misc]
    return "" if not opened else "open descriptors: %s" % opened


def _environment() -> str:
    strange = [name for name in os.environ if name.startswith(("SLURM", "SSH", "WANDB", "HF_", "AWS"))]
    return "" if not strange else "the environment holds %s" % strange


def _process_limit() -> str:
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
    return "64 children could be made where 8 are allowed"


_CHECKS = (
    _unprivileged,
    _capabilities,
    _no_new_privileges,
    _seccomp,
    _processes,
    _supervisor_memory,
    _network,
    _read_only_root,
    _hidden_files,
    _writable_memory,
    _descriptors,
    _environment,
    _process_limit,
)
