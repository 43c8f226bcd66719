"""The part of the cgroup v2 hierarchy that this user may divide, where there is one.

Source: Documentation/admin-guide/cgroup-v2.rst, "Delegation". Two ways to have one: this process is alone in a group
that belongs to it (`systemd-run --user --scope -p Delegate=yes COMMAND`), or the variable QRPO_SANDBOX_CGROUP names an
empty group that does.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from containers.mounts import mountinfo, mounts
from sandbox.errors import UnsupportedHostError

VARIABLE = "QRPO_SANDBOX_CGROUP"
_CONTROLLERS = frozenset({"memory", "pids"})
_PREFIX = "qrpo-sandbox."
_OWN_LEAF = f"{_PREFIX}caller"
_NOBODY = 65534  # who a slot that is started as root becomes
_counter = itertools.count()
_lock = threading.Lock()
_live: set[Path] = set()
"""Groups of this process's slots."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delegation:
    """A group whose children are ours to make."""

    path: Path
    controllers: frozenset[str]
    """Those of memory and pids that the children get."""


def find() -> Delegation | str:
    """The delegated group; else a sentence that says why there is none. Changes nothing.

    Raises:
        UnsupportedHostError: the group that the variable names is of no use.
    """
    named = os.environ.get(VARIABLE)
    if named:
        path = Path(named)
        if not (path / "cgroup.procs").exists():
            raise UnsupportedHostError(f"{VARIABLE} is {named!r}, which is no cgroup v2 folder")
        if not os.access(path / "cgroup.procs", os.W_OK) or not os.access(path, os.W_OK):
            raise UnsupportedHostError(
                f"{VARIABLE} is {named!r}, which this user may not divide: chown it and its files"
            )
        own = _own_group()
        if own is None or not _may_move(own, path):
            raise UnsupportedHostError(
                f"{VARIABLE} is {named!r}, but this process, in {own}, may not move others there: the kernel asks for "
                "write access to cgroup.procs of the group that both lie in; start this process inside that one"
            )
        return Delegation(path, _CONTROLLERS & _words(path / "cgroup.controllers"))
    own = _own_group()
    if own is None:
        return "this process is in no cgroup v2 group"
    if own.name == _OWN_LEAF:
        own = own.parent
    if not os.access(own, os.W_OK) or not os.access(own / "cgroup.subtree_control", os.W_OK):
        return f"{own} belongs to somebody else"
    if own == mount_point() or not _words(own / "cgroup.controllers") >= _CONTROLLERS:
        return f"{own} has no controllers of memory and processes to hand on"
    if {int(pid) for pid in _words(own / "cgroup.procs")} - {os.getpid()}:
        return f"other processes than this one are in {own}"
    return Delegation(own, _CONTROLLERS)


class SlotGroup:
    """The control group of one slot, below the delegated one.

    Args:
        delegation: see `find`.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, delegation: Delegation) -> None:
        self._delegation = delegation
        with _lock:
            _leave(delegation.path)
            _enable(delegation.path, delegation.controllers)
            _remove_leftovers(delegation.path)
            self.path = delegation.path / f"{_PREFIX}{os.getpid()}.{next(_counter)}"
            self.path.mkdir()
            _live.add(self.path)
        try:
            (self.path / "broker").mkdir()
            _enable(self.path, delegation.controllers)
            if os.geteuid() == 0:
                for path in (self.path, *self.path.iterdir()):
                    os.chown(path, _NOBODY, _NOBODY)
        except BaseException:
            self.close()
            raise

    def add(self, pid: int) -> None:
        """Move a process in: the slot's first, before it starts others. Raises OSError."""
        (self.path / "broker" / "cgroup.procs").write_text(str(pid))

    def close(self) -> None:
        """Remove it, once its last process is gone; one that cannot be removed is left to the next start."""
        for _ in range(100):
            if _remove(self.path):
                break
            time.sleep(0.01)
        with _lock:
            _live.discard(self.path)
            _return(self._delegation)


def _leave(group: Path) -> None:
    """A group with children that have controllers must hold no process itself."""
    if str(os.getpid()) in _words(group / "cgroup.procs"):
        leaf = group / _OWN_LEAF
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(os.getpid()))


def _return(delegation: Delegation) -> None:
    """Undo `_leave` with the last slot, so that others may enter the group as before."""
    leaf = delegation.path / _OWN_LEAF
    if not leaf.exists() or any(delegation.path.glob(f"{_PREFIX}*.*")):
        return
    try:
        removed = " ".join(f"-{name}" for name in sorted(delegation.controllers))
        (delegation.path / "cgroup.subtree_control").write_text(removed)
        (delegation.path / "cgroup.procs").write_text(str(os.getpid()))
        leaf.rmdir()
    except OSError as error:
        log.debug("this process stays in %s: %s", leaf, error)


def _enable(group: Path, controllers: frozenset[str]) -> None:
    if controllers:
        (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in sorted(controllers)))


def _remove_leftovers(group: Path) -> None:
    """Of slots whose owner is gone, or has closed them."""
    for path in group.glob(f"{_PREFIX}*.*"):
        owner = path.name.split(".")[1]
        if path not in _live if owner == str(os.getpid()) else not Path("/proc", owner).exists():
            _remove(path)


def _remove(group: Path) -> bool:
    try:
        for child in [child for child in group.iterdir() if child.is_dir()]:
            child.rmdir()
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False  # a process of it is still on its way out
    return True


def _words(file: Path) -> set[str]:
    try:
        return set(file.read_text().split())
    except OSError:
        return set()


def _may_move(source: Path, target: Path) -> bool:
    """cgroup-v2.rst, "Delegation Containment"."""
    common = Path(os.path.commonpath([source.resolve(), target.resolve()]))
    return os.access(common / "cgroup.procs", os.W_OK)


def _own_group() -> Path | None:
    mount = mount_point()
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    inside = next((line[3:] for line in lines if line.startswith("0::")), None)
    return None if mount is None or inside is None else mount / inside.lstrip("/")


def mount_point() -> Path | None:
    """Where the cgroup v2 hierarchy is mounted."""
    return next((Path(mount.point) for mount in mounts(mountinfo()) if mount.type == "cgroup2"), None)
