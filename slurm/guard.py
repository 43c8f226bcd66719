"""A process between a job and its command, of which nothing outlives it.

It is the parent of the command, and of whatever its processes leave behind. It ends as the command has ended, once all
of them are gone; it ends them where the job itself vanishes. Run as a script, with nothing but the standard library.

On its standard input it reads what to start. The job then sends two bytes for each signal over a socket: to whom, and
its number. It is sent one when this process was itself told to end by a SIGTERM, as all processes of a Slurm job are.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
TO_LEADER, TO_GROUP, TO_ALL = b"L", b"G", b"A"
"""The command's first process; its process group, but for srun; those that have left the group, too."""
_SRUN = "srun"
HEARD = b"T"
_LOOK_S = 0.005


def main(descriptor: int) -> None:
    """Starts the command that the job names, and stays until it has ended."""
    job = socket.socket(fileno=descriptor)
    wakeup, wakened = os.pipe()
    os.set_blocking(wakened, False)
    signal.set_wakeup_fd(wakened, warn_on_full_buffer=False)
    # Handled, and not ignored: the command is to hear them even where this was started deaf to them.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    adopt_orphans()
    told = json.load(sys.stdin.buffer)
    farewell = told["farewell"]
    try:
        leader = subprocess.Popen(
            told["words"],
            env=told["env"],
            cwd=told["cwd"],
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=lambda: end_without_parent(farewell),  # noqa: PLW1509  # this process has one thread
        )
    except OSError as error:
        sys.stderr.write(f"{told['words'][0]} cannot be started in {told['cwd']}: {error.strerror}\n")
        sys.exit(127)
    _end_like(_attend(leader.pid, job, wakeup, farewell))


def adopt_orphans() -> None:
    """From now on processes below this one whose parents end become its children."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_without_parent(number: int) -> None:
    """From now on this process gets a signal when its parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def kill_descendants() -> None:
    """Kills all processes below this one, and waits until they are gone; it must have adopted orphans."""
    while _reap(0, None)[1]:
        for pid in _descendants():
            _send(pid, signal.SIGKILL)
        time.sleep(_LOOK_S)


def runs_steps() -> bool:
    """Whether an srun is among the processes below this one. At a SIGTERM it kills its tasks, which saves nothing."""
    return any(_name(pid) == _SRUN for pid in _descendants())


def _attend(leader: int, job: socket.socket, wakeup: int, farewell: int) -> int:
    """The command's exit status, as `waitpid` gives it, once all its processes are gone."""
    status: int | None = None
    may_linger = was_told = False
    sources: list[int | socket.socket] = [wakeup, job]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if wakeup in ready and signal.SIGTERM in os.read(wakeup, 4096) and not was_told:
            was_told = True
            may_linger = farewell == signal.SIGKILL
            _tell(job)
        if job in ready:
            message = job.recv(2)
            if not message:
                sources.remove(job)
                message = (TO_ALL if farewell == signal.SIGKILL else TO_LEADER) + bytes([farewell])
            may_linger = message[:1] == TO_GROUP
            _deliver(message[:1], message[1], None if status is not None else leader)
        status, has_children = _reap(leader, status)
        if status is not None and not (may_linger and has_children):
            kill_descendants()
            return status


def _reap(leader: int, status: int | None) -> tuple[int | None, bool]:
    """The command's status, where it has ended, and whether anything is left."""
    while True:
        try:
            pid, found = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status, False
        if pid == 0:
            return status, True
        if pid == leader:
            status = found


def _deliver(whom: bytes, number: int, leader: int | None) -> None:
    if whom == TO_ALL:
        for pid in _descendants():
            _send(pid, number)
    elif leader is not None and whom == TO_LEADER:
        _send(leader, number)
    elif leader is not None and runs_steps():
        for pid in _descendants():
            if _group(pid) == leader and _name(pid) != _SRUN:
                _send(pid, number)
    elif leader is not None:
        _send(-leader, number)


def _descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found = [os.getpid()]
    for pid in found:
        found += children.get(pid, [])
    return found[1:]


def _parents() -> Iterator[tuple[int, int]]:
    """All processes, with their parents."""
    for name in os.listdir("/proc"):  # noqa: PTH208  # thousands
        if name.isdigit():
            try:
                stat = Path("/proc", name, "stat").read_bytes()
            except OSError:  # it has ended
                continue
            yield int(name), int(stat.rpartition(b") ")[2].split()[1])


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:  # it has ended
        return ""


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):  # it has ended, or is another user's by now
        pass


def _tell(job: socket.socket) -> None:
    try:
        job.send(HEARD)
    except OSError:  # it has vanished; the loop sees that next
        pass


def end_by(number: int) -> None:
    """Ends this process by a signal that ends processes, without a core file."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _end_like(status: int) -> None:
    if os.WIFSIGNALED(status):
        end_by(os.WTERMSIG(status))
    sys.exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main(int(sys.argv[1]))
