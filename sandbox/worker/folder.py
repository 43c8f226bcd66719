"""The folder that programs work in: a new file system for each run, made ready before the run is asked for.

It is mounted in the zygote's mount namespace, in which no candidate ever has a right. To unmount one, or to end a
mount namespace of each run's own, the kernel waits until every processor has passed through a quiet state
(synchronize_rcu_expedited in fs/namespace.c): 0.1 to 20 ms, for all slots of the machine one after the other. So each
is mounted over the last, and many are unmounted at once.
"""

from __future__ import annotations

import os
from typing import List, Optional

from . import landlock, linux
from .cage import WORKING_FOLDER, Cage

_RUNS = 64
"""After so many all are unmounted, whatever they hold: programs see in /proc how many there are."""
_MOST_BYTES = 64 << 10
"""Of files that may stay beneath for a while: they lie in memory, and so do their inodes."""
_INODE_BYTES = 1 << 10
_ASIDE = "/dev"
"""What is to be unmounted goes there for a moment, in which no candidate lives."""
_MS_MOVE = 8192
_OPEN = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class WorkingFolder:
    """What lies at WORKING_FOLDER. At level `landlock` nothing does, and a program can write no file.

    Attributes:
        files: descriptor of the file system for the next run, or of the run that there is.
        ruleset: what Landlock allows in that run, where the kernel has it.
    """

    def __init__(self, cage: Cage) -> None:
        self._cage = cage
        self._is_fresh = False
        self._options = ""
        self._beneath: List[int] = []
        self.files: Optional[int] = None
        self.ruleset = cage.ruleset

    def prepare(self, options: str) -> None:
        """Have a file system ready that no run has seen. Raises OSError.

        Args:
            options: of the mount; see tmpfs(5).
        """
        if self._cage.is_single or (self._is_fresh and options == self._options):
            return
        self._put_aside()
        linux.mount("tmpfs", WORKING_FOLDER, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, options)
        self.files = os.open(WORKING_FOLDER, _OPEN)
        if self._cage.landlock_version:
            rules = [*self._cage.rules, (self.files, landlock.OWN)]
            self.ruleset = landlock.make_ruleset(rules, self._cage.landlock_version)
        self._options = options
        self._is_fresh = True

    def spoil(self) -> None:
        """A run has it now."""
        self._is_fresh = False

    def used_bytes(self) -> int:
        """What its files hold, and take for themselves."""
        if self.files is None:
            return 0
        stats = os.fstatvfs(self.files)
        inodes = stats.f_files - stats.f_ffree - 1
        return (stats.f_blocks - stats.f_bfree) * stats.f_frsize + inodes * _INODE_BYTES

    def _put_aside(self) -> None:
        """Leave the last one beneath the next, and unmount all there are when their time has come."""
        self._is_fresh = False
        if self.files is None:
            return
        if self.used_bytes() > _MOST_BYTES:
            os.close(self.files)
            linux.unmount(WORKING_FOLDER)  # the uppermost
            linux.mount("tmpfs", WORKING_FOLDER, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, self._options)
            self.files = os.open(WORKING_FOLDER, _OPEN)
        self._beneath.append(self.files)
        self.files = None
        if self.ruleset is not None:
            os.close(self.ruleset)
            self.ruleset = None
        if len(self._beneath) >= _RUNS:
            self._unmount_all()

    def _unmount_all(self) -> None:
        """Where nothing is mounted on the lowest: umount2(2) follows a path to the uppermost, as any other does."""
        linux.mount("tmpfs", _ASIDE, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=4k")
        try:
            os.mkdir(_ASIDE + "/all")
            linux.mount("/proc/self/fd/%d" % self._beneath[0], _ASIDE + "/all", None, _MS_MOVE)
        finally:
            linux.unmount(_ASIDE)  # with all that is mounted on it
        for descriptor in self._beneath:
            os.close(descriptor)
        self._beneath.clear()
