"""A warm interpreter that knows nothing of any task: PID 1 of its namespace, it clones and supervises each run.

It lives in a user, pid and mount namespace of its own, in which every candidate is its child: when a run ends
it kills and reaps all that is left there, and when it ends itself the kernel does. (At level `landlock` it is an
ordinary process, and so is its candidate, which can start no other.)

One message (SOCK_SEQPACKET) asks for one run: limits as JSON, and the descriptors by name. The descriptors'
contents are never read here. What goes wrong is told on the run's own status socket.
"""

from __future__ import annotations

import array
import gc
import json
import os
import signal
import socket
import time
from typing import Any, Dict, FrozenSet, List, NamedTuple, Optional, Tuple

from . import candidate, linux
from .cage import LANDLOCK, Cage, prepare
from .cgroup import RunGroup
from .processes import Processes
from .supervisor import Supervisor

NAMESPACES = linux.CLONE_NEWUSER | linux.CLONE_NEWPID | linux.CLONE_NEWNS
MAX_PIDS = 4096
"""Processes and threads that any program may be allowed; sandbox.limits."""
_RESERVED_PIDS = 301
"""Numbers that the kernel never gives out again after its count has wrapped."""
_MAX_DESCRIPTORS = 8
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_GARBAGE_S = 5.0
"""How long the kernel may take to collect sockets in flight; it takes milliseconds."""
_HANDLED_SIGNALS = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)


def request_run(zygote: socket.socket, limits: Dict[str, Any], descriptors: Dict[str, int]) -> None:
    """Ask for a run; the descriptors still belong to the caller. Raises OSError when the zygote is gone."""
    message = json.dumps({"limits": limits, "names": list(descriptors)}).encode("ascii")
    rights = array.array("i", descriptors.values())
    zygote.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


class _Proc(NamedTuple):
    """What the zygote has of /proc."""

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


def collect_garbage() -> None:
    """Have the kernel collect descriptors in flight that only sockets in flight hold: it does when one is closed."""
    for sock in socket.socketpair():
        sock.close()
    time.sleep(0.001)


def serve(sock: socket.socket, outside: Tuple[int, int], spec: Dict[str, Any], group: Optional[int]) -> None:
    """Serve until the broker closes; never returns. Entered right after the clone, into NAMESPACES at level `userns`.

    The first message is about itself: `pid_max`, `landlock`, `namespaces`, `dumpable`, or why it has `failed`.

    Args:
        outside: uid and gid of the broker.
        spec: what the pool said of the slot.
        group: a descriptor of the slot's control group.
    """
    try:
        if spec["level"] == LANDLOCK:
            proc = _Proc(os.open("/proc", _FOLDER), None, None, None, frozenset())
            linux.drop_capabilities()
        else:
            slots_proc = os.open("/proc", _FOLDER)
            linux.map_ids(*outside, slots_proc)
            os.close(slots_proc)
            proc = _mount_proc()
            linux.drop_capabilities(kept=linux.CAP_CHECKPOINT_RESTORE)  # for _Proc.last_pid
        cage = prepare(spec, proc.descriptor, group)
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    except OSError as error:
        _tell(sock, {"failed": "%s (as uid %d)" % (error, outside[0])})
        os._exit(1)
    # PID 1 gets from inside only signals it has handlers for: none.
    before: Dict[int, Any] = {number: signal.signal(number, signal.SIG_DFL) for number in _HANDLED_SIGNALS}
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    child_ended = linux.signal_fd(signal.SIGCHLD)
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection in a clone would copy pages; the candidate turns it on for the program
    about = {
        "pid_max": proc.pid_max,
        "landlock": cage.landlock_version,
        "namespaces": linux.namespaces(),
        "dumpable": linux.prctl(linux.PR_GET_DUMPABLE, 0),
    }
    _tell(sock, about)
    while True:
        message, received = _receive(sock)
        if not message:
            os._exit(0)
        request = json.loads(message)
        descriptors = dict(zip(request["names"], received))
        status = socket.socket(fileno=descriptors["status"])
        try:
            report = _run(cage, request["limits"], descriptors, status, proc, child_ended, before)
        except OSError as error:
            report = {"failed": str(error)}
        for name, descriptor in descriptors.items():
            if name != "status":
                os.close(descriptor)
        _tell(status, report)
        status.close()


def _run(
    cage: Cage,
    limits: Dict[str, Any],
    descriptors: Dict[str, int],
    status: socket.socket,
    proc: _Proc,
    child_ended: int,
    handlers: Dict[int, Any],
) -> Dict[str, Any]:
    """One run from the clone to its report. Raises OSError when the host cannot do it."""
    _forget_previous_run(proc)
    group = RunGroup(cage.group, limits) if cage.group is not None else None
    try:
        parent = os.getpid()
        pid = linux.clone(cage.namespaces)
        if pid == 0:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD,))
            candidate.run(limits, descriptors, cage, group, parent)
        processes = Processes(proc.descriptor, pid if cage.is_single else None, cage.socket_bytes)
        return Supervisor(limits, status, pid, child_ended, processes, cage.is_single, group).run()
    finally:
        if group is not None:
            group.close()


def _forget_previous_run(proc: _Proc) -> None:
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


def _mount_proc() -> _Proc:
    """A /proc for candidates, in which each sees its own processes only, and one that shows all."""
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
    return _Proc(proc, pid_max, last_pid, sockets, _abstract_names(sockets))


def _abstract_names(sockets: int) -> FrozenSet[bytes]:
    """From the list's descriptor: to open it for every run would cost three times as much as to read it."""
    content = b""
    while True:
        chunk = os.pread(sockets, 1 << 14, len(content))
        if not chunk:
            return frozenset(line.split(b"@", 1)[1] for line in content.splitlines() if b"@" in line)
        content += chunk


def _tell(to: socket.socket, report: Dict[str, Any]) -> None:
    try:
        to.send(json.dumps(report).encode("ascii"))
    except OSError:
        pass  # whoever asked has hung up and wants no report


def _receive(sock: socket.socket) -> Tuple[bytes, List[int]]:
    message, ancillary, _, _ = sock.recvmsg(65536, socket.CMSG_SPACE(_MAX_DESCRIPTORS * 4), socket.MSG_CMSG_CLOEXEC)
    received = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            received.frombytes(data[: len(data) - len(data) % received.itemsize])
    return message, list(received)
