"""What names an image: a folder, a file, or a place to pull it from."""

from __future__ import annotations

import re
from enum import Enum, auto
from pathlib import Path

from containers.runtime import ContainerError

_PULLED = re.compile(r"(docker|oras|library)://\S+")
_SIF_MAGIC = (32, b"SIF_MAGIC")  # after the line that makes it executable
_SQUASHFS_MAGIC = (0, b"hsqs")


class Kind(Enum):
    """What a reference refers to."""

    FOLDER = auto()
    """A root file system, used as it is."""
    SIF = auto()
    """What Apptainer and SingularityCE build."""
    SQUASHFS = auto()
    """What enroot imports, and mksquashfs(1) makes."""
    PULLED = auto()
    """In a registry."""


def kind_of(reference: str) -> Kind:
    """What it refers to; files are known by how they begin.

    Raises:
        ContainerError: it is nothing that can be used, or not there.
    """
    if _PULLED.fullmatch(reference):
        return Kind.PULLED
    if "://" in reference:
        raise ContainerError(f"{reference} cannot be pulled; docker://, oras:// and library:// can")
    path = Path(reference)
    try:
        if path.is_dir():
            return Kind.FOLDER
        with path.open("rb") as file:
            start = file.read(64)
    except FileNotFoundError:
        raise ContainerError(
            f"there is no image at {reference}; name a folder with a root file system, a SIF, a squashfs or docker://NAME"
        ) from None
    except OSError as error:
        raise ContainerError(f"image {reference} cannot be read: {error.strerror}") from None
    for kind, (offset, magic) in {Kind.SIF: _SIF_MAGIC, Kind.SQUASHFS: _SQUASHFS_MAGIC}.items():
        if start[offset:].startswith(magic):
            return kind
    raise ContainerError(f"{reference} is neither a SIF nor a squashfs: it begins with {start[:8]!r}")
