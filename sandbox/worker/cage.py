"""What a slot holds its candidates with, prepared once: how each is cloned, and what it may open.

Two levels. `userns`: namespaces of its own, with Landlock as a second fence where the kernel has it. `landlock`, where
user namespaces are forbidden: one process in the host's own file system, which can start no other, write no file and
reach nobody, by Landlock and the system-call filter alone.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, NamedTuple, Optional

from . import landlock, linux, root
from .landlock import Rule

USERNS, LANDLOCK = "userns", "landlock"


class Cage(NamedTuple):
    """Descriptors are of the zygote; the candidate closes them when it has used them."""

    is_single: bool
    """Level `landlock`: one process, no namespaces."""
    proc: int
    """Of a /proc that shows, and lets be set, what the candidate's own does not."""
    landlock_version: int
    rules: List[Rule]
    group: Optional[int]
    """The slot's control group, where it has one."""
    socket_bytes: int
    """What one socket may hold that nobody reads."""

    @property
    def namespaces(self) -> int:
        """Flags that a candidate is cloned with."""
        return 0 if self.is_single else linux.CLONE_NEWUSER | linux.CLONE_NEWNS | linux.CLONE_NEWIPC


def prepare(spec: Dict[str, Any], proc: int, group: Optional[int]) -> Cage:
    """The cage of a slot, once its root file system is there. Raises OSError."""
    is_single = spec["level"] == LANDLOCK
    found = landlock.version()
    rights = (_outside(spec) if is_single else _inside(spec)) if found else {}
    rules = [landlock.path_rule(path, allowed) for path, allowed in rights.items()]
    return Cage(is_single, proc, found, rules, group, spec["socket_bytes"])


def import_path(spec: Dict[str, Any]) -> List[str]:
    """Folders that programs import third-party packages from."""
    if spec["level"] != LANDLOCK:
        return list(spec["path"])
    sources = [source for path, source in spec["binds"].items() if os.path.dirname(path) in spec["path"]]
    return sorted({os.path.dirname(source) for source in sources})


def _inside(spec: Dict[str, Any]) -> Dict[str, int]:
    """Rights in the root that root.build made; the candidate adds its own /tmp."""
    folders = {"/etc": landlock.READ, "/proc": landlock.READ, "/dev": landlock.READ, "/": landlock.LIST}
    folders.update({path: landlock.RUN for path in spec["path"] if os.path.isdir(path)})
    for path in sorted(spec["binds"]):
        if not any(path.startswith(folder + "/") for folder in folders if folder != "/"):
            folders[path] = landlock.RUN
    return {**folders, **{"/dev/" + name: landlock.WRITE for name in root.WRITABLE_DEVICES}}


def _outside(spec: Dict[str, Any]) -> Dict[str, int]:
    """Rights in the host's own file system. Listing a folder of packages does not open what lies in it."""
    rights = dict.fromkeys(import_path(spec), landlock.LIST)
    rights.update(dict.fromkeys(spec["binds"].values(), landlock.RUN))
    for names, right in (
        (root.WRITABLE_DEVICES, landlock.WRITE),
        ((*root.READABLE_DEVICES, root.ZERO), landlock.READ),
    ):
        rights.update(("/dev/" + name, right) for name in names)
    return rights
