"""What this machine enforces, found by trying it, and what to ask an administrator where something is missing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from containers.host import HostRuntime
from containers.runtime import ContainerError, Runtime
from sandbox import control_group
from sandbox.checkup.check import Check, Group, fine, gap
from sandbox.checkup.guards import MACHINE_GUARDS, USERNS_REMEDY
from sandbox.checkup.settings import kernel, user_namespace_settings
from sandbox.errors import InfrastructureError, UnsupportedHostError
from sandbox.level import Level
from sandbox.slot import Slot
from sandbox.worker.languages import LANGUAGES

_NAMESPACES = re.compile(r"set up (namespaces|mounts)")
_GROUPS = {"control_group": Group.JOB}
"""Of guards that are not the machine's but what is given of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that was looked at."""

    level: Level | None
    """The level of isolation that programs get here; None: the sandbox refuses to start."""
    checks: tuple[Check, ...]

    @property
    def missing(self) -> list[Check]:
        """What is required and not there."""
        return [check for check in self.checks if check.required and not check.ok]


def examine(runtime: Runtime | None = None, level: Level = Level.USERNS) -> Report:
    """Look at the host's settings and try every guard in a real slot.

    Args:
        runtime: where programs would run; None: the host.
        level: the one that is wanted. Where it cannot be had, the other is tried too and told.
    """
    checks = [kernel(), *(user_namespace_settings() if level is Level.USERNS else [])]
    runtime = runtime or HostRuntime()
    try:
        with closing(Slot(runtime, level)) as slot:
            found = slot.enforcement
            faults = slot.request({"op": "languages"})["languages"]
    except ContainerError as error:
        return Report(level=None, checks=(*checks, image_fault(error)))
    except (UnsupportedHostError, InfrastructureError) as error:
        checks += _what_is_wrong(error)
        if level is Level.USERNS:
            checks.append(_lower_level(runtime))
        return Report(level=None, checks=tuple(checks))
    checks += [_held(name) for name in found.guards]
    checks += [_absent(name, why) for name, why in found.absent.items()]
    checks += languages(faults, level)
    if not isinstance(runtime, HostRuntime):
        checks.append(fine(Group.CONTAINERS, "image", f"Python {found.python} starts in it", required=True))
    return Report(level=level, checks=tuple(checks))


def image_fault(error: ContainerError) -> Check:
    """What keeps programs from running in an image, and what to do about it, in the words of who met it."""
    return gap(Group.CONTAINERS, "image", str(error), f"for programs to run in the image: {error}", required=True)


def _what_is_wrong(error: UnsupportedHostError | InfrastructureError) -> list[Check]:
    if isinstance(error, UnsupportedHostError) and error.broken:
        broken = [
            gap(Group.MACHINE, name, why, MACHINE_GUARDS[name].remedy, required=True)
            for name, why in error.broken.items()
        ]
        return [*map(_held, error.held), *broken]
    remedy = USERNS_REMEDY if _NAMESPACES.search(str(error)) else "report this with the output of this command"
    return [gap(Group.MACHINE, "slot", str(error), remedy, required=True)]


def _held(name: str) -> Check:
    return fine(_group(name), name, MACHINE_GUARDS[name].meaning, required=True)


def _absent(name: str, why: str) -> Check:
    told = f"{why}; {_hierarchy()}" if name == "control_group" else why
    return gap(_group(name), name, told, MACHINE_GUARDS[name].remedy)


def _group(name: str) -> Group:
    return _GROUPS.get(name, Group.MACHINE)


def _hierarchy() -> str:
    """What there is of control groups to be delegated, and what holds in their place."""
    mount = control_group.mount_point()
    offered = "is not mounted"
    if mount is not None:
        names = (mount / "cgroup.controllers").read_text().split() if (mount / "cgroup.controllers").exists() else []
        offered = f"at {mount} offers {', '.join(names) or 'no controllers'}"
    return f"cgroup v2 {offered}; memory is limited by rlimits and by looks every 20 ms instead"


def languages(faults: Mapping[str, str], level: Level) -> list[Check]:
    """Whether programs in each language can run, by one that did or did not."""
    commands = [command for name, fault in faults.items() if fault for command in LANGUAGES[name].commands]
    remedy = (
        f"install {', '.join(commands)} for all users, below /usr (in an image: `qrpo-sandbox image build --compilers`)"
        if level is Level.USERNS
        else "programs in other languages than Python need level userns"
    )
    return [
        gap(Group.MACHINE, f"language {name}", fault, remedy)
        if fault
        else fine(Group.MACHINE, f"language {name}", f"programs in {name} run")
        for name, fault in faults.items()
    ]


def _lower_level(runtime: Runtime) -> Check:
    try:
        Slot(runtime, Level.LANDLOCK).close()
    except (UnsupportedHostError, InfrastructureError) as error:
        broken = list(error.broken) if isinstance(error, UnsupportedHostError) else []
        cause = broken[0] if broken and "landlock" not in broken else "landlock"
        return gap(Group.MACHINE, "level landlock", str(error), MACHINE_GUARDS[cause].remedy)
    detail = (
        'can be had instead by its name, --level landlock or Sandbox(level="landlock"): a program is then one process '
        "that can write no file and start no other"
    )
    return fine(Group.MACHINE, "level landlock", detail)
