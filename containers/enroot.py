"""Images run by enroot, without root.

Source: enroot 4.1, doc/cmd/create.md, doc/cmd/start.md, doc/configuration.md and doc/image-format.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO

from containers.contents import PROBE, Contents, look_into
from containers.process import begin, inside
from containers.runtime import ContainerError, interpreter_environment, interpreter_options
from containers.unpacked import DESCRIPTOR, Unpacked

COMMAND = "enroot"
_SQUASHFS = b"hsqs"
_KEPT = ("PATH", "HOME")
_MOUNTS = (
    "/proc:/proc:none:x-create=dir,rbind,nosuid,nodev,noexec,rslave",
    "/sys:/sys:none:x-create=dir,rbind,nosuid,nodev,noexec,rslave",  # writable: control groups lie there
    "tmpfs:/dev:tmpfs:x-create=dir,nosuid,noexec,mode=755",
    *(
        f"/dev/{name}:/dev/{name}:none:x-create=file,bind,nosuid,noexec"
        for name in ("null", "zero", "full", "random", "urandom")
    ),
    "tmpfs:/tmp:tmpfs:x-create=dir,nosuid,nodev,mode=700",
)
"""Instead of enroot's own, which show files below /etc and what hooks add."""


@dataclass(frozen=True, kw_only=True)
class EnrootRuntime:
    """Programs run under the Python of an image, and see of the image what is not private to it.

    The image is unpacked once on this node; its slots then start read-only, without the hooks, mounts and variables
    that the site or the user configures, without the home folder, and without the image's own entry point.

    Raises:
        ContainerError: there is no enroot here, or no such image.
    """

    image: Path
    """A squashfs file."""
    preload: tuple[str, ...] = ()
    """Modules imported once, before any program."""
    unpacked: Unpacked = field(default_factory=Unpacked)
    """Where on this node."""

    def __post_init__(self) -> None:
        find_command()
        _check(self.image)

    def root(self) -> dict[str, object]:
        """See `Runtime.root`. The image is unpacked where it has not been, and looked into once."""
        return self.contents.root()

    def inside(self, folder: str) -> str:
        """See `Runtime.inside`."""
        return inside(folder)

    def start(
        self, program: Sequence[str], descriptor: int, log: IO[bytes], folders: Sequence[str]
    ) -> subprocess.Popen[bytes]:
        """See `Runtime.start`. The descriptor has another number inside."""
        command = self._command([*interpreter_options(), *program, str(DESCRIPTOR)], folders)
        return begin(command, self._environment, log, stdin=descriptor)

    @cached_property
    def contents(self) -> Contents:
        """What the image holds.

        Raises:
            ContainerError: it cannot be used.
        """
        folder = str(PROBE.parent)
        command = self._command([f"{inside(folder)}/{PROBE.name}"], [folder])
        return look_into(str(self.image), command, self._environment)

    def _command(self, arguments: Sequence[str], folders: Sequence[str]) -> list[str]:
        binds = [
            f"{_escaped(folder)}:{_escaped(inside(folder))}:none:x-create=dir,bind,ro,nosuid,nodev"
            for folder in folders
        ]
        return [
            find_command(),
            "start",
            f"--rc={self.unpacked.rc}",
            *(f"--mount={mount}" for mount in (*_MOUNTS, *binds)),
            *(f"--env={name}={value}" for name, value in interpreter_environment().items()),
            self._container,
            "python3",
            *arguments,
        ]

    @cached_property
    def _container(self) -> str:
        """Found once: a slot that replaces another is to get the same image, whatever became of the file."""
        return self.unpacked.container(self.image, find_command(), self._environment)

    @cached_property
    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return {**kept, **self.unpacked.environment()}


def find_command() -> str:
    """The path of enroot.

    Raises:
        ContainerError: it is not installed.
    """
    found = shutil.which(COMMAND)
    if found is None:
        raise ContainerError("enroot is not on the PATH; on a cluster it comes with pyxis, on its compute nodes only")
    return found


def _check(image: Path) -> None:
    """Whether enroot can unpack it.

    Raises:
        ContainerError: it cannot.
    """
    if image.is_dir():
        raise ContainerError(
            f"{image} is a folder, and enroot starts only what it has unpacked itself; "
            f"make a squashfs of it: mksquashfs {image} {image}.sqsh -all-root"
        )
    try:
        with image.open("rb") as file:
            start = file.read(len(_SQUASHFS))
    except FileNotFoundError:
        raise ContainerError(f"there is no image at {image}; name a squashfs, as `enroot import` makes it") from None
    except OSError as error:
        raise ContainerError(f"{image} cannot be read: {error.strerror}") from None
    if start != _SQUASHFS:
        raise ContainerError(f"{image} is not a squashfs, which enroot needs; `enroot import docker://NAME` makes one")


def _escaped(path: str) -> str:
    """For a line of fstab(5) whose fields colons separate."""
    return "".join(f"\\{ord(mark):03o}" if mark in " \t\n\\:" else mark for mark in path)
