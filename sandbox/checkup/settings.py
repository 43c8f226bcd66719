"""The kernel, and the settings by which administrators forbid user namespaces to users; user_namespaces(7)."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import NamedTuple

from sandbox.checkup.check import Check, Group, fine, gap

_OLDEST_KERNEL = (5, 14)


class _Setting(NamedTuple):
    forbidding: str
    """Its value that forbids them."""
    remedy: str


_SETTINGS = {
    "user/max_user_namespaces": _Setting("0", "sysctl user.max_user_namespaces=15000"),
    "kernel/unprivileged_userns_clone": _Setting("0", "sysctl kernel.unprivileged_userns_clone=1"),
    "kernel/apparmor_restrict_unprivileged_userns": _Setting(
        "1", "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile that allows userns"
    ),
}


def kernel() -> Check:
    """Whether it is new enough."""
    release = platform.release()
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    detail = f"Linux {release} on {platform.machine()}"
    if numbers >= _OLDEST_KERNEL:
        return fine(Group.MACHINE, "kernel", detail)
    remedy = "a newer kernel: a fork bomb is bounded per namespace from Linux 5.14 on"
    return gap(Group.MACHINE, "kernel", detail, remedy)


def user_namespace_settings(folder: Path = Path("/proc/sys")) -> list[Check]:
    """Those that this kernel has, as `folder` shows them."""
    checks = []
    for setting, (forbidding, remedy) in _SETTINGS.items():
        path, name = folder / setting, setting.rpartition("/")[2]
        if not path.exists():
            continue
        value = path.read_text().strip()
        detail = f"{path} is {value}"
        if value == forbidding and (os.geteuid() != 0 or name == "max_user_namespaces"):
            why = f"{remedy} (a file in /etc/sysctl.d): programs run in user namespaces, which this forbids to users"
            checks.append(gap(Group.MACHINE, name, detail, why, required=True))
        else:
            checks.append(fine(Group.MACHINE, name, detail, required=True))
    return checks
