"""The commands that bring an image onto this node's disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from containers.apptainer import find_command, native_environment
from containers.references import Kind
from containers.runtime import ContainerError
from containers.sif import squashfs_offset

_BESIDE_THE_PATH = ("/usr/sbin", "/sbin", "/usr/libexec/apptainer/bin", "/usr/local/libexec/apptainer/bin")
_NOT_FATAL = 2
_DEVICE = "because you're not superuser!"
"""The end of what unsquashfs(1) says of a device node, which no program needs: the root of programs has its own."""
_AMPLE = 20 << 30
"""Bytes free on a disk that no image fills."""
_LAST_WORDS = 1000


def unpack(file: Path, kind: Kind, target: Path, lock: int) -> None:
    """Extracts a SIF or a squashfs, as an ordinary user and without FUSE.

    Args:
        target: a folder that is not there yet.
        lock: a descriptor that the command holds too, so that it is released when both have ended.

    Raises:
        ContainerError: it could not be.
        OSError: the file cannot be read.
    """
    # `apptainer build --sandbox` does it by this command too, but within a container that not every site allows.
    offset = squashfs_offset(file) if kind is Kind.SIF else 0
    options = ("-no-progress", "-no-xattrs", "-quiet", "-offset", str(offset))
    done = _run([find_unsquashfs(), *options, "-dest", str(target), str(file)], lock, os.environ)
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode == _NOT_FATAL and all(line.endswith(_DEVICE) for line in said.splitlines() if line):
        return
    if done.returncode:
        raise ContainerError(f"{file} could not be unpacked to {target.parent}: {_why(done.returncode, said, target)}")


def pull(reference: str, sif: Path, lock: int) -> None:
    """Pulls from a registry.

    Credentials are those that `apptainer registry login` has stored, or its environment names.

    Raises:
        ContainerError: it could not be.
    """
    # Without its cache: in a shared home it has a quota, and many nodes would write there at once.
    environment = {
        **native_environment(os.environ),
        "APPTAINER_TMPDIR": str(sif.parent),
        "SINGULARITY_TMPDIR": str(sif.parent),
    }
    done = _run([_puller(reference), "--quiet", "pull", "--disable-cache", str(sif), reference], lock, environment)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise ContainerError(f"{reference} could not be pulled: {_why(done.returncode, said, sif)}")


def _run(command: Sequence[str], lock: int, environment: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=(lock,),
        env=environment,
        check=False,
    )


def _why(code: int, said: str, target: Path) -> str:
    lines = "; ".join(line.strip() for line in said.splitlines() if line.strip())
    words = lines[-_LAST_WORDS:] or f"exit code {code}"
    free = shutil.disk_usage(target.parent).free
    if free > _AMPLE:
        return words
    hint = "`qrpo-sandbox image clean --unused-days 0` removes images that nobody uses"
    return f"{words} ({free >> 20} MiB are free there; {hint})"


def _puller(reference: str) -> str:
    try:
        return find_command()
    except ContainerError as error:
        raise ContainerError(
            f"{error}; where there is enroot, `enroot import -o FILE {reference}` makes a file"
        ) from None


def find_unsquashfs() -> str:
    """The path of what unpacks SIF and squashfs.

    Raises:
        ContainerError: it is not installed.
    """
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_BESIDE_THE_PATH))
    found = shutil.which("unsquashfs", path=path)
    if found is None:
        raise ContainerError("unsquashfs is not installed, which unpacks SIF and squashfs; install squashfs-tools")
    return found
