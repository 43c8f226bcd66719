"""What this machine enforces, found by trying it, and what to ask an administrator where something is missing."""

from __future__ import annotations

import os
import platform
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from containers.host import HostRuntime
from containers.runtime import Runtime
from sandbox.checkup.guards import MACHINE_GUARDS
from sandbox.errors import InfrastructureError, UnsupportedHostError
from sandbox.level import Level
from sandbox.slot import Slot
from sandbox.worker.languages import LANGUAGES

_OLDEST_KERNEL = (5, 14)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at."""

    name: str
    required: bool
    ok: bool
    detail: str
    remedy: str
    """What to do or to ask for where it is not ok; empty otherwise."""


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
    checks = [_kernel(), *(_user_namespace_settings() if level is Level.USERNS else [])]
    runtime = runtime or HostRuntime()
    try:
        with closing(Slot(runtime, level)) as slot:
            found = slot.enforcement
            faults = slot.request({"op": "languages"})["languages"]
    except (UnsupportedHostError, InfrastructureError) as error:
        checks += _what_is_wrong(error)
        if level is Level.USERNS:
            checks.append(_lower_level(runtime))
        return Report(level=None, checks=tuple(checks))
    checks += [_held(name) for name in found.guards]
    checks += [_absent(name, why) for name, why in found.absent.items()]
    checks += [_language(name, fault) for name, fault in faults.items()]
    return Report(level=level, checks=tuple(checks))


def _what_is_wrong(error: UnsupportedHostError | InfrastructureError) -> list[Check]:
    if isinstance(error, UnsupportedHostError) and error.broken:
        broken = [
            Check(name=name, required=True, ok=False, detail=why, remedy=MACHINE_GUARDS[name].remedy)
            for name, why in error.broken.items()
        ]
        return [*map(_held, error.held), *broken]
    remedy = "mend what fails above; if all of it is ok, report this with the output of this command"
    return [Check(name="slot", required=True, ok=False, detail=str(error), remedy=remedy)]


def _held(name: str) -> Check:
    return Check(name=name, required=True, ok=True, detail=MACHINE_GUARDS[name].meaning, remedy="")


def _absent(name: str, why: str) -> Check:
    return Check(name=name, required=False, ok=False, detail=why, remedy=MACHINE_GUARDS[name].remedy)


def _language(name: str, fault: str) -> Check:
    """Whether programs in a language can run, by one that did or did not."""
    commands = " and ".join(LANGUAGES[name].commands)
    remedy = f"programs in {name} need level userns, and {commands} installed for all users"
    return Check(
        name=f"language {name}",
        required=False,
        ok=not fault,
        detail=fault or f"programs in {name} run",
        remedy=remedy if fault else "",
    )


def _lower_level(runtime: Runtime) -> Check:
    try:
        Slot(runtime, Level.LANDLOCK).close()
    except (UnsupportedHostError, InfrastructureError) as error:
        remedy = MACHINE_GUARDS["landlock"].remedy
        return Check(name="level landlock", required=False, ok=False, detail=str(error), remedy=remedy)
    detail = (
        'can be had instead by its name, --level landlock or Sandbox(level="landlock"): a program is then one process '
        "that can write no file and start no other"
    )
    return Check(name="level landlock", required=False, ok=True, detail=detail, remedy="")


def _kernel() -> Check:
    release = platform.release()
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    ok = numbers >= _OLDEST_KERNEL
    return Check(
        name="kernel",
        required=False,
        ok=ok,
        detail=f"Linux {release} on {platform.machine()}",
        remedy="" if ok else "a fork bomb is bounded per namespace from Linux 5.14 on; ask for a newer kernel",
    )


def _user_namespace_settings() -> list[Check]:
    """The settings by which administrators forbid user namespaces to users; user_namespaces(7)."""
    remedies = {
        "user/max_user_namespaces": ("0", "sysctl user.max_user_namespaces=15000"),
        "kernel/unprivileged_userns_clone": ("0", "sysctl kernel.unprivileged_userns_clone=1"),
        "kernel/apparmor_restrict_unprivileged_userns": (
            "1",
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile that allows userns",
        ),
    }
    checks = []
    for name, (forbidding, remedy) in remedies.items():
        path = Path("/proc/sys") / name
        if not path.exists():
            continue
        value = path.read_text().strip()
        ok = value != forbidding or os.geteuid() == 0
        checks.append(
            Check(
                name=name.rpartition("/")[2],
                required=True,
                ok=ok,
                detail=f"{path} is {value}",
                remedy="" if ok else f"ask the administrator for: {remedy}",
            )
        )
    return checks
