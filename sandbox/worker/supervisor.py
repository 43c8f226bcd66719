"""PID 1 of one run: makes its namespaces a place to be in, starts the candidate, limits it, reports, ends all.

It holds no task data. It is undumpable, so the program (same uid, no capabilities) can neither trace it nor
open its /proc files, and as PID 1 it takes no signal from inside its namespace. When it exits, for whatever
reason, the kernel kills what is left in the namespace and drops the mounts.

Over the status socket (SOCK_SEQPACKET) the runner may send
    arm <start_ns> <cpu_ns> <idle_ns>   judge one test: CPU and idle time from that CLOCK_MONOTONIC instant on
    disarm
    kill <reason>
and gets exactly one JSON report, after every process of the run is gone. Hang-up kills as well.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import time
from typing import Any, Dict, NamedTuple, Optional

from . import candidate, linux

NAMESPACES = linux.CLONE_NEWUSER | linux.CLONE_NEWPID | linux.CLONE_NEWNS | linux.CLONE_NEWIPC
INSIDE_UID = 1000
_TICK_NS = 10_000_000
_INODES = 16384
_PAGE = os.sysconf("SC_PAGE_SIZE")


class _Usage(NamedTuple):
    cpu_ns: int
    memory_bytes: int
    is_idle: bool


class _Watch:
    """The test that is being timed."""

    def __init__(self, cpu_ns: int, idle_ns: int, cpu_before_ns: int) -> None:
        self.cpu_ns = cpu_ns
        self.idle_ns = idle_ns
        self.cpu_before_ns = cpu_before_ns
        self.idle_so_far_ns = 0


def supervise(limits: Dict[str, Any], descriptors: Dict[str, int], outside_ids: Dict[str, int]) -> None:
    """Be PID 1 and never return."""
    try:
        status = socket.socket(fileno=descriptors.pop("status"))
        try:
            report = _Supervisor(limits, status).run(descriptors, outside_ids)
        except OSError as error:
            report = {"failed": "%s" % error}
        status.send(json.dumps(report).encode("ascii"))
    finally:
        os._exit(0)


def _map_ids(outside_ids: Dict[str, int]) -> None:
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", "%d %d 1" % (INSIDE_UID, outside_ids["uid"])),
        ("gid_map", "%d %d 1" % (INSIDE_UID, outside_ids["gid"])),
    ):
        descriptor = os.open("/proc/self/" + name, os.O_WRONLY)
        os.write(descriptor, line.encode("ascii"))
        os.close(descriptor)


def _mount_private(disk_bytes: int) -> None:
    flags = linux.MS_NOSUID | linux.MS_NODEV
    linux.mount("tmpfs", "/tmp", "tmpfs", flags, "mode=1777,size=%d,nr_inodes=%d" % (disk_bytes, _INODES))
    # subset=pid leaves only the processes: no host settings, no kernel counters.
    linux.mount("proc", "/proc", "proc", flags | linux.MS_NOEXEC, "subset=pid")


class _Supervisor:
    def __init__(self, limits: Dict[str, Any], status: socket.socket) -> None:
        self._limits = limits
        self._status = status
        self._memory_bytes = int(limits["memory_bytes"])
        self._total_cpu_ns = int(limits["total_cpu_s"] * 1e9)
        self._peak_bytes = 0
        self._reason: Optional[str] = None
        self._watch: Optional[_Watch] = _Watch(int(limits["cpu_s"] * 1e9), int(limits["idle_s"] * 1e9), 0)
        self._sampled_ns = 0
        self._last_cpu_ns = 0

    def run(self, descriptors: Dict[str, int], outside_ids: Dict[str, int]) -> Dict[str, Any]:
        """The report. Raises OSError when the run could not be set up."""
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        _map_ids(outside_ids)
        _mount_private(int(self._limits["disk_bytes"]))
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
        child_ended = linux.signal_fd(signal.SIGCHLD)
        started_ns = time.monotonic_ns()
        pid = os.fork()
        if pid == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD,))
            candidate.run(self._limits, descriptors)
        for descriptor in descriptors.values():
            os.close(descriptor)
        self._sampled_ns = started_ns
        wait_status = self._wait(pid, child_ended)
        ended_ns = time.monotonic_ns()
        return self._report(wait_status, ended_ns - started_ns)

    def _wait(self, main: int, child_ended: int) -> int:
        poller = select.poll()
        poller.register(child_ended, select.POLLIN)
        poller.register(self._status, select.POLLIN)
        while True:
            ready = dict(poller.poll(self._tick_ms()))
            if child_ended in ready:
                os.read(child_ended, 128)
                status = _reap(main)
                if status is not None:
                    return status
            if self._status.fileno() in ready:
                self._obey()
            if self._reason is None and time.monotonic_ns() - self._sampled_ns >= 1_000_000:
                self._sample()
            if self._reason is not None:
                os.kill(main, signal.SIGKILL)

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
            self._reason = "abandoned"
        elif message[0] == "arm":
            start_ns, cpu_ns, idle_ns = (int(word) for word in message[1:])
            # The CPU time at `start_ns` was not measured; a single thread used at most the wall time since.
            now = self._usage().cpu_ns
            self._watch = _Watch(cpu_ns, idle_ns, max(0, now - (time.monotonic_ns() - start_ns)))
        elif message[0] == "disarm":
            self._watch = None
        else:
            self._reason = message[1]

    def _sample(self) -> None:
        now_ns = time.monotonic_ns()
        since_ns, self._sampled_ns = now_ns - self._sampled_ns, now_ns
        usage = self._usage()
        self._peak_bytes = max(self._peak_bytes, usage.memory_bytes)
        watch = self._watch
        if usage.memory_bytes > self._memory_bytes and _proportional_bytes() > self._memory_bytes:
            self._reason = "memory"
        elif usage.cpu_ns > self._total_cpu_ns:
            self._reason = "total_cpu"
        elif watch is not None:
            watch.idle_so_far_ns += since_ns if usage.is_idle else 0
            if usage.cpu_ns - watch.cpu_before_ns > watch.cpu_ns:
                self._reason = "cpu"
            elif watch.idle_so_far_ns > watch.idle_ns:
                self._reason = "idle"

    def _usage(self) -> _Usage:
        cpu_ns = _reaped_cpu_ns()
        memory = _disk_bytes()
        runnable = False
        for pid in _processes():
            stat = _stat(pid)
            if stat is None:
                continue
            cpu_ns += linux.process_cpu_ns(pid) + stat.children_cpu_ns
            memory += stat.resident_bytes
            runnable = runnable or stat.state in "RD" or (stat.threads > 1 and _has_runnable_thread(pid))
        is_idle = not runnable and cpu_ns - self._last_cpu_ns < 1_000_000
        self._last_cpu_ns = cpu_ns
        return _Usage(cpu_ns, memory, is_idle)

    def _report(self, wait_status: int, wall_ns: int) -> Dict[str, Any]:
        disk = _disk_bytes()
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            pass
        while True:
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        peak = max(self._peak_bytes, usage.ru_maxrss * 1024 + disk)
        cpu_ns = _reaped_cpu_ns()
        reason = self._reason
        if reason is None and peak > self._memory_bytes:
            reason = "memory"  # between two samples
        if reason is None and self._watch is not None and cpu_ns - self._watch.cpu_before_ns > self._watch.cpu_ns:
            reason = "cpu"
        return {
            "reason": reason,
            "signal": os.WTERMSIG(wait_status) if os.WIFSIGNALED(wait_status) else None,
            "exit_code": os.WEXITSTATUS(wait_status) if os.WIFEXITED(wait_status) else None,
            "cpu_ns": cpu_ns,
            "wall_ns": wall_ns,
            "peak_bytes": peak,
        }


def _reap(main: int) -> Optional[int]:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid == main:
            return status
        if pid == 0:
            return None


def _reaped_cpu_ns() -> int:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


def _disk_bytes() -> int:
    stats = os.statvfs("/tmp")
    return (stats.f_blocks - stats.f_bfree) * stats.f_frsize


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]


class _Stat(NamedTuple):
    state: str
    children_cpu_ns: int
    threads: int
    resident_bytes: int


_TICKS_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> Optional[_Stat]:
    """Fields of /proc/PID/stat, proc(5); None when the process is gone."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()
    except OSError:
        return None
    children = (int(fields[13]) + int(fields[14])) * _TICKS_NS
    return _Stat(fields[0].decode("ascii"), children, int(fields[17]), int(fields[21]) * _PAGE)


def _has_runnable_thread(pid: int) -> bool:
    try:
        for thread in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/stat" % (pid, thread), "rb") as file:
                if file.read().rpartition(b") ")[2][:1] in b"RD":
                    return True
    except OSError:
        pass
    return False


def _proportional_bytes() -> int:
    """Memory of the tree with shared pages counted once: PSS of /proc/PID/smaps_rollup, and the files."""
    total = _disk_bytes()
    for pid in _processes():
        try:
            with open("/proc/%d/smaps_rollup" % pid, "rb") as file:
                for line in file:
                    if line.startswith(b"Pss:"):
                        total += int(line.split()[1]) * 1024
        except OSError:
            pass
    return total
