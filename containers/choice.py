"""Which runtime, by name."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from containers.apptainer import ApptainerRuntime
from containers.enroot import EnrootRuntime
from containers.host import HostRuntime
from containers.runtime import ContainerError, Runtime


class RuntimeName(StrEnum):
    """Where programs can run."""

    HOST = "host"
    """Under this host's own Python."""
    APPTAINER = "apptainer"
    """In an image, by Apptainer or SingularityCE."""
    ENROOT = "enroot"
    """In an image, by enroot."""


_IMAGES = {
    RuntimeName.APPTAINER: "a folder with a root file system, or a SIF",
    RuntimeName.ENROOT: "a squashfs file",
}


def chosen(name: RuntimeName | None, image: Path | None, packages: Sequence[str]) -> Runtime:
    """The runtime.

    Args:
        name: None: Apptainer where there is an image, otherwise the host.
        image: of a container.
        packages: that programs may import on the host; an image has its own.

    Raises:
        ContainerError: an image is missing or has no meaning, or what would run it is not installed.
    """
    if name is None:
        name = RuntimeName.HOST if image is None else RuntimeName.APPTAINER
    if name is RuntimeName.HOST:
        if image is not None:
            raise ContainerError(
                f"runtime 'host' runs no image, but {image} is given; name another runtime or leave it out"
            )
        return HostRuntime(packages=tuple(packages))
    if image is None:
        raise ContainerError(f"runtime {name.value!r} needs an image: {_IMAGES[name]}")
    return ApptainerRuntime(image=image) if name is RuntimeName.APPTAINER else EnrootRuntime(image=image)
