"""Where enroot unpacks images on this node: once each, for all slots and servers of a user."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from containers.process import NOBODY, owner
from containers.runtime import ContainerError

_TIMEOUT_S = 1800.0
"""Many gigabytes, from a slow shared file system."""
_LAST_WORDS = 1000
_RC = """\
export PATH="${PATH:-/usr/local/bin:/usr/bin:/bin}"
exec "$@" 3<&0 </dev/null
"""
"""Instead of the image's entry point. Python finds itself by PATH, and enroot closes all descriptors but three."""
DESCRIPTOR = 3
"""Where the script puts what the command had as stdin."""


def _folder() -> Path:
    base = os.environ.get("ENROOT_TEMP_PATH") or tempfile.gettempdir()
    return Path(base) / f"qrpo-sandbox-enroot-{_uid()}"


def _uid() -> int:
    return os.geteuid() or NOBODY


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """A folder of ours alone, with all that enroot reads and writes.

    Raises:
        ContainerError: enroot cannot use the folder.
    """

    folder: Path = field(default_factory=_folder)
    """On a disk of this node: below $ENROOT_TEMP_PATH, otherwise $TMPDIR or /tmp."""

    def __post_init__(self) -> None:
        if any(map(str.isspace, str(self.folder))):
            raise ContainerError(
                f"enroot cannot work in {str(self.folder)!r}, whose name has a space; set ENROOT_TEMP_PATH"
            )
        try:
            self._make()
        except OSError as error:
            raise ContainerError(
                f"enroot cannot work in {self.folder}: {error.strerror}; set ENROOT_TEMP_PATH to a disk of this node"
            ) from None

    def _make(self) -> None:
        _make_private(self.folder)
        found = self.folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != _uid() or found.st_mode & 0o022:
            raise ContainerError(
                f"{self.folder} is not a folder that only user {_uid()} may write to; "
                "remove it or set ENROOT_TEMP_PATH to another place"
            )
        _make_private(self._path("none"))
        _make_private(self._path("data"))
        with tempfile.NamedTemporaryFile("w", dir=self.folder, delete=False) as new:
            new.write(_RC)
            os.fchmod(new.fileno(), 0o644)
        Path(new.name).replace(self.rc)  # in one step: others start at the same time

    @property
    def rc(self) -> Path:
        """The script that starts the command inside."""
        return self._path("rc")

    def environment(self) -> Mapping[str, str]:
        """For enroot: its folders, and nothing of what a site or a user configures into containers.

        Source: enroot's doc/configuration.md and doc/cmd/start.md; variables go before its configuration file.
        """
        paths = {"DATA": "data", "RUNTIME": "runtime", "CACHE": "cache", "CONFIG": "none", "SYSCONF": "none"}
        switches = ("LOGIN_SHELL", "ROOTFS_WRITABLE", "REMAP_ROOT", "ALLOW_SUPERUSER")
        unshared = ("UNSHARE_PID", "UNSHARE_NET", "UNSHARE_IPC", "UNSHARE_UTS")  # slots have their own, and sooner
        return {
            **{f"ENROOT_{name}_PATH": str(self._path(path)) for name, path in paths.items()},
            "ENROOT_TEMP_PATH": str(self.folder),
            **{f"ENROOT_{name}": "no" for name in (*switches, *unshared)},
        }

    def container(self, image: Path, command: str, environment: Mapping[str, str]) -> str:
        """The name of the container of an image, which is unpacked unless it has been.

        Raises:
            ContainerError: it could not be.
        """
        name = _name(image)
        target = self._path("data") / name
        if target.is_dir():
            return name
        with self._path(f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.is_dir():
                partial = f"{name}.partial"
                _create([command, "create", "--force", "--name", partial, str(image.resolve())], environment)
                target.with_name(partial).rename(target)  # so what has the name is whole
        return name

    def _path(self, name: str) -> Path:
        return self.folder / name


def _make_private(folder: Path) -> None:
    """For whom containers are started as; where it is there already, it stays as it is."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0 and folder.lstat().st_uid == 0:
        os.chown(folder, NOBODY, NOBODY, follow_symlinks=False)


def _name(image: Path) -> str:
    """Of its content, which does not change under the same time and inode; to read gigabytes would take minutes."""
    found = image.stat()
    identity = f"{found.st_size} {found.st_mtime_ns} {found.st_ino} {found.st_dev}"
    return "qrpo-" + hashlib.sha256(identity.encode()).hexdigest()[:16]


def _create(command: list[str], environment: Mapping[str, str]) -> None:
    image = command[-1]
    try:
        subprocess.run(
            command,
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_TIMEOUT_S,
            check=True,
            **owner(),
        )
    except subprocess.TimeoutExpired:
        raise ContainerError(f"{image} was not unpacked within {_TIMEOUT_S:.0f} s") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()[-_LAST_WORDS:]
        raise ContainerError(f"{image} could not be unpacked: enroot ended with {error.returncode}: {said}") from None
    except OSError as error:
        raise ContainerError(f"{command[0]} cannot be run: {error.strerror}") from None
