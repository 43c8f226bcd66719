"""The processes of slots by their role, as they look from outside: for tests and benchmarks that meddle with them.

At level `userns` only: the roles are told apart by how deep in process-id namespaces each process is.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Role(StrEnum):
    """What a process of a slot is; see `sandbox.worker`."""

    LAUNCHER = "launcher"
    """The slot's first process, which only waits: `Slot.pid`."""
    BROKER = "broker"
    """PID 1 of the slot."""
    JUDGE = "judge"
    ZYGOTE = "zygote"
    """PID 1 of the candidates' namespace."""
    CANDIDATE = "candidate"
    """The program, or a process that it started."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process that was there when it was looked for."""

    pid: int
    started: int
    """Ticks since boot: the same pid with another start is another process."""
    role: Role

    def is_alive(self) -> bool:
        """Whether it is there still, stopped or not; a zombie is not."""
        stat = _stat(self.pid)
        return stat is not None and stat.started == self.started and stat.state not in "ZX"

    def send(self, number: int) -> bool:
        """Signal it, and no other process that has got its pid since; whether it was there."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.is_alive():
                return False
            signal.pidfd_send_signal(descriptor, number)
            return True
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)

    def memory_bytes(self) -> int:
        """Its proportional share of what it has in memory (PSS); all of it (RSS) where the kernel hides that."""
        try:
            lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
        except PermissionError:
            pass
        except (OSError, StopIteration):
            return 0
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            return 0


@dataclass(frozen=True, slots=True)
class _Stat:
    state: str
    parent: int
    started: int


def launchers(caller: int) -> list[int]:
    """Pids of the first processes of all slots that a process has; its other children are passed over."""
    stats = _stats()
    outer = len(_pids_inside(caller))
    found = []
    for pid in [pid for pid, stat in stats.items() if stat.parent == caller]:
        inner = [len(_pids_inside(child)) for child, stat in stats.items() if stat.parent == pid]
        if outer + 1 in inner:
            found.append(pid)
    return sorted(found)


def family(launcher: int) -> list[Process]:
    """The slot's processes that live, a parent before its children.

    Args:
        launcher: pid of the first, which is among them.
    """
    stats = _stats()
    if launcher not in stats:
        return []
    outer = len(_pids_inside(launcher))
    found = []
    for pid in _descendants(launcher, stats):
        role = _role(_pids_inside(pid), outer)
        if role is not None and stats[pid].state not in "ZX":
            found.append(Process(pid, stats[pid].started, role))
    return found


def _role(pids: list[int], outer: int) -> Role | None:
    """From the process's numbers, outermost namespace first, and how many its launcher has."""
    depth = len(pids) - outer
    is_first = pids[-1:] == [1]
    if depth == 0:
        return Role.LAUNCHER
    if depth == 1:
        return Role.BROKER if is_first else Role.JUDGE
    if depth == 2:
        return Role.ZYGOTE if is_first else Role.CANDIDATE
    return None  # gone, or of no slot


def _descendants(root: int, stats: dict[int, _Stat]) -> Iterator[int]:
    """The process and all below it, nearest first."""
    waiting = [root]
    for pid in waiting:
        yield pid
        waiting += sorted(child for child, stat in stats.items() if stat.parent == pid)


def _stats() -> dict[int, _Stat]:
    found = {int(path.name): _stat(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()}
    return {pid: stat for pid, stat in found.items() if stat is not None}


def _stat(pid: int) -> _Stat | None:
    """None when it is gone. Source: proc_pid_stat(5)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
    except OSError:
        return None
    return _Stat(fields[0].decode(), int(fields[1]), int(fields[19]))


def _pids_inside(pid: int) -> list[int]:
    """The process's numbers in its namespace and those around it, outermost first; empty when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        return []
    return next(([int(word) for word in line.split()[1:]] for line in lines if line.startswith("NSpid:")), [])
