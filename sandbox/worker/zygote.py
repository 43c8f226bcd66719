"""A warm interpreter that clones a supervisor per run and knows nothing of any task.

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

from . import linux, supervisor

MAX_DESCRIPTORS = 8


def request_run(zygote: socket.socket, limits: Dict[str, Any], descriptors: Dict[str, int]) -> None:
    """Ask for a run; the descriptors still belong to the caller. Raises OSError when the zygote is gone."""
    message = json.dumps({"limits": limits, "names": list(descriptors)}).encode("ascii")
    rights = array.array("i", descriptors.values())
    zygote.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def _receive(sock: socket.socket) -> Tuple[bytes, List[int]]:
    message, ancillary, _, _ = sock.recvmsg(65536, socket.CMSG_SPACE(MAX_DESCRIPTORS * 4), socket.MSG_CMSG_CLOEXEC)
    received = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            received.frombytes(data[: len(data) - len(data) % received.itemsize])
    return message, list(received)


def serve(sock: socket.socket) -> None:
    """Serve until the broker closes; never returns."""
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    outside_ids = {"uid": os.getuid(), "gid": os.getgid()}
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection in a clone would copy pages; the candidate turns it on for the program
    while True:
        message, received = _receive(sock)
        if not message:
            os._exit(0)
        request = json.loads(message)
        descriptors = dict(zip(request["names"], received))
        try:
            pid = linux.clone(supervisor.NAMESPACES)
        except OSError as error:
            pid = -1
            os.write(descriptors["status"], json.dumps({"failed": str(error)}).encode("ascii"))
        if pid == 0:
            sock.close()
            supervisor.supervise(request["limits"], descriptors, outside_ids)
        for descriptor in received:
            os.close(descriptor)
        if pid > 0:
            os.waitpid(pid, 0)
