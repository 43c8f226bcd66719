"""A warm interpreter that knows nothing of any task: PID 1 of its namespace, it clones and supervises each run.

It lives in a user, pid and mount namespace of its own, in which every candidate is its child: when a run ends
it kills and reaps all that is left there, and when it ends itself the kernel does. (At level `landlock` it is an
ordinary process, and so is its candidate, which can start no other.)

One message (SOCK_SEQPACKET, marshal) asks for one run: its limits, and the names of the descriptors that come along,
whose contents are never read here. What goes wrong is told on the run's own status socket.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` wraps it in enums: a hundred pages more to copy in each clone
import array
import errno
import gc
import marshal
import os
import socket
from typing import Any, Dict, List, Optional, Sequence, Tuple

from . import candidate, linux, procfs
from .cage import LANDLOCK, Cage, prepare
from .cgroup import RunGroup
from .clock import Clock
from .fetching import copy_files
from .folder import WorkingFolder
from .processes import Processes
from .supervisor import Supervisor

NAMESPACES = linux.CLONE_NEWUSER | linux.CLONE_NEWPID | linux.CLONE_NEWNS
_MAX_DESCRIPTORS = 8
_SIGCHLD = int(_signal.SIGCHLD)
_BLOCKED = (_SIGCHLD, int(_signal.SIGINT))
"""In the zygote. SIGCHLD has a descriptor; of the others PID 1 gets from inside only those it has a handler for, which
the interpreter gave to SIGINT alone."""


def request_run(
    zygote: socket.socket, limits: Dict[str, Any], descriptors: Dict[str, int], fetch: Sequence[str]
) -> None:
    """Ask for a run; the descriptors still belong to the caller. Raises OSError when the zygote is gone.

    Args:
        fetch: names of the files that are copied into the descriptor `fetched` at its end.
    """
    message = marshal.dumps((limits, list(descriptors), list(fetch)), 2)
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
            linux.deny_setgroups(proc.descriptor)
            linux.map_ids(linux.id_map(outside[0]), linux.id_map(outside[1]), proc.descriptor)
            os.close(proc.descriptor)
            proc = procfs.mount()
            linux.keep_capability(linux.CAP_SYS_ADMIN)  # for WorkingFolder and Proc.last_pid
        cage = prepare(spec, proc.descriptor, group)
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        linux.prctl(linux.PR_SET_PDEATHSIG, _signal.SIGKILL)
    except OSError as error:
        _tell(sock, {"failed": "%s (as uid %d)" % (error, outside[0])})
        os._exit(1)
    runs = _Runs(cage, proc)
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
    _keep_low_numbers()
    while True:
        message, received = _receive(sock)
        if not message:
            os._exit(0)
        limits, names, fetch = marshal.loads(message)  # noqa: S302 - from the judge
        descriptors = dict(zip(names, received))
        status = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, descriptors["status"])
        try:
            report = runs.run(limits, descriptors, status, fetch)
        except OSError as error:
            report = {"failed": str(error)}
        for name, descriptor in descriptors.items():
            if name != "status":
                os.close(descriptor)
        _tell(status, report)
        status.close()
        runs.prepare_next()


def _keep_low_numbers() -> None:
    """What is received must not have the numbers that a candidate wants it to have."""
    while os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC) < candidate.FIRST_FREE_FD:
        pass


class _Runs:
    """One run after the other, in this process's namespace."""

    def __init__(self, cage: Cage, proc: procfs.Proc) -> None:
        self._cage = cage
        self._proc = proc
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _BLOCKED)
        self._child_ended = linux.signal_fd(_SIGCHLD)
        self._clock = Clock()
        self._processes = Processes(proc.descriptor, cage.is_single, cage.socket_bytes)
        self._oom_kills = self._processes.count_oom_kills()
        self._folder = WorkingFolder(cage)
        self._limits: Dict[str, Any] = {}
        self._bounds: Optional[candidate.Bounds] = None

    def run(
        self, limits: Dict[str, Any], descriptors: Dict[str, int], status: socket.socket, fetch: Sequence[str]
    ) -> Dict[str, Any]:
        """From the clone to the report. Raises OSError when the host cannot do it."""
        cage, proc = self._cage, self._proc
        procfs.forget_previous_run(proc)
        if self._bounds is None or limits != self._limits:
            self._bounds, self._limits = candidate.bounds_of(limits, cage.is_single), limits
        self._folder.prepare(self._bounds.files)
        self._folder.spoil()
        group = RunGroup(cage.group, limits) if cage.group is not None else None
        try:
            supervisor = Supervisor(
                limits, status, self._child_ended, self._clock, self._processes, self._folder, group
            )
            self._clock.reset()
            parent = os.getpid()
            pid = linux.clone(cage.namespaces)
            if pid == 0:
                _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _BLOCKED)
                candidate.run(self._bounds, descriptors, cage, self._folder.ruleset, group, self._clock, parent)
            if cage.is_single:
                self._processes.single = pid
            report = supervisor.run(pid)
            self._check_cause(report)
            if fetch:
                most = limits["output_bytes"]
                report["fetched"] = copy_files(self._folder.files, fetch, descriptors["fetched"], most)
            return report
        finally:
            if group is not None:
                group.close()

    def prepare_next(self) -> None:
        """While nobody waits: most runs have the limits of the one before."""
        try:
            if self._bounds is not None:
                self._folder.prepare(self._bounds.files)
        except OSError:
            pass  # told by the next run, which needs it

    def _check_cause(self, report: Dict[str, Any]) -> None:
        """Raises OSError where it was the host's want of memory that ended the program, within its own limits."""
        if report["reason"] is None and report["signal"] == _signal.SIGKILL:
            before, self._oom_kills = self._oom_kills, self._processes.count_oom_kills()
            if self._oom_kills > before:
                why = "the kernel has killed for want of memory, of the machine or of the job that this runs in"
                raise OSError(errno.ENOMEM, why)


def _tell(to: socket.socket, report: Dict[str, Any]) -> None:
    try:
        to.send(marshal.dumps(report, 2))
    except OSError:
        pass  # whoever asked has hung up and wants no report


def _receive(sock: socket.socket) -> Tuple[bytes, List[int]]:
    message, ancillary, _, _ = sock.recvmsg(65536, socket.CMSG_SPACE(_MAX_DESCRIPTORS * 4), socket.MSG_CMSG_CLOEXEC)
    received = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            received.frombytes(data[: len(data) - len(data) % received.itemsize])
    return message, list(received)
