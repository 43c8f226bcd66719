"""Limits of this process, setrlimit(2), that would bite a sandbox with so many workers."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from sandbox.checkup.check import Check, Group, fine, gap
from sandbox.limits import MIB, Limits
from sandbox.worker.languages import STACK_BYTES

_DEFAULTS = Limits()


@dataclass(frozen=True, slots=True)
class _Need:
    """Of one limit."""

    kind: int
    option: str
    """Of ulimit(1), with `H` where a process may raise it to the hard limit, which then counts."""
    base: int | None
    """What a sandbox needs of it; None: that there is no limit."""
    each: int
    """What each worker needs beyond that."""
    unit: int
    """Of ulimit(1), in those of setrlimit(2)."""
    why: str
    required: bool = False

    def amount(self, workers: int) -> int | None:
        return None if self.base is None else self.base + self.each * workers


NEEDS = {
    "nproc": _Need(
        resource.RLIMIT_NPROC, "-u", 64, _DEFAULTS.processes + 8, 1, "programs that start processes are refused some"
    ),
    "nofile": _Need(resource.RLIMIT_NOFILE, "-Hn", 1024, 16, 1, "a server takes fewer connections, or its slots fail"),
    "stack": _Need(
        resource.RLIMIT_STACK, "-Hs", STACK_BYTES, 0, 1024, "programs get so much for deep recursion", required=True
    ),
    "fsize": _Need(resource.RLIMIT_FSIZE, "-f", 1024 * MIB, 0, 1024, "files of programs and of images are cut off"),
    "as": _Need(
        resource.RLIMIT_AS, "-v", 4 * _DEFAULTS.memory_bytes + 2048 * MIB, 0, 1024,
        "programs are refused memory below their own limit (Slurm: VSizeFactor)",
    ),
    "data": _Need(
        resource.RLIMIT_DATA, "-d", _DEFAULTS.memory_bytes + 128 * MIB, 0, 1024,
        "programs are refused memory below their own limit",
    ),
    "cpu": _Need(resource.RLIMIT_CPU, "-t", None, 0, 1, "a slot is killed when it has used so much CPU time"),
}  # fmt: skip
"""All others may be as low as they like: of memlock, core, sigpending, msgqueue programs get little anyway."""


def look_at_ulimits(workers: int) -> list[Check]:
    """What is found in this process."""
    found = {}
    for name, need in NEEDS.items():
        value = resource.getrlimit(need.kind)["H" in need.option]
        found[name] = None if value == resource.RLIM_INFINITY else value
    if os.geteuid() == 0:
        found["nproc"] = None  # does not hold for root
    return judged(found, workers)


def judged(found: Mapping[str, int | None], workers: int) -> list[Check]:
    """What that means.

    Args:
        found: by names of `NEEDS`; None: unlimited.
        workers: how many the sandbox would have.
    """
    biting = [name for name in NEEDS if _bites(found[name], NEEDS[name].amount(workers))]
    if not biting:
        return [fine(Group.JOB, "ulimits", f"none would bite with {workers} workers")]
    return [_told(name, found[name] or 0, workers) for name in biting]


def _bites(value: int | None, needed: int | None) -> bool:
    return value is not None and (needed is None or value < needed)


def _told(name: str, value: int, workers: int) -> Check:
    need = NEEDS[name]
    needed = need.amount(workers)
    shown = partial(_shown, need)
    enough = "unlimited" if needed is None else shown(needed)
    return gap(
        Group.JOB,
        f"ulimit {name}",
        f"`ulimit {need.option}` is {shown(value)}; {workers} workers need {enough}",
        f"`ulimit {need.option} {enough}`, for jobs by limits.conf of the nodes and PropagateResourceLimitsExcept in "
        f"slurm.conf: {need.why}",
        required=need.required,
    )


def _shown(need: _Need, amount: int) -> str:
    return str(-(-amount // need.unit))
