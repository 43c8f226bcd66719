"""The folder in which servers of many nodes are found: whether it does what `sandbox.endpoint` needs of it."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from containers.file_system import FileSystem, Kind, file_system_of, nearest
from containers.mounts import mountinfo
from sandbox.checkup.check import Check, Group, fine, gap

_SHARED = Group.SHARED_FOLDER
_MOST_SKEW_S = 5.0
_ELSEWHERE = "name a folder on a shared file system by --dir (for servers: --endpoint-dir)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFolder:
    """What was tried there."""

    folder: Path
    exists: bool
    fault: str
    """Why servers would refuse it; empty where they would not."""
    file_system: FileSystem | None
    renames: str
    """Why files cannot be replaced in one step there; empty where they can."""
    locks: str
    """Likewise for flock(2)."""
    skew_s: float
    """How far the file system's clock is ahead of this node's, s."""


def default_folder(environment: Mapping[str, str]) -> Path:
    """Where a fleet of this user's is."""
    return Path(environment.get("HOME") or "~").expanduser() / ".qrpo-sandbox" / "fleet"


def look_at_shared_folder(folder: Path, *, required: bool, in_job: bool) -> list[Check]:
    """What is found.

    Args:
        folder: what is tried is in a new one inside of it, or of the first folder above that there is.
        required: whether servers are to be found there.
        in_job: whether other nodes may have to see it.
    """
    return judged(_tried(folder.absolute()), required=required, in_job=in_job)


def judged(found: SharedFolder, *, required: bool, in_job: bool) -> list[Check]:
    """What that means for servers."""
    if found.fault:
        remedy = (
            f"a folder of this user's alone, mode 0700 (mkdir -m 700, chmod 700): tokens are kept in {found.folder}"
        )
        return [gap(_SHARED, "folder", f"{found.folder}: {found.fault}", remedy, required=required)]
    there = "is there, of this user alone" if found.exists else "is not there yet, but can be made"
    checks = [
        fine(_SHARED, "folder", f"{found.folder} {there}", required=required),
        _kind(found, in_job=in_job),
        _rename(found.renames, required=required),
        _lock(found.locks),
    ]
    skew = f"the file system's clock and this node's are {abs(found.skew_s):.1f} s apart"
    if abs(found.skew_s) > _MOST_SKEW_S:
        remedy = (
            "ask for a time service (chrony) on the nodes and the file servers: times in logs and files do not agree"
        )
        return [*checks, gap(_SHARED, "clock", skew, remedy)]
    return [*checks, fine(_SHARED, "clock", skew)]


def _kind(found: SharedFolder, *, in_job: bool) -> Check:
    name, system = "file system", found.file_system
    if system is None or system.kind is Kind.UNKNOWN:
        known = "of an unknown type" if system is None else system.type
        return fine(_SHARED, name, f"{known}: whether other nodes see it cannot be told")
    if system.kind is Kind.SHARED:
        return fine(_SHARED, name, f"{system.type}, which nodes share")
    what = "memory" if system.kind is Kind.MEMORY else "a disk"
    detail = f"{system.type}, {what} of this node"
    if not in_job:
        return fine(_SHARED, name, f"{detail}: for servers and clients on this node")
    return gap(_SHARED, name, detail, f"{_ELSEWHERE}: clients on other nodes do not see {found.folder}")


def _rename(fault: str, *, required: bool) -> Check:
    if fault:
        remedy = f"{_ELSEWHERE} that can replace a file in one step (rename(2)): clients would read halves of files"
        return gap(_SHARED, "rename", fault, remedy, required=required)
    return fine(_SHARED, "rename", "a file is replaced in one step", required=required)


def _lock(fault: str) -> Check:
    if fault:
        remedy = (
            "ask for locks (Lustre: mount option flock; NFS: no nolock), so that servers which start together do not "
            "take each other's files for leftovers"
        )
        return gap(_SHARED, "locks", fault, remedy)
    return fine(_SHARED, "locks", "flock(2) works between processes of this node")


def _tried(folder: Path) -> SharedFolder:
    """Raises OSError."""
    there = nearest(folder)
    exists = folder.exists()
    fault = "it is a link: name what it leads to" if folder.is_symlink() else _fault(there, is_it=exists)
    renames = locks = ""
    skew_s = 0.0
    if not fault:
        try:
            with tempfile.TemporaryDirectory(prefix=".qrpo-sandbox-doctor-", dir=there) as name:
                skew_s = _skew_s(Path(name))
                renames = _cannot(_replace, Path(name))
                locks = _cannot(_lock_twice, Path(name))
        except OSError as error:  # a quota, say
            fault = f"nothing can be written to {there}: {error.strerror}"
    return SharedFolder(
        folder=folder,
        exists=exists,
        fault=fault,
        file_system=file_system_of(there, mountinfo()),
        renames=renames,
        locks=locks,
        skew_s=skew_s,
    )


def _fault(there: Path, *, is_it: bool) -> str:
    """See `sandbox.endpoint.check_folder`. Raises OSError."""
    found = there.stat()
    if not stat.S_ISDIR(found.st_mode):
        return f"{there} is no folder"
    if is_it and found.st_uid != os.getuid():
        return f"it belongs to user {found.st_uid}"
    if is_it and found.st_mode & 0o077:
        return f"others can open it: its mode is {stat.S_IMODE(found.st_mode):04o}"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"this user may not write to {there}"
    return ""


def _skew_s(folder: Path) -> float:
    before_s = time.time()
    file = folder / "clock"
    file.write_text("x")
    after_s = time.time()
    changed_s = file.stat().st_mtime
    # Within the time that writing took, and the granularity of both clocks, there is no skew.
    return min(0.0, changed_s - before_s + 0.1) + max(0.0, changed_s - after_s - 0.1)


def _cannot(attempt: Callable[[Path], str], folder: Path) -> str:
    try:
        return attempt(folder)
    except OSError as error:
        return f"{error.strerror or error}"


def _replace(folder: Path) -> str:
    old, new = folder / "old", folder / "new"
    old.write_text("old")
    new.write_text("new")
    new.replace(old)
    return "" if old.read_text() == "new" and not new.exists() else "a file that was renamed is not where it should be"


def _lock_twice(folder: Path) -> str:
    with (folder / "lock").open("w") as first, (folder / "lock").open("w") as second:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return ""
        return "two processes can hold the same lock"
