"""What a slot holds its candidates with, prepared once: how each is cloned, and what it may open.

Two levels. `userns`: namespaces of its own, with Landlock as a second fence where the kernel has it. `landlock`, where
user namespaces are forbidden: one process in the host's own file system, which can start no other, write no file and
reach nobody, by Landlock and the system-call filter alone.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any, Dict, List, NamedTuple, Optional

from . import landlock, linux, root
from .landlock import Rule

LANDLOCK = "landlock"
WORKING_FOLDER = "/tmp"
"""Of programs; at level `userns` each run has a file system of its own there, see folder.py."""


class Cage(NamedTuple):
    """Descriptors are of the zygote; the candidate closes them when it has used them."""

    is_single: bool
    """Level `landlock`: one process, no namespaces."""
    proc: int
    """Of a /proc that shows, and lets be set, what the candidate's own does not."""
    null: int
    """/dev/null, for standard streams that a run does not have."""
    landlock_version: int
    rules: List[Rule]
    """Of level `userns`, to which that for /tmp is added."""
    ruleset: Optional[int]
    """Of level `landlock`, where nothing is to be added."""
    group: Optional[int]
    """The slot's control group, where it has one."""
    socket_bytes: int
    """What one socket may hold that nobody reads."""

    @property
    def namespaces(self) -> int:
        """Flags that a candidate is cloned with."""
        return 0 if self.is_single else linux.CLONE_NEWUSER | linux.CLONE_NEWIPC


def prepare(spec: Dict[str, Any], proc: int, group: Optional[int]) -> Cage:
    """The cage of a slot, once its root file system is there. Raises OSError."""
    is_single = spec["level"] == LANDLOCK
    found = landlock.version()
    rights = (_outside(spec) if is_single else _inside(spec)) if found else {}
    rules = [landlock.path_rule(path, allowed) for path, allowed in rights.items()]
    ruleset = None
    if is_single and found:
        ruleset = landlock.make_ruleset(rules, found)
        for descriptor, _ in rules:
            os.close(descriptor)
        rules = []
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    return Cage(is_single, proc, null, found, rules, ruleset, group, spec["socket_bytes"])


class PackageFinder:
    """Finds the packages that programs may import, where no folder holds only those: level `landlock`.

    Args:
        sources: file or folder of each, by name.
    """

    def __init__(self, sources: Dict[str, str]) -> None:
        self._sources = sources

    def find_spec(self, name: str, path: Any = None, _target: Any = None) -> Any:
        """As sys.meta_path wants it: the spec of one of the packages, else None."""
        source = self._sources.get(name) if path is None else None
        if source is None:
            return None
        if not os.path.isdir(source):
            return importlib.util.spec_from_file_location(name, source)
        start = os.path.join(source, "__init__.py")
        return importlib.util.spec_from_file_location(name, start, submodule_search_locations=[source])


def package_finder(spec: Dict[str, Any]) -> PackageFinder:
    """For what the runtime would bind into the folders of `path`."""
    sources = {}
    for path, source in spec["binds"].items():
        if os.path.dirname(path) in spec["path"]:
            name = os.path.basename(path)
            sources[name if os.path.isdir(source) else os.path.splitext(name)[0]] = source
    return PackageFinder(sources)


def _inside(spec: Dict[str, Any]) -> Dict[str, int]:
    """Rights in the root that root.build made, but for /tmp."""
    folders = {"/etc": landlock.READ, "/proc": landlock.READ, "/dev": landlock.READ, "/": landlock.LIST}
    folders.update({path: landlock.RUN for path in spec["path"] if os.path.isdir(path)})
    for path in sorted(spec["binds"]):
        if not any(path.startswith(folder + "/") for folder in folders if folder != "/"):
            folders[path] = landlock.RUN
    return {**folders, **{"/dev/" + name: landlock.WRITE for name in root.WRITABLE_DEVICES}}


def _outside(spec: Dict[str, Any]) -> Dict[str, int]:
    """Rights in the host's own file system."""
    rights: Dict[str, int] = {}
    for source in spec["binds"].values():
        _grant(source, spec["hidden"], rights)
    for names, right in (
        (root.WRITABLE_DEVICES, landlock.WRITE),
        ((*root.READABLE_DEVICES, root.ZERO), landlock.READ),
    ):
        rights.update(("/dev/" + name, right) for name in names)
    return rights


def _grant(path: str, hidden: List[str], rights: Dict[str, int]) -> None:
    """Grant a path, or all that lies in it but what is hidden: a rule holds for everything below."""
    if path in hidden:
        return
    if not any(other.startswith(path + "/") for other in hidden):
        rights[path] = landlock.RUN
        return
    with os.scandir(path) as entries:
        for entry in entries:
            if not entry.is_symlink():  # what it points to is granted, or not, where it is
                _grant(entry.path, hidden, rights)
