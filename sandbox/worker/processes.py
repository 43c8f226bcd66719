"""The processes of a run as /proc shows them: CPU time, memory, whether they run. Source: proc(5)."""

from __future__ import annotations

import os
from typing import Dict, List, NamedTuple, Optional, Tuple

from . import linux

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_DISK_WAIT_SHARE = 0.1
"""Part of the time in which processes wait only for a disk that is idle time: vfork(2) keeps a parent in that state
for as long as its child likes, and a slow file system must not fail a program."""
_FREE_SOCKETS = 64
_MOST_BYTES = 1 << 19
"""Read of a list in /proc, which other processes of the machine can make long."""
_IDLE_SHARES = {b"R": 0.0, b"D": _DISK_WAIT_SHARE}


class Usage(NamedTuple):
    """What the processes of a run use at an instant."""

    cpu_ns: int
    """Of those that live, and of those that they waited for."""
    memory_bytes: int
    """Resident without files in memory, and page tables; pages that several share are counted for each."""
    idle_share: float
    """0 when one of them runs or waits for a core, 1 when all of them wait for something else."""
    threads: int


class _Stat(NamedTuple):
    children_cpu_ns: int
    resident_bytes: int
    idle_share: float
    threads: int


class Processes:
    """The processes of a run: all but PID 1.

    Args:
        proc: a descriptor of a /proc that shows them.
        is_single: there can be but one, in no namespace of its own: `single`.
        socket_bytes: what one socket may hold that nobody reads.

    Attributes:
        single: pid of a run's only process.
    """

    def __init__(self, proc: int, is_single: bool, socket_bytes: int = 0) -> None:
        self._proc = proc
        self.is_single = is_single
        self.single = 0
        self._socket_bytes = socket_bytes

    def cpu_ns(self) -> int:
        """CPU time of those that live, and of those that they waited for."""
        total = 0
        for pid in self._pids():
            try:
                fields = self._fields("%d/stat" % pid)
            except OSError:
                continue
            total += linux.process_cpu_ns(pid) + _children_cpu_ns(fields)
        return total

    def usage(self) -> Usage:
        """Summed over all of them."""
        cpu_ns = memory_bytes = threads = 0
        idle_share = 1.0
        for pid in self._pids():
            stat = self._stat(pid)
            if stat is None:
                continue
            cpu_ns += linux.process_cpu_ns(pid) + stat.children_cpu_ns
            memory_bytes += stat.resident_bytes
            idle_share = min(idle_share, stat.idle_share)
            threads += stat.threads
        return Usage(cpu_ns, memory_bytes, idle_share, threads)

    def proportional_bytes(self) -> int:
        """Memory with shared pages counted once: PSS of smaps_rollup; RSS of a process that hides that."""
        total = 0
        counted: List[int] = []
        for pid in self._pids():
            # Asked first: one that is just executing has memory of its own by the time it is answered.
            is_counted = any(linux.is_same_memory(pid, other) for other in counted)
            share = self._proportional_bytes(pid)
            if share is None:
                stat = self._stat(pid)
                total += stat.resident_bytes if stat is not None else 0
            elif not is_counted:
                counted.append(pid)
                total += share
        return total

    def socket_bytes(self) -> int:
        """At most what the kernel holds for the run in sockets that nobody reads; a few are free."""
        try:
            if self.is_single:
                sockets = self._descriptors(self.single)
            else:
                sockets = int(self._read("self/net/sockstat").split(None, 3)[2])  # of the slot's network namespace
        except OSError:
            return 0
        return max(0, sockets - _FREE_SOCKETS) * self._socket_bytes

    def count_locks(self) -> int:
        """Record locks of the run.

        The kernel tells only of those whose owners this process-id namespace can see, but for those of open files
        (fcntl's OFD locks), which no program can make and which have no owner.
        """
        if self.is_single:
            return 0  # it can make none
        try:
            lines = self._read("locks", whole=True).splitlines()
        except OSError:
            return 0
        return sum(int(line.split(None, 6)[4 + (b"->" in line)]) > 0 for line in lines)

    def count_oom_kills(self) -> int:
        """Processes of the whole machine that the kernel ever killed for want of memory; 0 where it does not say."""
        try:
            lines = self._read("vmstat", whole=True).splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in lines if line.startswith(b"oom_kill ")), 0)

    def _descriptors(self, pid: int) -> int:
        folder = os.open("%d/fd" % pid, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            return len(os.listdir(folder))
        finally:
            os.close(folder)

    def _pids(self) -> List[int]:
        if self.is_single:
            return [self.single]
        return [int(name) for name in os.listdir(self._proc) if name.isdigit() and name != "1"]

    def _threads(self, pid: int) -> List[Tuple[int, int]]:
        try:
            tasks = os.open("%d/task" % pid, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._proc)
        except OSError:
            return []
        try:
            return [(pid, int(thread)) for thread in os.listdir(tasks)]
        except OSError:
            return []
        finally:
            os.close(tasks)

    def _stat(self, pid: int) -> Optional[_Stat]:
        """None when it is gone."""
        try:
            fields = self._fields("%d/stat" % pid)
            resident, idle_share, threads = int(fields[21]), _IDLE_SHARES.get(fields[0], 1.0), int(fields[17])
        except OSError:
            return None
        for both in self._threads(pid) if threads != 1 and idle_share else []:
            try:
                of_thread = self._fields("%d/task/%d/stat" % both)
            except OSError:
                continue
            # The first thread may have exited: then it shows no memory any more, but the process has it.
            resident = max(resident, int(of_thread[21]))
            idle_share = min(idle_share, _IDLE_SHARES.get(of_thread[0], 1.0))
            if resident and not idle_share:
                break
        memory = resident * _PAGE + self._correction(pid)
        return _Stat(_children_cpu_ns(fields), max(0, memory), idle_share, threads)

    def _correction(self, pid: int) -> int:
        """Of the resident memory: page tables are missing in it, and files in memory are counted where they lie."""
        sizes = self._sizes(pid)
        return sizes.get(b"VmPTE", 0) - sizes.get(b"RssShmem", 0)

    def _sizes(self, pid: int) -> Dict[bytes, int]:
        """Bytes by name, of /proc/PID/status; empty when it is gone."""
        try:
            lines = self._read("%d/status" % pid).splitlines()
        except OSError:
            return {}
        return {line.partition(b":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith(b" kB")}

    def _fields(self, path: str) -> List[bytes]:
        """Of a process or thread, from the state on. Raises OSError when it is gone."""
        return self._read(path).rpartition(b") ")[2].split()

    def _proportional_bytes(self, pid: int) -> Optional[int]:
        try:
            lines = self._read("%d/smaps_rollup" % pid).splitlines()
        except OSError:
            return None  # hidden, or its first thread is gone
        sizes = {line.split()[0]: int(line.split()[1]) * 1024 for line in lines[1:]}
        # Without files in memory, as above, and with page tables.
        return sizes.get(b"Pss:", 0) - sizes.get(b"Pss_Shmem:", 0) + self._sizes(pid).get(b"VmPTE", 0)

    def _read(self, path: str, whole: bool = False) -> bytes:
        """The first of a file, as much as one call gives; or all of it, up to a bound."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            content = chunk = os.read(descriptor, 1 << 14)
            while whole and chunk and len(content) < _MOST_BYTES:
                chunk = os.read(descriptor, 1 << 14)
                content += chunk
            return content
        finally:
            os.close(descriptor)


def _children_cpu_ns(fields: List[bytes]) -> int:
    """Of the children that a process has waited for, from its stat."""
    return (int(fields[13]) + int(fields[14])) * _TICKS_NS
