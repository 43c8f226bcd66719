"""Where images are unpacked on this node, and whether it is a place for them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from containers.file_system import FileSystem, Kind, file_system_of, nearest
from containers.images import default_store
from containers.mounts import mountinfo
from containers.private_folder import NOBODY_ELSE, NOBODY_ELSE_WRITES, is_private
from sandbox.checkup.check import Check, Group, fine, gap
from sandbox.limits import MIB

_LEAST_BYTES = 2048 * MIB
_LEAST_FILES = 50_000
"""What an image with compilers takes."""
_NAMED_BY = ("QRPO_SANDBOX_IMAGES", "SLURM_TMPDIR", "TMPDIR")
_ELSEWHERE = "name a folder on a disk of the node by QRPO_SANDBOX_IMAGES (site documentation: scratch, local disk)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The folder of images."""

    folder: Path
    named_by: str
    """A variable, or `default`."""
    fault: str
    """Why nothing can be kept there; empty where it can."""
    file_system: FileSystem | None
    free_bytes: int
    free_files: int | None
    """None: it does not count them."""


def look_at_disk() -> list[Check]:
    """What is found on this node."""
    return judged(_disk(default_store().folder, os.environ))


def judged(disk: Disk) -> list[Check]:
    """What that means for images."""
    return [_place(disk), _room(disk), _mount(disk)]


def _place(disk: Disk) -> Check:
    name, where = "image folder", f"{disk.folder} ({disk.named_by})"
    if disk.fault:
        return gap(Group.DISK, name, f"{where}: {disk.fault}", f"{_ELSEWHERE}: images cannot be kept in {disk.folder}")
    if disk.file_system is None or disk.file_system.kind is Kind.UNKNOWN:
        kind = "an unknown file system" if disk.file_system is None else disk.file_system.type
        return fine(Group.DISK, name, f"{where} on {kind}; whether that is a disk of this node cannot be told")
    on = f"{where} on {disk.file_system.type}"
    if disk.file_system.kind is Kind.SHARED:
        remedy = f"{_ELSEWHERE}, or ask for job_container/tmpfs or $SLURM_TMPDIR on one: {disk.folder} is on "
        return gap(
            Group.DISK, name, f"{on}, which nodes share", f"{remedy}{disk.file_system.type}, and many processes read it"
        )
    if disk.file_system.kind is Kind.MEMORY:
        return fine(Group.DISK, name, f"{on}: what is unpacked there takes memory, in a job that of the job")
    return fine(Group.DISK, name, on)


def _room(disk: Disk) -> Check:
    files = "" if disk.free_files is None else f", {disk.free_files} files"
    detail = f"{disk.free_bytes / (1 << 30):.1f} GiB{files} free"
    if disk.free_bytes < _LEAST_BYTES or (disk.free_files is not None and disk.free_files < _LEAST_FILES):
        least = f"{_LEAST_BYTES >> 30} GiB and {_LEAST_FILES} files"
        return gap(Group.DISK, "image room", detail, f"make room on {disk.folder}: an image may take {least}")
    return fine(Group.DISK, "image room", detail)


def _mount(disk: Disk) -> Check:
    options = disk.file_system.options if disk.file_system else frozenset[str]()
    told = ", ".join(sorted(options & {"noexec", "nodev", "nosuid", "ro"})) or "no noexec, nodev or nosuid"
    if options & {"noexec", "ro"}:
        at = disk.file_system.mount_point if disk.file_system else disk.folder
        return gap(
            Group.DISK,
            "image mount",
            told,
            f"mount {at} rw,exec, or {_ELSEWHERE}: the image's Python cannot start there",
        )
    return fine(Group.DISK, "image mount", told)  # what nodev and nosuid forbid has been left out of images anyway


def _disk(folder: Path, environment: Mapping[str, str]) -> Disk:
    """Raises OSError."""
    there = nearest(folder)
    room = os.statvfs(there)
    return Disk(
        folder=folder,
        named_by=next((name for name in _NAMED_BY if environment.get(name)), "default"),
        fault=_fault(folder, there),
        file_system=file_system_of(there, mountinfo()),
        free_bytes=room.f_bavail * room.f_frsize,
        free_files=room.f_favail if room.f_files else None,
    )


def _fault(folder: Path, there: Path) -> str:
    """What would keep `ImageStore` from using it. Raises OSError."""
    if not there.is_dir():
        return f"{there} is no folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"this user may not write to {there}"
    if folder.is_symlink():
        return "it is a link: name what it leads to"
    if folder.exists() and not is_private(folder, NOBODY_ELSE_WRITES if os.geteuid() == 0 else NOBODY_ELSE):
        return "other users own it or can open it"
    return ""
