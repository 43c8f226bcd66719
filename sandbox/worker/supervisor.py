"""Limit, measure and end one run, from PID 1 of the namespace that its processes are in.

This runs in the zygote, which holds no task data. It is undumpable, so the program (same uid, no capabilities)
can neither trace it nor open its /proc files, and as PID 1 it takes no signal from inside its namespace that it
has no handler for. Where there is no such namespace the program is a single process that can start no other.

Over the status socket (SOCK_SEQPACKET) the runner may send
    arm <start_ns> <cpu_ns> <idle_ns>   judge one test: CPU and idle time from that CLOCK_MONOTONIC instant on
    disarm
    pause, resume                       the runner itself is at work in between: no idle time
    kill <reason>
and gets exactly one report, after every process of the run is gone. Hang-up kills as well.

Time counts from when the candidate has its guards and its files: making them is no part of the program.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from typing import Any, Dict, Optional

from .cgroup import RunGroup
from .clock import Clock
from .folder import WorkingFolder
from .processes import Processes, Usage

_TICK_NS = 20_000_000
_LOOKS_PER_COUNT_OF_LOCKS = 8
"""To read their list the kernel stops all who change one, and to do so waits for every processor."""
_LEAST_SPAN_NS = 5_000_000
_LEAST_WAIT_NS = 5_000_000
_WALL_OVER_CPU = 10
_CORES = os.cpu_count() or 1
_MOST_LOCKS = 4096
"""Record locks: the kernel keeps them in memory that is counted nowhere."""
_ENDED_WELL = (None, "over")
"""Reasons of a run that no limit has ended: by itself, or by a judge that needs it no more."""
_BUSY_SHARE = 0.1
"""Of a span, without the pauses in it, of which the processes used so much as CPU time nothing is idle time: between
the quick calls of a busy test they are seen asleep."""


class _Watch:
    """The test that is being timed."""

    def __init__(self, cpu_ns: int, idle_ns: int, cpu_before_ns: int, start_ns: int) -> None:
        self.cpu_ns = cpu_ns
        self.idle_ns = idle_ns
        self.cpu_before_ns = cpu_before_ns
        self.start_ns = start_ns
        self.idle_so_far_ns = 0
        self.paused_ns: Optional[int] = None
        self._away_ns = 0
        self._awaited_from_ns = start_ns
        # No program needs it: for those that find a way to be neither idle nor running, such as a slow vfork.
        self.last_ns = start_ns + _WALL_OVER_CPU * cpu_ns + idle_ns

    def pause(self, is_paused: bool) -> None:
        """Neither idle nor wall time count while the runner itself is at work."""
        now_ns = time.monotonic_ns()
        self._count_pause(now_ns)
        self.paused_ns = now_ns if is_paused else None
        if not is_paused:
            self._awaited_from_ns = now_ns

    def awaited_ns(self, now_ns: int) -> int:
        """How long the program has been waited for without a pause.

        0 for so short a time that the runner, on a busy machine, may only not have got round to reading the answer.
        """
        wait_ns = now_ns - self._awaited_from_ns
        return wait_ns if self.paused_ns is None and wait_ns >= _LEAST_WAIT_NS else 0

    def take_pauses_ns(self, now_ns: int) -> int:
        """How long it was paused since this was last asked."""
        self._count_pause(now_ns)
        found, self._away_ns = self._away_ns, 0
        return found

    def _count_pause(self, now_ns: int) -> None:
        if self.paused_ns is not None:
            self.last_ns += now_ns - self.paused_ns
            self._away_ns += now_ns - self.paused_ns
            self.paused_ns = now_ns


class Supervisor:
    """One run. Made before its candidate is cloned: what is written afterwards the kernel must first copy.

    Args:
        limits: see sandbox.limits.
        status: the run's status socket.
        child_ended: a signalfd of SIGCHLD.
        clock: of when the candidate was ready.
        processes: those of the run.
        folder: what they work in.
        group: the run's control group, where there is one.
    """

    def __init__(
        self,
        limits: Dict[str, Any],
        status: socket.socket,
        child_ended: int,
        clock: Clock,
        processes: Processes,
        folder: WorkingFolder,
        group: Optional[RunGroup],
    ) -> None:
        self._processes = processes
        self._folder = folder
        self._group = group
        self._max_threads = int(limits["processes"])
        self._status = status
        self._child_ended = child_ended
        self._clock = clock
        self._memory_bytes = int(limits["memory_bytes"])
        self._total_cpu_ns = int(limits["total_cpu_s"] * 1e9)
        self._due_cpu_ns = int(limits["due_cpu_s"] * 1e9)
        self._due_total_cpu_ns = int(limits["due_total_cpu_s"] * 1e9)
        self._peak_bytes = 0
        self._reaped_cpu_ns = 0
        self._idle_ns = 0
        self._is_late = False
        self._looks = 0
        self._reason: Optional[str] = None
        self._main = 0
        self._started_ns = self._sampled_ns = time.monotonic_ns()
        self._watch: Optional[_Watch] = _Watch(
            int(limits["cpu_s"] * 1e9), int(limits["idle_s"] * 1e9), 0, self._started_ns
        )
        self._last_cpu_ns = 0
        self._poller = select.poll()
        self._poller.register(child_ended, select.POLLIN)
        self._poller.register(status, select.POLLIN)

    def run(self, main: int) -> Dict[str, Any]:
        """Until the candidate has ended and every process of the run is gone; the report.

        Args:
            main: pid of the candidate.
        """
        self._main = main
        wait_status = self._wait()
        ended_ns = time.monotonic_ns()
        self._peak_bytes = max(self._peak_bytes, self._folder.used_bytes())
        self._end_all()
        ready = self._clock.read()
        reason = self._reason
        cpu_ns, peak_bytes = self._reaped_cpu_ns, self._peak_bytes
        if reason is None and peak_bytes > self._memory_bytes:
            reason = "memory"  # between two looks
        if self._group is not None:
            cpu_ns = max(cpu_ns, self._group.cpu_ns())
            peak_bytes = self._group.peak_bytes() or peak_bytes
            if self._group.is_out_of_memory():
                reason = "memory"
        cpu_ns = max(0, cpu_ns - ready.cpu_ns)
        watch = self._watch
        if watch is not None:
            used_ns = cpu_ns - watch.cpu_before_ns
            if reason is None and used_ns > watch.cpu_ns:
                reason = "cpu"
            self._is_late = self._is_late or (reason in _ENDED_WELL and used_ns > self._due_cpu_ns)
        is_late_in_all = reason in _ENDED_WELL and cpu_ns + self._idle_ns > self._due_total_cpu_ns
        return {
            "reason": reason,
            "signal": os.WTERMSIG(wait_status) if os.WIFSIGNALED(wait_status) else None,
            "exit_code": os.WEXITSTATUS(wait_status) if os.WIFEXITED(wait_status) else None,
            "cpu_ns": cpu_ns,
            "wall_ns": ended_ns - (ready.at_ns or self._started_ns),
            "idle_ns": self._idle_ns,
            "peak_bytes": peak_bytes,
            "is_late": self._is_late or is_late_in_all,
        }

    def _wait(self) -> int:
        while True:
            ready = dict(self._poller.poll(self._tick_ms()))
            if self._child_ended in ready:
                os.read(self._child_ended, 128)
                status = self._reap()
                if status is not None:
                    return status
            if self._status.fileno() in ready:
                self._obey()
            if self._reason is None and (not ready or time.monotonic_ns() - self._sampled_ns >= _LEAST_SPAN_NS):
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
                return status

    def _end_all(self) -> None:
        """Kill and reap whatever is left. A fork cannot slip through: the kernel refuses it to a dying process.

        What the candidate left behind is this process's child by now: with no child there is nothing to kill.
        """
        is_over = False
        options = os.WNOHANG
        while not is_over:
            try:
                pid, _, usage = os.wait4(-1, options)
            except ChildProcessError:
                is_over = True
            else:
                self._account(usage)
                if pid == 0 and not self._processes.is_single:
                    os.kill(-1, signal.SIGKILL)
                    options = 0

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
            now = self._cpu_ns()
            self._look_whether_late()
            self._watch = _Watch(cpu_ns, idle_ns, max(0, now - (time.monotonic_ns() - start_ns)), start_ns)
        elif message[0] == "disarm":
            self._look_whether_late()
            self._watch = None
        elif message[0] in ("pause", "resume"):
            if message[0] == "pause" and time.monotonic_ns() - self._sampled_ns >= _LEAST_SPAN_NS:
                self._sample()  # until now it was the program's time
            if self._watch is not None:
                self._watch.pause(message[0] == "pause")
        elif not self._has_ended():  # or it ended by itself, and another process has gone on for it
            self._reason = self._reason or message[1]  # the first reason is the cause of the second

    def _look_whether_late(self) -> None:
        """At the end of a test that is being timed, unless it was too short for all cores together."""
        watch = self._watch
        if watch is None or self._is_late:
            return
        if time.monotonic_ns() - watch.start_ns >= self._due_cpu_ns // _CORES:
            self._is_late = self._cpu_ns() - watch.cpu_before_ns > self._due_cpu_ns

    def _has_ended(self) -> bool:
        return os.waitid(os.P_PID, self._main, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _sample(self) -> None:
        now_ns = time.monotonic_ns()
        ready_ns = self._clock.read().at_ns or now_ns
        since_ns, self._sampled_ns = now_ns - max(self._sampled_ns, ready_ns), now_ns
        watch = self._watch
        if watch is not None:
            since_ns -= watch.take_pauses_ns(now_ns)
        usage = self._usage(since_ns)
        self._peak_bytes = max(self._peak_bytes, usage.memory_bytes)
        if usage.memory_bytes > self._memory_bytes:
            self._reason = "memory"
        elif self._is_time_for_locks() and self._processes.count_locks() > _MOST_LOCKS:
            self._reason = "locks"
        elif self._processes.is_single and usage.threads > self._max_threads:
            self._reason = "threads"  # where RLIMIT_NPROC would count all that the user runs
        elif usage.cpu_ns + self._idle_ns > self._total_cpu_ns:
            self._reason = "total_cpu"
        elif watch is not None:
            idle_ns = int(min(since_ns, watch.awaited_ns(now_ns)) * usage.idle_share)
            watch.idle_so_far_ns += idle_ns
            self._idle_ns += idle_ns
            if usage.idle_share == 0.0:
                watch.last_ns += since_ns  # running, or waiting for a core on a busy machine
            if usage.cpu_ns - watch.cpu_before_ns > watch.cpu_ns:
                self._reason = "cpu"
            elif watch.idle_so_far_ns > watch.idle_ns:
                self._reason = "idle"
            elif watch.paused_ns is None and now_ns > watch.last_ns:
                self._reason = "wall"

    def _is_time_for_locks(self) -> bool:
        self._looks += 1
        return self._looks % _LOOKS_PER_COUNT_OF_LOCKS == 0

    def _usage(self, span_ns: int) -> Usage:
        files = self._folder.used_bytes()
        found = self._processes.usage()
        elsewhere = files + self._processes.socket_bytes()
        memory = elsewhere + found.memory_bytes
        if memory > self._memory_bytes:
            memory = elsewhere + self._processes.proportional_bytes()
        cpu_ns = self._since_ready_ns(found.cpu_ns)
        idle_share = found.idle_share if cpu_ns - self._last_cpu_ns < _BUSY_SHARE * span_ns else 0.0
        self._last_cpu_ns = cpu_ns
        return Usage(cpu_ns, memory, idle_share, found.threads)

    def _cpu_ns(self) -> int:
        return self._since_ready_ns(self._processes.cpu_ns())

    def _since_ready_ns(self, living_cpu_ns: int) -> int:
        """CPU time of the run so far, from that of the processes that live."""
        cpu_ns = self._reaped_cpu_ns + living_cpu_ns
        if self._group is not None:  # it misses no process, however short its life
            cpu_ns = max(cpu_ns, self._group.cpu_ns())
        return max(0, cpu_ns - self._clock.read().cpu_ns)
