"""The process that holds the program: its last guards, then the program as a script or as a set of callables.

From `confine` on nothing here is trusted: the program shares this interpreter and may change all of it. The
other side believes none of its bytes; see remote.py.
"""

from __future__ import annotations

import fcntl
import gc
import json
import marshal
import os
import resource
import signal
import socket
import traceback
from typing import Any, Dict, List, Optional, Tuple

from . import landlock, linux, seccomp
from .cage import Cage
from .callables import serve
from .cgroup import RunGroup
from .codec import pack
from .frames import send_frame
from .probe import measure
from .program import exit_status, run_program

CONTROL_FD = 3
WORKING_FOLDER = "/tmp"
_PAYLOAD_FD = 4
_STATUS_FD = 5
_INODES = 16384
_SIGNALS = 256
"""Pending signals and timers, which the kernel counts for all that the user runs."""
_OOM_SCORE = b"1000"
"""The first to go when the machine is out of memory; proc(5)."""
_STACK_BYTES = 112 << 20  # below the 128 MiB that the kernel always keeps free under the stack


def confine(limits: Dict[str, Any], cage: Cage, parent: int) -> None:
    """Give this process a place of its own and take everything else away. Raises OSError."""
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # the parent died before it could be asked to take us along
    linux.prctl(linux.PR_SET_DUMPABLE, 1)  # its own /proc entries; the zygote stays undumpable
    rules = cage.rules
    if not cage.is_single:
        linux.map_ids(linux.INSIDE_ID, linux.INSIDE_ID, cage.proc)
        options = "mode=1777,size=%d,nr_inodes=%d" % (limits["disk_bytes"], _INODES)
        linux.mount("tmpfs", WORKING_FOLDER, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, options)
        rules = [*rules, landlock.path_rule(WORKING_FOLDER, landlock.OWN)]
    os.setsid()
    linux.write_file("self/oom_score_adj", _OOM_SCORE, cage.proc)
    for kind, value in _rlimits(limits, cage.is_single):
        hard = resource.getrlimit(kind)[1]
        capped = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (capped, capped))
    # Programs raise it for deep recursion; what they use of it counts as memory.
    resource.setrlimit(resource.RLIMIT_STACK, (_STACK_BYTES, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    linux.drop_capabilities()
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    os.chdir("/" if cage.is_single else WORKING_FOLDER)
    if cage.ruleset is not None:
        landlock.restrict(cage.ruleset)
    elif cage.landlock_version:
        landlock.restrict(landlock.make_ruleset(rules, cage.landlock_version))
    seccomp.install(seccomp.SingleProcess(os.getpid()) if cage.is_single else None)


def _rlimits(limits: Dict[str, Any], is_single: bool) -> List[Tuple[int, int]]:
    memory = limits["memory_bytes"]
    found = [
        (resource.RLIMIT_CORE, 1),  # 0 would not keep a crash from the program that core_pattern may name; core(5)
        (resource.RLIMIT_FSIZE, 0 if is_single else limits["disk_bytes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_SIGPENDING, _SIGNALS),
        (resource.RLIMIT_MEMLOCK, 1 << 20),
        # Backstops: the supervisor measures what is used; these refuse what could never fit.
        (resource.RLIMIT_DATA, memory + (128 << 20)),
        (resource.RLIMIT_AS, 4 * memory + (2 << 30)),
        (resource.RLIMIT_CPU, int(limits["total_cpu_s"]) + 5),
    ]
    if not is_single:  # outside a user namespace it would count everything that the user runs
        found.append((resource.RLIMIT_NPROC, limits["processes"]))
    return found


def _place(descriptors: Dict[str, int]) -> None:
    """The descriptors of the run at their numbers, and no other."""
    targets = (
        ("stdin", 0),
        ("stdout", 1),
        ("stderr", 2),
        ("control", CONTROL_FD),
        ("payload", _PAYLOAD_FD),
        ("status", _STATUS_FD),
    )
    null = os.open("/dev/null", os.O_RDWR)
    # Out of the way first, so that no source is overwritten before it is used.
    high = {name: _duplicate_high(descriptors.get(name, null)) for name, _ in targets}
    for name, target in targets:
        os.dup2(high[name], target, inheritable=target <= 2)
    linux.close_from(_STATUS_FD + 1)


def _duplicate_high(descriptor: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 32)


def run(
    limits: Dict[str, Any], descriptors: Dict[str, int], cage: Cage, group: Optional[RunGroup], parent: int
) -> None:
    """Become the candidate and never return.

    Args:
        limits: see sandbox.limits.
        descriptors: by name: control, payload, status (where a failure to set up is told; closed before the
            program starts), and the standard streams that are not /dev/null.
        group: the control group to enter.
        parent: pid of the zygote.
    """
    exit_code = 70
    status = descriptors["status"]
    try:
        try:
            if group is not None:
                group.enter()
            confine(limits, cage, parent)
            _place(descriptors)
            status = _STATUS_FD
        except Exception as error:  # a place that cannot be made is the host's fault, never the program's
            os.write(status, json.dumps({"failed": str(error)}).encode("ascii"))
            os._exit(exit_code)
        os.close(status)
        with open(_PAYLOAD_FD, "rb", buffering=0) as file:
            payload = marshal.loads(file.readall())  # noqa: S302 - code objects and source from the trusted side
        control = socket.socket(fileno=CONTROL_FD)
        gc.enable()
        mode = payload["mode"]
        if mode == "probe":
            send_frame(control, pack(measure(payload["facts"])))
            exit_code = 0
        elif mode == "program":
            exit_code = run_program(payload, control)
        else:
            serve(payload, control)
            exit_code = 0
    except SystemExit as error:
        exit_code = exit_status(error)
    except MemoryError:
        exit_code = 1
    except BaseException:
        traceback.print_exc()
        exit_code = 1
    finally:
        os._exit(exit_code)
