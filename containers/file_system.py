"""Which file system a folder is on, by the list of mounts: unlike statfs(2), reading that waits for no server."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path, PurePath, PurePosixPath

from containers.mounts import mountinfo, mounts


class Kind(Enum):
    """What is behind it."""

    LOCAL = auto()
    """A disk of this node."""
    SHARED = auto()
    """A server, for many nodes."""
    MEMORY = auto()
    """This node's memory."""
    UNKNOWN = auto()


_KINDS = {
    Kind.LOCAL: "ext2 ext3 ext4 xfs btrfs zfs f2fs bcachefs jfs reiserfs overlay fuseblk fuse.fuse-overlayfs "
    "fuse.squashfuse fuse.squashfuse_ll",
    Kind.SHARED: "nfs nfs4 lustre gpfs beegfs beegfs_nodev cifs smb3 ceph glusterfs panfs "
    " wekafs pvfs2 orangefs afs dvs quobyte 9p virtiofs ocfs2 gfs2",
    Kind.MEMORY: "tmpfs ramfs",
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names.split()}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    """One that is mounted."""

    type: str
    """As mount(8) calls it."""
    mount_point: PurePosixPath
    options: frozenset[str]
    """Of the mount, not of the file system: `noexec`, `nodev` and the like."""

    @property
    def kind(self) -> Kind:
        """See `Kind`. What FUSE mounts, and is not known to be local, has a server as a rule."""
        unknown = Kind.SHARED if self.type.startswith("fuse.") else Kind.UNKNOWN
        return _KIND_OF.get(self.type, unknown)


def file_system_of(path: PurePath, mounted: str) -> FileSystem | None:
    """The one that a path without links is on; None where `mounted`, the text of `mountinfo`, does not tell."""
    found = None
    for mount in mounts(mounted):
        # Of those at one place the last counts: what automount(8) mounts hides its own.
        if path.is_relative_to(mount.point) and (found is None or mount.point.is_relative_to(found.mount_point)):
            found = FileSystem(type=mount.type, mount_point=mount.point, options=mount.options)
    return found


def is_shared(folder: Path) -> bool:
    """Whether it is, or would be, on a file system that other nodes may have mounted.

    Raises:
        OSError: it cannot be looked at.
    """
    found = file_system_of(nearest(folder), mountinfo())
    return found is not None and found.kind is Kind.SHARED


def nearest(path: Path) -> Path:
    """The path, or the first above it that there is, without links. Raises OSError."""
    return next(folder for folder in (path, *path.parents) if folder.exists()).resolve()
