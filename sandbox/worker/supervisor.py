"""Limit, measure and end one run, from PID 1 of the namespace that its processes are in.

This runs in the zygote, which holds no task data. It is undumpable, so the program (same uid, no capabilities)
can neither trace it nor open its /proc files, and as PID 1 it takes no signal from inside its namespace that it
has no handler for.

Over the status socket (SOCK_SEQPACKET) the runner may send
    arm <start_ns> <cpu_ns> <idle_ns>   judge one test: CPU and idle time from that CLOCK_MONOTONIC instant on
    disarm
    pause, resume                       the runner itself is at work in between: no idle time
    kill <reason>
and gets exactly one JSON report, after every process of the run is gone. Hang-up kills as well.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from . import linux

_TICK_NS = 10_000_000
_WALL_OVER_CPU = 10
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_DISK_WAIT_SHARE = 0.1
"""Part of the time in which processes wait only for a disk that is idle time: vfork(2) keeps a parent in that state
for as long as its child likes, and a slow file system must not fail a program."""
_IDLE_SHARES = {b"R": 0.0, b"D": _DISK_WAIT_SHARE}


class _Usage(NamedTuple):
    cpu_ns: int
    memory_bytes: int
    idle_share: float


class _Watch:
    """The test that is being timed."""

    def __init__(self, cpu_ns: int, idle_ns: int, cpu_before_ns: int, start_ns: int) -> None:
        self.cpu_ns = cpu_ns
        self.idle_ns = idle_ns
        self.cpu_before_ns = cpu_before_ns
        self.idle_so_far_ns = 0
        self.paused_ns: Optional[int] = None
        # No program needs it: for those that find a way to be neither idle nor running, such as a slow vfork.
        self.last_ns = start_ns + _WALL_OVER_CPU * cpu_ns + idle_ns

    def pause(self, is_paused: bool) -> None:
        """Neither idle nor wall time count while the runner itself is at work."""
        now_ns = time.monotonic_ns()
        self.last_ns += now_ns - (self.paused_ns or now_ns)
        self.paused_ns = now_ns if is_paused else None


class Supervisor:
    """One run, from the moment its candidate was cloned.

    Args:
        limits: see sandbox.limits.
        status: the run's status socket.
        main: pid of the candidate.
        child_ended: a signalfd of SIGCHLD.
    """

    def __init__(self, limits: Dict[str, Any], status: socket.socket, main: int, child_ended: int) -> None:
        self._status = status
        self._main = main
        self._child_ended = child_ended
        self._memory_bytes = int(limits["memory_bytes"])
        self._total_cpu_ns = int(limits["total_cpu_s"] * 1e9)
        self._files: Optional[int] = None
        self._peak_bytes = 0
        self._main_peak_bytes = 0
        self._reaped_cpu_ns = 0
        self._reason: Optional[str] = None
        self._started_ns = self._sampled_ns = time.monotonic_ns()
        self._watch: Optional[_Watch] = _Watch(
            int(limits["cpu_s"] * 1e9), int(limits["idle_s"] * 1e9), 0, self._started_ns
        )
        self._last_cpu_ns = 0

    def run(self) -> Dict[str, Any]:
        """Until the candidate has ended and every process of the run is gone; the report."""
        wait_status = self._wait()
        wall_ns = time.monotonic_ns() - self._started_ns
        if self._files is not None:
            self._peak_bytes = max(self._peak_bytes, self._main_peak_bytes + self._file_bytes())
        self._end_all()
        reason = self._reason
        if self._files is not None:
            os.close(self._files)
        if reason is None and self._peak_bytes > self._memory_bytes:
            reason = "memory"  # between two looks
        watch = self._watch
        if reason is None and watch is not None and self._reaped_cpu_ns - watch.cpu_before_ns > watch.cpu_ns:
            reason = "cpu"
        return {
            "reason": reason,
            "signal": os.WTERMSIG(wait_status) if os.WIFSIGNALED(wait_status) else None,
            "exit_code": os.WEXITSTATUS(wait_status) if os.WIFEXITED(wait_status) else None,
            "cpu_ns": self._reaped_cpu_ns,
            "wall_ns": wall_ns,
            "peak_bytes": self._peak_bytes,
        }

    def _wait(self) -> int:
        poller = select.poll()
        poller.register(self._child_ended, select.POLLIN)
        poller.register(self._status, select.POLLIN)
        while True:
            ready = dict(poller.poll(self._tick_ms()))
            if self._child_ended in ready:
                os.read(self._child_ended, 128)
                status = self._reap()
                if status is not None:
                    return status
            if self._status.fileno() in ready:
                self._obey()
            if self._reason is None and time.monotonic_ns() - self._sampled_ns >= 1_000_000:
                self._sample()
            if self._reason is not None:
                os.kill(self._main, signal.SIGKILL)

    def _reap(self) -> Optional[int]:
        """Collect what has ended, orphans too; the candidate's wait status once it has."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return None
            if pid == 0:
                return None
            self._account(usage)
            if pid == self._main:
                self._main_peak_bytes = usage.ru_maxrss * 1024
                return status

    def _end_all(self) -> None:
        """Kill and reap whatever is left. A fork cannot slip through: the kernel refuses it to a dying process."""
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            pass
        while True:
            try:
                self._account(os.wait4(-1, 0)[2])
            except ChildProcessError:
                return

    def _account(self, usage: Any) -> None:
        """A process that ended, with those of its descendants that it waited for."""
        self._reaped_cpu_ns += int((usage.ru_utime + usage.ru_stime) * 1e9)
        self._peak_bytes = max(self._peak_bytes, usage.ru_maxrss * 1024)

    def _tick_ms(self) -> float:
        """Until the next look: shorter when the watched test is about to use its CPU time up."""
        left = self._total_cpu_ns - self._last_cpu_ns
        if self._watch is not None:
            left = min(left, self._watch.cpu_before_ns + self._watch.cpu_ns - self._last_cpu_ns)
        return max(1.0, min(_TICK_NS, left) / 1e6)

    def _obey(self) -> None:
        try:
            message = self._status.recv(256).decode("ascii").split()
        except OSError:
            message = []
        if not message:
            self._reason = self._reason or "abandoned"
        elif message[0] == "arm":
            start_ns, cpu_ns, idle_ns = (int(word) for word in message[1:])
            # The CPU time at `start_ns` was not measured; a single thread used at most the wall time since.
            now = self._usage().cpu_ns
            self._watch = _Watch(cpu_ns, idle_ns, max(0, now - (time.monotonic_ns() - start_ns)), start_ns)
        elif message[0] == "disarm":
            self._watch = None
        elif message[0] in ("pause", "resume"):
            if self._watch is not None:
                self._watch.pause(message[0] == "pause")
        else:
            self._reason = self._reason or message[1]  # the first reason is the cause of the second

    def _sample(self) -> None:
        now_ns = time.monotonic_ns()
        since_ns, self._sampled_ns = now_ns - self._sampled_ns, now_ns
        usage = self._usage()
        self._peak_bytes = max(self._peak_bytes, usage.memory_bytes)
        watch = self._watch
        if usage.memory_bytes > self._memory_bytes:
            self._reason = "memory"
        elif usage.cpu_ns > self._total_cpu_ns:
            self._reason = "total_cpu"
        elif watch is not None:
            if watch.paused_ns is None:
                watch.idle_so_far_ns += int(since_ns * usage.idle_share)
            if usage.idle_share == 0.0:
                watch.last_ns += since_ns  # running, or waiting for a core on a busy machine
            if usage.cpu_ns - watch.cpu_before_ns > watch.cpu_ns:
                self._reason = "cpu"
            elif watch.idle_so_far_ns > watch.idle_ns:
                self._reason = "idle"
            elif watch.paused_ns is None and now_ns > watch.last_ns:
                self._reason = "wall"

    def _usage(self) -> _Usage:
        cpu_ns = self._reaped_cpu_ns
        files = memory = self._file_bytes()
        idle_share = 1.0
        pids = _processes()
        for pid in pids:
            stat = _stat(pid)
            if stat is None:
                continue
            cpu_ns += linux.process_cpu_ns(pid) + stat.children_cpu_ns
            memory += stat.resident_bytes
            idle_share = min(idle_share, stat.idle_share)
        if memory > self._memory_bytes:
            memory = files + sum(map(_proportional_bytes, pids))
        if cpu_ns - self._last_cpu_ns >= 1_000_000:
            idle_share = 0.0
        self._last_cpu_ns = cpu_ns
        return _Usage(cpu_ns, memory, idle_share)

    def _file_bytes(self) -> int:
        """What the run's files hold, which lie in memory; 0 until the candidate has mounted its /tmp."""
        if self._files is None:
            self._files = _open_files()
            if self._files is None:
                return 0
        stats = os.fstatvfs(self._files)
        return (stats.f_blocks - stats.f_bfree) * stats.f_frsize


def _open_files() -> Optional[int]:
    """The run's /tmp, as any of its threads sees it: the first thread, even the first process, may be gone."""
    ours = os.stat("/tmp").st_dev
    for path in ["/proc/%d/task/%d/root/tmp" % both for pid in _processes() for both in _threads(pid)]:
        try:
            files = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        if os.fstat(files).st_dev != ours:
            return files
        os.close(files)
    return None


def _threads(pid: int) -> List[Tuple[int, int]]:
    try:
        return [(pid, int(thread)) for thread in os.listdir("/proc/%d/task" % pid)]
    except OSError:
        return []


def _processes() -> List[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]


class _Stat(NamedTuple):
    children_cpu_ns: int
    resident_bytes: int
    idle_share: float


def _stat(pid: int) -> Optional[_Stat]:
    """CPU time, memory and state of a process; None when it is gone."""
    try:
        fields = _stat_fields("/proc/%d/stat" % pid)
        resident, idle_share = int(fields[21]), _IDLE_SHARES.get(fields[0], 1.0)
    except OSError:
        return None
    for both in _threads(pid) if fields[17] != b"1" and idle_share else []:
        try:
            of_thread = _stat_fields("/proc/%d/task/%d/stat" % both)
        except OSError:
            continue
        # The first thread may have exited: then it shows no memory any more, but the process has it.
        resident = max(resident, int(of_thread[21]))
        idle_share = min(idle_share, _IDLE_SHARES.get(of_thread[0], 1.0))
        if resident and not idle_share:
            break
    return _Stat((int(fields[13]) + int(fields[14])) * _TICKS_NS, resident * _PAGE, idle_share)


def _stat_fields(path: str) -> List[bytes]:
    """Of a process or thread, from the state on, proc(5). Raises OSError when it is gone."""
    with open(path, "rb") as file:
        return file.read().rpartition(b") ")[2].split()


def _proportional_bytes(pid: int) -> int:
    """A process's memory with shared pages counted by share: PSS of smaps_rollup; its RSS where it hides that."""
    try:
        with open("/proc/%d/smaps_rollup" % pid, "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    stat = _stat(pid)
    return stat.resident_bytes if stat is not None else 0
