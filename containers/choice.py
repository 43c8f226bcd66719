"""Which runtime, by name."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from enum import StrEnum

from containers import apptainer, enroot
from containers.apptainer import ApptainerRuntime
from containers.enroot import EnrootRuntime
from containers.host import HostRuntime
from containers.images import prepare
from containers.runtime import ContainerError, Runtime


class RuntimeName(StrEnum):
    """Where programs can run."""

    HOST = "host"
    """Under this host's own Python."""
    APPTAINER = "apptainer"
    """In an image, by Apptainer or SingularityCE."""
    ENROOT = "enroot"
    """In an image, by enroot."""


def chosen(name: RuntimeName | None, image: str | None, packages: Sequence[str]) -> Runtime:
    """The runtime, its image unpacked on this node.

    Args:
        name: None: where there is an image, Apptainer or else enroot, whichever is installed; otherwise the host.
        image: what names one: a folder, a SIF, a squashfs or docker://NAME.
        packages: that programs may import on the host; an image has its own.

    Raises:
        ContainerError: an image is missing, has no meaning or cannot be used, or what would run it is not installed.
    """
    if image is None and name in (None, RuntimeName.HOST):
        return HostRuntime(packages=tuple(packages))
    if image is None:
        raise ContainerError(f"runtime '{name}' needs an image: a folder, a SIF, a squashfs or docker://NAME")
    if name is RuntimeName.HOST:
        raise ContainerError(
            f"runtime 'host' runs no image, but {image} is given; name another runtime or leave it out"
        )
    if (name or _installed()) is RuntimeName.APPTAINER:
        apptainer.find_command()  # before gigabytes are unpacked
        return ApptainerRuntime(image=prepare(image))
    enroot.find_command()
    return EnrootRuntime(image=prepare(image))


def _installed() -> RuntimeName:
    """Raises: ContainerError: neither is."""
    try:
        apptainer.find_command()
    except ContainerError as error:
        if shutil.which(enroot.COMMAND) is None:
            raise ContainerError(f"{error}; enroot is not there either") from None
        return RuntimeName.ENROOT
    return RuntimeName.APPTAINER
