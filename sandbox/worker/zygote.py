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
from typing import Any, Dict, List, Optional, Tuple

from . import candidate, linux, procfs
from .cage import LANDLOCK, Cage, prepare
from .cgroup import RunGroup
from .processes import Processes
from .supervisor import Supervisor

NAMESPACES = linux.CLONE_NEWUSER | linux.CLONE_NEWPID | linux.CLONE_NEWNS
_MAX_DESCRIPTORS = 8
_HANDLED_SIGNALS = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)


def request_run(zygote: socket.socket, limits: Dict[str, Any], descriptors: Dict[str, int]) -> None:
    """Ask for a run; the descriptors still belong to the caller. Raises OSError when the zygote is gone."""
    message = json.dumps({"limits": limits, "names": list(descriptors)}).encode("ascii")
    rights = array.array("i", descriptors.values())
    zygote.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def serve(sock: socket.socket, outside: Tuple[int, int], spec: Dict[str, Any], group: Optional[int]) -> None:
    """Serve until the broker closes; never returns. Entered right after the clone, into NAMESPACES at level `userns`.

    The first message is about itself: `pid_max`, `landlock`, `namespaces`, `dumpable`, or why it has `failed`.

    Args:
        outside: uid and gid of the broker.
        spec: what the pool said of the slot.
        group: a descriptor of the slot's control group.
    """
    try:
        proc = procfs.host()
        if spec["level"] == LANDLOCK:
            linux.drop_capabilities()
        else:
            linux.map_ids(*outside, proc.descriptor)
            os.close(proc.descriptor)
            proc = procfs.mount()
            linux.drop_capabilities(kept=linux.CAP_CHECKPOINT_RESTORE)  # for Proc.last_pid
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
    proc: procfs.Proc,
    child_ended: int,
    handlers: Dict[int, Any],
) -> Dict[str, Any]:
    """One run from the clone to its report. Raises OSError when the host cannot do it."""
    procfs.forget_previous_run(proc)
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
        return Supervisor(limits, status, pid, child_ended, processes, group).run()
    finally:
        if group is not None:
            group.close()


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
