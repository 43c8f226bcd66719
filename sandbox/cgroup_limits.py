"""What control groups allow a process: CPUs and memory, of its own group and of all groups above it.

Source: Documentation/admin-guide/cgroup-v2.rst; cgroup-v1/memory.rst and scheduler/sched-bwc.rst; proc(5), cgroups(7).
Both versions can be mounted at the same time, each with controllers of its own.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from containers.mounts import Mount, mounts

_MEMORY_V2 = ("memory.max", "memory.high")
_MEMORY_V1 = ("memory.limit_in_bytes",)


class Bound(NamedTuple):
    """One thing that bounds."""

    amount: float
    """CPUs, or bytes."""
    source: str
    """What says so."""


class Groups(NamedTuple):
    """Folders of a process's group and of those above it, its own first."""

    version: int
    folders: tuple[PurePosixPath, ...]


def groups_of(controller: str, cgroup: str, mountinfo: str) -> list[Groups]:
    """Where a controller's files are for a process, in each hierarchy that may have them.

    Args:
        controller: `cpu` or `memory`.
        cgroup: text of /proc/PID/cgroup.
        mountinfo: text of /proc/PID/mountinfo.
    """
    mounted = list(mounts(mountinfo))
    found = []
    for line in cgroup.splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        is_v2 = number == "0" and not names
        if not path.startswith("/") or not (is_v2 or controller in names.split(",")):
            continue
        usable = [
            mount
            for mount in mounted
            if (
                mount.type == "cgroup2" if is_v2 else mount.type == "cgroup" and controller in mount.file_system_options
            )
        ]
        if usable:
            found.append(Groups(2 if is_v2 else 1, _folders(PurePosixPath(path), usable)))
    return found


def cpu_bounds(root: Path, cgroup: str, mountinfo: str) -> list[Bound]:
    """Quotas of CPU time, in CPUs; `root` has the file system whose mounts these are."""
    bounds = []
    for version, folders in groups_of("cpu", cgroup, mountinfo):
        for folder in folders:
            if version == 2:
                amount, name = quota(_text(root, folder / "cpu.max")), "cpu.max"
            else:
                texts = [_text(root, folder / f"cpu.cfs_{part}_us") for part in ("quota", "period")]
                amount, name = quota(" ".join(texts)), "cpu.cfs_quota_us"
            if amount is not None:
                bounds.append(Bound(amount, f"{folder / name}"))
    return bounds


def memory_bounds(root: Path, cgroup: str, mountinfo: str) -> list[Bound]:
    """Limits of memory, in bytes; `root` as for `cpu_bounds`."""
    bounds = []
    for version, folders in groups_of("memory", cgroup, mountinfo):
        for folder in folders:
            for name in _MEMORY_V2 if version == 2 else _MEMORY_V1:
                amount = size(_text(root, folder / name))
                if amount is not None:
                    bounds.append(Bound(amount, f"{folder / name}"))
    return bounds


def quota(text: str) -> float | None:
    """CPUs, of `QUOTA PERIOD` in microseconds; None where nothing is bounded (`max`, -1) or it is no such text."""
    words = text.split()
    if len(words) != 2 or not all(re.fullmatch(r"[0-9]+", word) for word in words) or int(words[1]) == 0:
        return None
    return int(words[0]) / int(words[1])


def size(text: str) -> int | None:
    """Bytes; None where nothing is bounded (`max`; version 1 has a number near 2**63) or it is no number."""
    word = text.strip()
    if not re.fullmatch(r"[0-9]+", word) or int(word) >= 1 << 62:
        return None
    return int(word)


def _folders(group: PurePosixPath, mounted: list[Mount]) -> tuple[PurePosixPath, ...]:
    """From the group up to what is mounted.

    Where no mount shows the group, as in a container with the host's /proc, what is mounted is the container's own.
    """
    for mount in mounted:
        if group.is_relative_to(mount.root) and ".." not in group.parts:
            below = group.relative_to(mount.root)
            return tuple(mount.point / part for part in (below, *below.parents))
    return (mounted[0].point,)


def _text(root: Path, file: PurePosixPath) -> str:
    try:
        return (root / file.relative_to("/")).read_text()
    except (OSError, ValueError):
        return ""  # not there, or not for this user to read: it bounds nothing that is known
