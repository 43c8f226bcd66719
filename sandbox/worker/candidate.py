"""The process that holds the program: its last guards, then the program as a script or as a set of callables.

From `confine` on nothing here is trusted: the program shares this interpreter and may change all of it. The
other side believes none of its bytes; see remote.py.
"""

from __future__ import annotations

import fcntl
import gc
import marshal
import os
import resource
import socket
import traceback
from typing import Any, Dict

from . import linux, seccomp
from .callables import serve
from .codec import pack
from .frames import send_frame
from .probe import measure
from .program import exit_status, run_program

CONTROL_FD = 3
_PAYLOAD_FD = 4
_STACK_BYTES = 112 << 20  # below the 128 MiB that the kernel always keeps free under the stack


def confine(limits: Dict[str, Any], descriptors: Dict[str, int]) -> None:
    """Give this process its standard streams and take everything else away. Raises OSError."""
    os.setsid()
    _place(descriptors)
    linux.prctl(linux.PR_SET_DUMPABLE, 1)  # its own /proc entries; PID 1 stays undumpable
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")
    memory, disk = limits["memory_bytes"], limits["disk_bytes"]
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, disk),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_NPROC, limits["processes"] + 1),  # PID 1 counts too
        (resource.RLIMIT_STACK, _STACK_BYTES),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, 1 << 20),
        # Backstops: the supervisor measures what is used; these refuse what could never fit.
        (resource.RLIMIT_DATA, memory + (128 << 20)),
        (resource.RLIMIT_AS, 4 * memory + (2 << 30)),
        (resource.RLIMIT_CPU, int(limits["total_cpu_s"]) + 5),
    ):
        hard = resource.getrlimit(kind)[1]
        capped = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (capped, capped))
    linux.drop_capabilities()
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    seccomp.install()
    os.chdir("/tmp")


def _place(descriptors: Dict[str, int]) -> None:
    targets = (("stdin", 0), ("stdout", 1), ("stderr", 2), ("control", CONTROL_FD), ("payload", _PAYLOAD_FD))
    null = os.open("/dev/null", os.O_RDWR)
    # Out of the way first, so that no source is overwritten before it is used.
    high = {name: _duplicate_high(descriptors.get(name, null)) for name, _ in targets}
    for name, target in targets:
        os.dup2(high[name], target, inheritable=target <= 2)
    os.closerange(_PAYLOAD_FD + 1, max(high.values()) + 1)


def _duplicate_high(descriptor: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 32)


def run(limits: Dict[str, Any], descriptors: Dict[str, int]) -> None:
    """Become the candidate and never return."""
    status = 70
    try:
        confine(limits, descriptors)
        with open(_PAYLOAD_FD, "rb") as file:
            payload = marshal.loads(file.read())  # from the trusted side: code objects and source text
        control = socket.socket(fileno=CONTROL_FD)
        gc.enable()
        mode = payload["mode"]
        if mode == "probe":
            send_frame(control, pack({"guards": measure()}))
            status = 0
        elif mode == "program":
            status = run_program(payload, control)
        else:
            serve(payload, control)
            status = 0
    except SystemExit as error:
        status = exit_status(error)
    except MemoryError:
        status = 1
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        os._exit(status)
