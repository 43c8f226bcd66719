"""What this machine enforces, found by trying it, and what to ask an administrator where something is missing."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from containers.host import HostRuntime
from sandbox.errors import InfrastructureError, UnsupportedHostError
from sandbox.slot import Runtime, Slot

_OLDEST_KERNEL = (5, 14)
_GUARD_MEANING = {
    "unprivileged": "programs run as an ordinary user",
    "capabilities": "programs hold no capability, not even inside their namespace",
    "no_new_privileges": "no program started can gain privileges",
    "seccomp": "a system-call filter is on, and refuses new namespaces",
    "processes": "no process but the program's own is visible",
    "supervisor_memory": "the supervisor's memory is out of reach",
    "network": "no address is reachable, loopback neither",
    "read_only_root": "nothing outside the program's own folder can be written",
    "hidden_files": "home folders, secrets and system state are not there",
    "writable_memory": "the writable folder is capped in bytes and files",
    "descriptors": "no descriptor is inherited",
    "environment": "the environment is an allow-list",
    "process_limit": "a fork bomb is bounded",
}


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

    level: str | None
    """The level of isolation that programs get here; None: the sandbox refuses to start."""
    checks: tuple[Check, ...]


def examine(runtime: Runtime | None = None) -> Report:
    """Look at the host's settings and try every guard in a real slot.

    Args:
        runtime: where programs would run; None: the host.
    """
    checks = [_kernel(), *_user_namespace_settings()]
    level = None
    try:
        slot = Slot(runtime or HostRuntime())
    except (UnsupportedHostError, InfrastructureError) as error:
        checks.append(
            Check(
                name="slot",
                required=True,
                ok=False,
                detail=str(error),
                remedy="mend what fails above; if all of it is ok, report this with the output of this command",
            )
        )
    else:
        level = slot.enforcement.level
        checks += [
            Check(name=name, required=True, ok=True, detail=_GUARD_MEANING[name], remedy="")
            for name in slot.enforcement.guards
        ]
        slot.close()
    return Report(level=level, checks=tuple(checks))


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
