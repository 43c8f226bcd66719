"""The process that holds the program: its last guards, then the program as a script or as a set of callables.

From `confine` on nothing here is trusted: the program shares this interpreter and may change all of it. The
other side believes none of its bytes; see remote.py.
"""

from __future__ import annotations

import gc
import marshal
import os
import resource
import signal
import socket
import sys
import traceback
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from . import landlock, linux, seccomp
from .cage import WORKING_FOLDER, Cage
from .callables import serve
from .cgroup import RunGroup
from .clock import Clock
from .codec import pack
from .commands import compile_source, execute, fail
from .frames import send_frame
from .languages import STACK_BYTES
from .probe import measure
from .program import exit_status, run_program, write_files
from .shared_tests import serve as serve_shared

CONTROL_FD = 3
_PAYLOAD_FD = 4
_STATUS_FD = 5
FIRST_FREE_FD = 6
"""The zygote has none of its own below it that a candidate needs."""
_INODES = 16384
_COMMANDS = {"execute": execute, "compile": compile_source}
_SIGNALS = 256
"""Pending signals and timers, which the kernel counts for all that the user runs."""
_SAME_ID = linux.id_map(linux.INSIDE_ID)
_NAMES = ("stdin", "stdout", "stderr", "control", "payload", "status")


class Bounds(NamedTuple):
    """Limits as the kernel takes them: made once for all runs with the same limits."""

    rlimits: List[Tuple[int, Tuple[int, int]]]
    files: str
    """Mount options of the working folder."""


def bounds_of(limits: Dict[str, Any], is_single: bool) -> Bounds:
    """Of sandbox.limits, with hard limits no higher than this process's own."""
    wanted = _rlimits(limits, is_single)
    capped = [(kind, min(value, _most(kind))) for kind, value in wanted]
    # Programs raise it for deep recursion; what they use of it counts as memory.
    stack = (resource.RLIMIT_STACK, (STACK_BYTES, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    files = "mode=1777,size=%d,nr_inodes=%d" % (limits["disk_bytes"], _INODES)
    return Bounds([*((kind, (value, value)) for kind, value in capped), stack], files)


def _rlimits(limits: Dict[str, Any], is_single: bool) -> List[Tuple[int, int]]:
    memory, reserved = limits["memory_bytes"], limits.get("reserved_bytes", 0)
    wanted = [
        (resource.RLIMIT_CORE, 1),  # 0 would not keep a crash from the program that core_pattern may name; core(5)
        (resource.RLIMIT_FSIZE, 0 if is_single else limits["disk_bytes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_SIGPENDING, _SIGNALS),
        (resource.RLIMIT_MEMLOCK, 1 << 20),
        # Backstops: the supervisor measures what is used; these refuse what could never fit.
        (resource.RLIMIT_DATA, memory + (128 << 20) + reserved),
        (resource.RLIMIT_AS, 4 * memory + (2 << 30) + reserved),
        (resource.RLIMIT_CPU, int(limits["total_cpu_s"]) + 5),
    ]
    if not is_single:  # outside a user namespace it would count everything that the user runs
        wanted.append((resource.RLIMIT_NPROC, limits["processes"]))
    return wanted


def _most(kind: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def confine(bounds: Bounds, cage: Cage, ruleset: Optional[int], parent: int) -> None:
    """Give this process a place of its own and take everything else away. Raises OSError."""
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # the parent died before it could be asked to take us along
    linux.prctl(linux.PR_SET_DUMPABLE, 1)  # its own /proc entries; the zygote stays undumpable
    if not cage.is_single:
        linux.map_ids(_SAME_ID, _SAME_ID, cage.proc)
    os.setsid()
    for kind, pair in bounds.rlimits:
        resource.setrlimit(kind, pair)
    linux.drop_capabilities()
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    os.chdir("/" if cage.is_single else WORKING_FOLDER)
    if cage.landlock_version:
        if ruleset is None:
            raise OSError("there is no ruleset for this run")
        landlock.restrict(ruleset)
    seccomp.install(seccomp.SingleProcess(os.getpid()) if cage.is_single else None)


def _place(descriptors: Dict[str, int], null: int) -> None:
    """The descriptors of the run at their numbers, and no other. None that is needed has one of these numbers."""
    for number, name in enumerate(_NAMES):
        os.dup2(descriptors.get(name, null), number, inheritable=number <= 2)
    linux.close_from(FIRST_FREE_FD)


def run(
    bounds: Bounds,
    descriptors: Dict[str, int],
    cage: Cage,
    ruleset: Optional[int],
    group: Optional[RunGroup],
    clock: Clock,
    parent: int,
) -> None:
    """Become the candidate and never return.

    Args:
        descriptors: by name: control, payload, status (where a failure to set up is told; closed before the
            program starts), and the standard streams that are not /dev/null.
        ruleset: of Landlock.
        group: the control group to enter.
        clock: told when the guards are up.
        parent: pid of the zygote.
    """
    exit_code = 70
    status = descriptors["status"]
    try:
        try:
            if group is not None:
                group.enter()
            confine(bounds, cage, ruleset, parent)
            clock.set()
            _place(descriptors, cage.null)
            status = _STATUS_FD
        except Exception as error:  # a place that cannot be made is the host's fault, never the program's
            os.write(status, marshal.dumps({"failed": str(error)}, 2))
            os._exit(exit_code)
        payload = marshal.loads(_read_payload())  # noqa: S302 - code objects and source from the trusted side
        mode = payload["mode"]
        if mode in _COMMANDS:
            os._exit(_COMMANDS[mode](payload, status))
        _begin(payload, status)
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, CONTROL_FD)
        gc.enable()
        if mode == "probe":
            send_frame(control, pack(measure(payload["facts"])))
            exit_code = 0
        elif mode == "program":
            exit_code = run_program(payload, control)
        else:
            {"callables": serve, "shared": serve_shared}[mode](payload, control)
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


def _begin(payload: Dict[str, Any], status: int) -> None:
    """The last that can fail for a reason of the host."""
    try:
        write_files(payload.pop("files", {}))
    except OSError as error:
        os._exit(fail(status, error))
    os.close(status)


def _read_payload() -> bytes:
    size = os.fstat(_PAYLOAD_FD).st_size
    content = os.read(_PAYLOAD_FD, size)
    while len(content) < size:
        content += os.read(_PAYLOAD_FD, size - len(content))
    os.close(_PAYLOAD_FD)
    return content
