"""From what names an image to a folder that a runtime can start programs in."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

from containers.file_system import is_shared
from containers.runtime import ContainerError
from containers.store import ImageStore

log = logging.getLogger(__name__)


def default_store() -> ImageStore:
    """This user's on this node: $QRPO_SANDBOX_IMAGES, or a folder below $SLURM_TMPDIR, $TMPDIR or /tmp.

    On a file system that other nodes see too it is a folder in that one, named after this node: locks on folders hold
    on one node only.

    Raises:
        ContainerError: the place cannot be looked at.
    """
    named = os.environ.get("QRPO_SANDBOX_IMAGES")
    local = os.environ.get("SLURM_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108  # its owner is checked
    folder = Path(named or f"{local}/qrpo-sandbox-images-{os.geteuid()}").absolute()
    try:
        shared = is_shared(folder)
    except OSError as error:
        raise ContainerError(f"images cannot be kept in {folder}: {error.strerror}") from None
    if shared:
        log.warning("%s is on a shared file system, where images start slowly; set QRPO_SANDBOX_IMAGES", folder)
        folder /= socket.gethostname()
    return ImageStore(folder)


def prepare(reference: str) -> Path:
    """The folder with an image's root file system: unpacked in the default store, or the reference itself.

    Args:
        reference: a folder, a SIF, a squashfs, or docker://NAME.

    Raises:
        ContainerError: there is no such image, it cannot be unpacked, or the store is of no use.
    """
    return default_store().prepare(reference)
