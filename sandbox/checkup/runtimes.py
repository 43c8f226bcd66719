"""What runs images here, and what that needs of the site: user namespaces always, what is setuid never."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from containers.choice import RuntimeName
from containers.installation import (
    ApptainerInstallation,
    EnrootInstallation,
    find_apptainer,
    find_enroot,
    find_fusermount,
    has_unsquashfs,
)
from sandbox.checkup.check import Check, Group, fine, gap

_CONTAINERS = Group.CONTAINERS
_SETTINGS = {
    "allow user ns": "the sandbox starts images with --userns",
    "allow container dir": "the sandbox starts images that it has unpacked into a folder",
    "user bind control": "the sandbox binds its own program into the image",
}
"""What an administrator may have switched off, and why it is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What is installed."""

    apptainer: ApptainerInstallation | None
    enroot: EnrootInstallation | None
    unsquashfs: bool
    fuse: bool
    """Whether users may open /dev/fuse."""
    fusermount: str | None


def look_at_runtimes(wanted: RuntimeName | None, *, needs_one: bool) -> list[Check]:
    """What is found here.

    Args:
        wanted: what is to run an image; None: any.
        needs_one: whether there is an image.
    """
    tools = Tools(
        apptainer=find_apptainer(),
        enroot=find_enroot(),
        unsquashfs=has_unsquashfs(),
        fuse=os.access("/dev/fuse", os.R_OK | os.W_OK),
        fusermount=find_fusermount(),
    )
    return judged(tools, wanted, needs_one=needs_one)


def judged(tools: Tools, wanted: RuntimeName | None, *, needs_one: bool) -> list[Check]:
    """What that means."""
    other = tools.enroot if wanted is None else None
    checks = [_apptainer(tools.apptainer, other, required=needs_one and wanted is not RuntimeName.ENROOT)]
    if tools.apptainer is not None:
        checks += [_mode(tools.apptainer), *_switched_off(tools.apptainer, required=needs_one and _runs(tools, wanted))]
    checks.append(_enroot(tools.enroot, required=needs_one and wanted is RuntimeName.ENROOT))
    return [*checks, _unsquashfs(found=tools.unsquashfs), _fuse(tools)]


def _runs(tools: Tools, wanted: RuntimeName | None) -> bool:
    """Whether Apptainer would run the image."""
    return tools.apptainer is not None and wanted is not RuntimeName.ENROOT


def _apptainer(found: ApptainerInstallation | None, enroot: EnrootInstallation | None, *, required: bool) -> Check:
    if found is None and enroot is not None:
        return fine(_CONTAINERS, "apptainer", "not on the PATH; enroot is, and runs images too")
    if found is None:
        remedy = (
            "try `module load apptainer` (or singularity), or ask for Apptainer >= 1.1 (package apptainer of EPEL; its "
            "setuid part is not needed): programs can run in images, and not only under the host's own Python"
        )
        return gap(
            _CONTAINERS, "apptainer", "neither apptainer nor singularity is on the PATH", remedy, required=required
        )
    said = f"{found.product or 'of unknown make'} {found.version}".rstrip()
    return fine(_CONTAINERS, "apptainer", f"{found.command}: {said}", required=required)


def _mode(found: ApptainerInstallation) -> Check:
    if found.is_setuid:
        return fine(
            _CONTAINERS,
            "apptainer mode",
            f"setuid ({found.starter}); the sandbox starts it with --userns, without that",
        )
    if found.starter is not None:
        return fine(_CONTAINERS, "apptainer mode", f"by user namespaces: {found.configuration} has `allow setuid = no`")
    return fine(_CONTAINERS, "apptainer mode", "by user namespaces: its setuid part is not installed, nor needed")


def _switched_off(found: ApptainerInstallation, *, required: bool) -> list[Check]:
    return [
        gap(
            _CONTAINERS,
            name,
            f"`{name} = no` in {found.configuration}",
            f"`{name} = yes` in {found.configuration}: {why}",
            required=required,
        )
        for name, why in _SETTINGS.items()
        if found.is_off(name)
    ]


def _enroot(found: EnrootInstallation | None, *, required: bool) -> Check:
    if found is None and not required:
        return fine(_CONTAINERS, "enroot", "not on the PATH; needed for --runtime enroot only")
    if found is None:
        remedy = "start it where enroot is installed (with pyxis: on compute nodes only), or ask for enroot >= 3.4"
        return gap(
            _CONTAINERS, "enroot", "not on the PATH", f"{remedy}: --runtime enroot was asked for", required=required
        )
    return fine(_CONTAINERS, "enroot", f"{found.command}: enroot {found.version}".rstrip(), required=required)


def _unsquashfs(*, found: bool) -> Check:
    if found:
        return fine(_CONTAINERS, "unsquashfs", "unpacks SIF and squashfs")
    remedy = "install squashfs-tools: SIF and squashfs images are unpacked by unsquashfs; folders need none"
    return gap(_CONTAINERS, "unsquashfs", "not installed", remedy)


def _fuse(tools: Tools) -> Check:
    device = "users may open /dev/fuse" if tools.fuse else "no /dev/fuse for users"
    if not Path("/dev/fuse").exists():
        device = "no /dev/fuse"
    helper = f"{tools.fusermount} is there" if tools.fusermount else "no fusermount"
    return fine(_CONTAINERS, "fuse", f"{device}, {helper}; not needed: images are unpacked, not mounted")
