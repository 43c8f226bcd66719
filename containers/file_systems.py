"""Which folders other nodes see too."""

from __future__ import annotations

import os
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
_SHARED = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "gpfs", "lustre", "nfs", "nfs4", "panfs", "pvfs2", "smb3", "wekafs"}
)
_LOCAL_FUSE = frozenset({"fuseblk", "fuse.fuse-overlayfs", "fuse.squashfuse", "fuse.squashfuse_ll"})


def is_shared(folder: Path) -> bool:
    """Whether it is, or would be, on a file system that other nodes may have mounted; proc(5).

    Raises:
        OSError: it cannot be looked at.
    """
    while not folder.exists():
        folder = folder.parent
    device = folder.stat().st_dev
    kind = _kinds(MOUNTS.read_text()).get(f"{os.major(device)}:{os.minor(device)}", "")
    return kind in _SHARED or (kind.startswith("fuse") and kind not in _LOCAL_FUSE)


def _kinds(mounts: str) -> dict[str, str]:
    """Types of file systems, by device."""
    found = {}
    for line in mounts.splitlines():
        fields = line.split()
        found[fields[2]] = fields[fields.index("-") + 1]
    return found
