"""From what names an image to a folder that a runtime can start programs in."""

from __future__ import annotations

import os
from pathlib import Path

from containers.store import ImageStore


def default_store() -> ImageStore:
    """This user's on this node: $QRPO_SANDBOX_IMAGES, or a folder below $SLURM_TMPDIR, $TMPDIR or /tmp."""
    named = os.environ.get("QRPO_SANDBOX_IMAGES")
    if named:
        return ImageStore(Path(named).absolute())
    local = os.environ.get("SLURM_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108  # its owner is checked
    return ImageStore(Path(local, f"qrpo-sandbox-images-{os.geteuid()}").absolute())


def prepare(reference: str) -> Path:
    """The folder with an image's root file system: unpacked in the default store, or the reference itself.

    Args:
        reference: a folder, a SIF, a squashfs, or docker://NAME.

    Raises:
        ContainerError: there is no such image, it cannot be unpacked, or the store is of no use.
    """
    return default_store().prepare(reference)
