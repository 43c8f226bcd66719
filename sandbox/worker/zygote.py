"""A warm interpreter that knows nothing of any task: PID 1 of its namespace, it clones and supervises each run.

It lives in a user, pid and mount namespace of its own, in which every candidate is its child: when a run ends
it kills and reaps all that is left there, and when it ends itself the kernel does.

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
from typing import Any, Dict, List, Tuple

from . import candidate, linux
from .supervisor import Supervisor

NAMESPACES = linux.CLONE_NEWUSER | linux.CLONE_NEWPID | linux.CLONE_NEWNS
_RUN_NAMESPACES = linux.CLONE_NEWUSER | linux.CLONE_NEWNS | linux.CLONE_NEWIPC
_MAX_DESCRIPTORS = 8
_HANDLED_SIGNALS = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)


def request_run(zygote: socket.socket, limits: Dict[str, Any], descriptors: Dict[str, int]) -> None:
    """Ask for a run; the descriptors still belong to the caller. Raises OSError when the zygote is gone."""
    message = json.dumps({"limits": limits, "names": list(descriptors)}).encode("ascii")
    rights = array.array("i", descriptors.values())
    zygote.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def serve(sock: socket.socket, outside: Tuple[int, int]) -> None:
    """Serve until the broker closes; never returns. Entered right after the clone into NAMESPACES.

    Args:
        outside: uid and gid of the broker.
    """
    linux.map_ids(*outside)
    flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    # subset=pid leaves only the processes: no host settings, no kernel counters.
    linux.mount("proc", "/proc", "proc", flags, "subset=pid")
    linux.drop_capabilities()
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    # PID 1 gets from inside only signals it has handlers for: none.
    before = {number: signal.signal(number, signal.SIG_DFL) for number in _HANDLED_SIGNALS}
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    child_ended = linux.signal_fd(signal.SIGCHLD)
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection in a clone would copy pages; the candidate turns it on for the program
    while True:
        message, received = _receive(sock)
        if not message:
            os._exit(0)
        request = json.loads(message)
        descriptors = dict(zip(request["names"], received))
        status = socket.socket(fileno=descriptors["status"])
        try:
            pid = linux.clone(_RUN_NAMESPACES)
            if pid == 0:
                for number, handler in before.items():
                    signal.signal(number, handler)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD,))
                candidate.run(request["limits"], descriptors)
            report = Supervisor(request["limits"], status, pid, child_ended).run()
        except OSError as error:
            report = {"failed": str(error)}
        for name, descriptor in descriptors.items():
            if name != "status":
                os.close(descriptor)
        _tell(status, report)


def _tell(status: socket.socket, report: Dict[str, Any]) -> None:
    try:
        status.send(json.dumps(report).encode("ascii"))
    except OSError:
        pass  # the runner has hung up and wants no report
    status.close()


def _receive(sock: socket.socket) -> Tuple[bytes, List[int]]:
    message, ancillary, _, _ = sock.recvmsg(65536, socket.CMSG_SPACE(_MAX_DESCRIPTORS * 4), socket.MSG_CMSG_CLOEXEC)
    received = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            received.frombytes(data[: len(data) - len(data) % received.itemsize])
    return message, list(received)
