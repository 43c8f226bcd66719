"""Start a slot: its namespaces and root file system, the zygote, then the broker.

The first process only waits: the slot lives in a process-id namespace whose PID 1 is the broker, so that
nothing of a slot can outlive its broker. At level `landlock` the first process is the broker itself, and each of
its processes asks the kernel to be killed with its parent.
"""

from __future__ import annotations

import importlib
import marshal
import os
import random
import resource
import signal
import site
import socket
import sys
import traceback
from typing import Any, Dict, Optional, Tuple

from . import linux, root, zygote
from .broker import Broker
from .cage import LANDLOCK, package_finder
from .frames import receive_frame, send_frame
from .run import DeathFailure, InfrastructureFailure

HOST_NAME = "sandbox"
_NOBODY = 65534
_ALL_USERS = 2**32 - 1
"""How many the first user namespace maps; user_namespaces(7)."""
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_OOM_SCORE = "1000"
"""Of all processes of a slot: when the machine is out of memory, those with the most memory among them go first;
proc(5). A slot can be replaced."""
_SEND_BUFFER, _MESSAGE_BYTES = 212_992, 1 << 16
_NAMESPACES = linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWNET
_ENVIRONMENT = {
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "PYTHONHASHSEED": "0",
    "TMPDIR": "/tmp",
}
# What programs import most. Each module makes every fork a little dearer: asyncio and unittest alone would add
# two thirds to the memory that a fork copies the page tables of.
PRELOADED = (
    "abc", "array", "bisect", "cmath", "collections", "collections.abc", "contextlib", "copy", "dataclasses",
    "datetime", "decimal", "enum", "fractions", "functools", "heapq", "io", "itertools", "json", "math", "numbers",
    "operator", "queue", "random", "re", "statistics", "string", "struct", "threading", "time", "typing",
    "unicodedata", "warnings", "weakref",
)  # fmt: skip


def main() -> None:
    """Be a slot; the socket to the pool is the descriptor named by the last argument.

    It ends with the thread that started it: when that closes the socket, or dies and leaves a slot that was stopped.
    """
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    pool = socket.socket(fileno=int(sys.argv[-1]))
    pool.send(b".")  # with it the pool is told this process's id
    frame = receive_frame(pool)
    if frame is None:
        return
    spec = marshal.loads(frame)  # noqa: S302 - from the pool
    try:
        _prepare_interpreter(spec)
        _take_place(spec["core"])
        is_root = os.geteuid() == 0 and _is_real_root()
        spec["socket_bytes"] = _socket_bytes()
        _raise_descriptor_limit()
        group = os.open(spec["group"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if spec["group"] else None
        if spec["level"] == LANDLOCK:
            _be_slot(pool, spec, is_root, group)
        _enter_namespaces(is_root)
        pid = os.fork()
    except OSError as error:
        _say(pool, {"unsupported": "namespaces", "why": str(error)})
        return
    if pid == 0:
        _be_slot(pool, spec, is_root, group)
    pool.close()
    os.waitpid(pid, 0)


def _prepare_interpreter(spec: Dict[str, Any]) -> None:
    """The interpreter that every program will find: its modules, its path, its builtins."""
    _reset_signals()
    sys.path[:] = [path for path in sys.path if path not in spec["remove_from_path"]]
    if spec["level"] == LANDLOCK:
        sys.meta_path.append(package_finder(spec))
    sys.path += spec["path"]
    site.setquit()  # -S leaves out exit() and quit(), which programs use
    site.setcopyright()
    site.sethelper()
    for number, name in ((1, "stdout"), (2, "stderr")):
        _reopen_as_pipe(number, name)
    for name in PRELOADED:
        importlib.import_module(name)
    random.seed(0)  # as the hash seed is fixed: a program's verdict is to be the same in every run
    os.environ.clear()
    os.environ.update(_ENVIRONMENT)
    del sys.argv[1:]
    sys.dont_write_bytecode = True


def _reset_signals() -> None:
    """As for a program started from a terminal: what the caller ignores or blocks, as under nohup, is its affair."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, *_IGNORED_BY_PYTHON}:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _reopen_as_pipe(number: int, name: str) -> None:
    """Streams remember whether their file can be sought. The interpreter found /dev/null; programs write to pipes."""
    null = os.dup(number)
    read_end, write_end = os.pipe()
    os.dup2(write_end, number)
    old = getattr(sys, name)
    stream: Any = open(number, "w", encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115
    stream.reconfigure(line_buffering=old.line_buffering)
    stream.mode, stream.buffer.raw.name = old.mode, old.name
    setattr(sys, name, stream)
    setattr(sys, "__%s__" % name, stream)
    os.dup2(null, number)
    for descriptor in (null, read_end, write_end):
        os.close(descriptor)


def _take_place(core: Optional[int]) -> None:
    """On one processor, where the slot is to have one, and before all others in the order of dying."""
    if core is not None:
        try:
            os.sched_setaffinity(0, {core})
        except OSError:
            pass  # it has been taken away meanwhile: any will do
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write(_OOM_SCORE)


def _is_real_root() -> bool:
    """Not only of a user namespace, in which a container may have made it root."""
    with open("/proc/self/uid_map") as file:
        return file.read().split() == ["0", "0", str(_ALL_USERS)]


def _socket_bytes() -> int:
    """What one socket may hold that nobody reads: its send buffer, and the message that overfills it; socket(7)."""
    try:
        with open("/proc/sys/net/core/wmem_default") as file:
            return int(file.read()) + _MESSAGE_BYTES
    except (OSError, ValueError):
        return _SEND_BUFFER + _MESSAGE_BYTES


def _raise_descriptor_limit() -> None:
    """What a user may have in flight between sockets is measured by the sender's limit, over all that the user runs."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _enter_namespaces(is_root: bool) -> None:
    if is_root:
        linux.unshare(_NAMESPACES)
        return
    uid, gid = os.geteuid(), os.getegid()
    linux.unshare(_NAMESPACES | linux.CLONE_NEWUSER)
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", "%d %d 1" % (uid, uid)),
        ("gid_map", "%d %d 1" % (gid, gid)),
    ):
        with open("/proc/self/" + name, "w") as file:
            file.write(line)


def _be_slot(pool: socket.socket, spec: Dict[str, Any], is_root: bool, group: Optional[int]) -> None:
    """The broker's process, PID 1 of the slot where that has namespaces: never returns."""
    is_single = spec["level"] == LANDLOCK
    try:
        try:
            if not is_single:
                linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
                root.build(spec)
                linux.set_host_name(HOST_NAME)
            _become_unprivileged(is_root)
            sys.path_importer_cache.clear()  # it remembers that the folders of packages did not exist before
            for name in spec["preload"]:
                importlib.import_module(name)
        except OSError as error:
            _say(pool, {"unsupported": "mounts", "why": str(error)})
            return
        probed = _probed_socket(is_single)
        zygote_pid, to_zygote = _start_zygote(spec, group, (pool, probed))
        if is_single:  # nothing but this keeps other processes of the same user from its memory
            linux.prctl(linux.PR_SET_DUMPABLE, 0)
        broker = Broker(pool, to_zygote, is_single)
        try:
            found = broker.measure_guards(spec, probed)
        except DeathFailure as error:
            _say(pool, {"infrastructure": str(error)})
            return
        except InfrastructureFailure as error:
            _say(pool, {"unsupported": "candidate", "why": str(error)})
            return
        probed.close()
        _say(pool, {**found, "python": sys.version.split()[0]})
        broker.serve()
        to_zygote.close()
        os.waitpid(zygote_pid, 0)  # it ends its run and then itself; who closes the slot finds nothing left
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _probed_socket(is_single: bool) -> socket.socket:
    """A socket that no candidate may be able to reach, which the probe tries; see Broker.measure_guards."""
    probed = socket.socket(socket.AF_UNIX)
    if not is_single:
        probed.bind("\0qrpo-probe-" + os.urandom(8).hex())
        probed.listen()
    return probed


def _start_zygote(
    spec: Dict[str, Any], group: Optional[int], not_for_it: Tuple[socket.socket, ...]
) -> Tuple[int, socket.socket]:
    """Its pid, and the socket to ask it for runs. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    outside = (os.getuid(), os.getgid())
    pid = linux.clone(0 if spec["level"] == LANDLOCK else zygote.NAMESPACES)
    if pid == 0:
        for sock in (ours, *not_for_it):
            sock.close()
        zygote.serve(theirs, outside, spec, group)
    theirs.close()
    return pid, ours


def _become_unprivileged(is_root: bool) -> None:
    if is_root:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        linux.prctl(linux.PR_SET_DUMPABLE, 1)  # setresuid took it; a clone must be able to write its uid map
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    linux.drop_capabilities()


def _say(pool: socket.socket, words: Dict[str, Any]) -> None:
    send_frame(pool, marshal.dumps(words, 2))
