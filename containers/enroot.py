"""Images run by enroot, without root.

Source: enroot 4.1, doc/cmd/start.md, doc/configuration.md and doc/image-format.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from containers.contents import PROBE, Contents, look_into
from containers.process import INSIDE, begin, inside
from containers.runtime import ContainerError, interpreter_environment, interpreter_options
from containers.startable import is_startable, runtime_folder

COMMAND = "enroot"
_KEPT = ("PATH", "HOME")
_RC = Path(__file__).with_name("enroot.rc")
_DESCRIPTOR = 3
"""Where the script puts what the command had as stdin."""
_MOUNTS = (
    "/proc:/proc:none:x-create=dir,rbind,nosuid,nodev,noexec,rslave",
    "/sys:/sys:none:x-create=dir,rbind,nosuid,nodev,noexec,rslave",  # writable: control groups lie there
    "tmpfs:/dev:tmpfs:x-create=dir,nosuid,noexec,mode=755",
    *(
        f"/dev/{name}:/dev/{name}:none:x-create=file,bind,nosuid,noexec"
        for name in ("null", "zero", "full", "random", "urandom")
    ),
    "tmpfs:/tmp:tmpfs:x-create=dir,nosuid,nodev,mode=700",
    f"tmpfs:{INSIDE}:tmpfs:x-create=dir,nosuid,nodev,mode=755",  # in which it makes what our folders are bound to
)
"""Instead of enroot's own, which show files below /etc and what hooks add."""


@dataclass(frozen=True, kw_only=True)
class EnrootRuntime:
    """Programs run under the Python of an image, and see of the image what is not private to it.

    Slots start read-only, without the hooks, mounts and variables that the site or the user configures, without the
    home folder, and without the image's own entry point.

    Raises:
        ContainerError: there is no enroot here, or enroot cannot start the image.
    """

    image: Path
    """A folder that an `ImageStore` has prepared."""
    preload: tuple[str, ...] = ()
    """Modules imported once, before any program."""

    def __post_init__(self) -> None:
        find_command()
        _check(self.image)

    def root(self) -> dict[str, object]:
        """See `Runtime.root`. The image is looked into once."""
        return self.contents.root()

    def inside(self, folder: str) -> str:
        """See `Runtime.inside`."""
        return inside(folder)

    def start(
        self, program: Sequence[str], descriptor: int, log: IO[bytes], folders: Sequence[str]
    ) -> subprocess.Popen[bytes]:
        """See `Runtime.start`. The descriptor has another number inside."""
        command = self._command([*interpreter_options(), *program, str(_DESCRIPTOR)], folders)
        return begin(command, _environment(self.image), log, stdin=descriptor)

    @cached_property
    def contents(self) -> Contents:
        """What the image holds.

        Raises:
            ContainerError: it cannot be used.
        """
        folder = str(PROBE.parent)
        command = self._command([f"{inside(folder)}/{PROBE.name}"], [folder])
        return look_into(str(self.image), command, _environment(self.image))

    def _command(self, arguments: Sequence[str], folders: Sequence[str]) -> list[str]:
        binds = [
            f"{_escaped(folder)}:{_escaped(inside(folder))}:none:x-create=dir,bind,ro,nosuid,nodev"
            for folder in folders
        ]
        return [
            find_command(),
            "start",
            f"--rc={_RC}",
            *(f"--mount={mount}" for mount in (*_MOUNTS, *binds)),
            *(f"--env={name}={value}" for name, value in interpreter_environment().items()),
            self.image.name,
            "python3",
            *arguments,
        ]


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
    """Whether enroot can start it.

    Raises:
        ContainerError: it cannot.
    """
    if not image.is_dir():
        raise ContainerError(f"there is no image at {image}; name a folder in which one was unpacked")
    if not is_startable(image):
        raise ContainerError(
            f"{image} is a folder of your own, and enroot writes into what it starts; "
            f"make a squashfs of it: mksquashfs {image} {image}.sqsh -all-root"
        )
    if any(map(str.isspace, str(image))):
        raise ContainerError(
            f"enroot cannot start {str(image)!r}, whose name has a space; name another folder by QRPO_SANDBOX_IMAGES"
        )


def _environment(image: Path) -> dict[str, str]:
    """Of the command itself: where it works, and nothing of what a site or a user configures into containers.

    Source: enroot's doc/configuration.md and doc/cmd/start.md; variables go before its configuration file.
    """
    work = runtime_folder(image)
    paths = {"DATA": image.parent, "RUNTIME": work, "CACHE": work, "TEMP": work}
    nowhere = {"CONFIG": work / "none", "SYSCONF": work / "none"}
    switches = ("LOGIN_SHELL", "ROOTFS_WRITABLE", "REMAP_ROOT", "ALLOW_SUPERUSER")
    unshared = ("UNSHARE_PID", "UNSHARE_NET", "UNSHARE_IPC", "UNSHARE_UTS")  # slots have their own, and sooner
    return {
        **{name: os.environ[name] for name in _KEPT if name in os.environ},
        **{f"ENROOT_{name}_PATH": str(path) for name, path in {**paths, **nowhere}.items()},
        **{f"ENROOT_{name}": "no" for name in (*switches, *unshared)},
    }


def _escaped(path: str) -> str:
    """For a line of fstab(5) whose fields colons separate."""
    return "".join(f"\\{ord(mark):03o}" if mark in " \t\n\\:" else mark for mark in path)
