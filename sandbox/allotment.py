"""How many CPUs and how much memory a process may use: of the machine, of its control groups, of its Slurm job."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox import cgroup_limits
from sandbox.cgroup_limits import Bound
from sandbox.limits import MIB, Limits

_GIB = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Allotment:
    """All that bounds a process."""

    cpu_bounds: tuple[Bound, ...]
    """Never empty."""
    memory_bounds: tuple[Bound, ...]
    """Empty where the machine does not say."""

    @property
    def cpus(self) -> int:
        """At least 1: of a fraction of a CPU the process uses what it gets."""
        return max(1, int(_least(self.cpu_bounds).amount))

    @property
    def memory_bytes(self) -> int | None:
        """None: not known."""
        return int(_least(self.memory_bounds).amount) if self.memory_bounds else None

    @property
    def workers(self) -> int:
        """One per CPU, but no more than have the memory that a program may use by default; at least 1."""
        if self.memory_bytes is None:
            return self.cpus
        return max(1, min(self.cpus, self.memory_bytes // Limits().memory_bytes))

    @property
    def why_fewer(self) -> str:
        """Why there are fewer workers than CPUs, or less memory than one may use; empty where neither is so."""
        if self.memory_bytes is None or self.memory_bytes >= self.cpus * Limits().memory_bytes:
            return ""
        bound = _least(self.memory_bounds)
        return f"for {self.cpus} CPUs memory is short: {bound.amount / _GIB:.3g} GiB by {bound.source}"


def allotment() -> Allotment:
    """This process's."""
    return read(Path("/"), os.environ, len(os.sched_getaffinity(0)))


def read(root: Path, environment: Mapping[str, str], affinity: int) -> Allotment:
    """A process's.

    Args:
        root: has its /proc and /sys/fs/cgroup. What is not there bounds nothing.
        environment: the process's.
        affinity: on how many CPUs it may run.
    """
    cgroup, mountinfo = (_text(root / "proc/self" / name) for name in ("cgroup", "mountinfo"))
    cpus = [Bound(affinity, "the CPU affinity"), *cgroup_limits.cpu_bounds(root, cgroup, mountinfo)]
    memory = [*cgroup_limits.memory_bounds(root, cgroup, mountinfo)]
    if (total := total_memory(_text(root / "proc/meminfo"))) is not None:
        memory.insert(0, Bound(total, "the machine"))
    return Allotment(
        cpu_bounds=(*cpus, *slurm_cpu_bounds(environment)),
        memory_bounds=(*memory, *slurm_memory_bounds(environment)),
    )


def slurm_cpu_bounds(environment: Mapping[str, str]) -> list[Bound]:
    """Those of a Slurm job, which not every cluster enforces; sbatch(1), srun(1).

    A batch script has all that its job has on its node. A step's tasks share that, so that one of them has its own.
    """
    if "SLURM_JOB_ID" not in environment:
        return []
    names = ["SLURM_CPUS_ON_NODE", *(["SLURM_CPUS_PER_TASK"] if "SLURM_STEP_ID" in environment else [])]
    return [Bound(count, name) for name in names if (count := _count(environment.get(name, "")))]


def slurm_memory_bounds(environment: Mapping[str, str]) -> list[Bound]:
    """That of a Slurm job on its node; its variables are MiB, and 0 is all of the node's."""
    if "SLURM_JOB_ID" not in environment:
        return []
    bounds = []
    if mebibytes := _count(environment.get("SLURM_MEM_PER_NODE", "")):
        bounds.append(Bound(mebibytes * MIB, "SLURM_MEM_PER_NODE"))
    cpus = _count(environment.get("SLURM_CPUS_ON_NODE", ""))
    if (mebibytes := _count(environment.get("SLURM_MEM_PER_CPU", ""))) and cpus:
        bounds.append(Bound(mebibytes * MIB * cpus, f"SLURM_MEM_PER_CPU for {cpus} CPUs"))
    return bounds


def total_memory(meminfo: str) -> int | None:
    """Bytes, of /proc/meminfo; None where it does not say."""
    found = re.search(r"^MemTotal:\s+([0-9]+) kB$", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _least(bounds: tuple[Bound, ...]) -> Bound:
    return min(bounds, key=lambda bound: bound.amount)


def _count(text: str) -> int:
    """0 for what is no number."""
    return int(text) if re.fullmatch(r"[0-9]+", text) else 0


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="surrogateescape")  # a mount point may be no UTF-8
    except OSError:
        return ""
