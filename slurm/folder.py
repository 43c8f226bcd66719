"""A fleet is a folder: its servers' endpoint files, its logs, and by its path the name of its jobs."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from slurm.errors import FleetError

_FRAME = " \t\r─│╭╮╰╯"
"""Around what a command says of its options."""
_LAST_LINES = 3
_LAST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Folder:
    """One that only this user can open, where it is there: tokens are kept in it."""

    path: Path

    @classmethod
    def opened(cls, path: Path) -> Self:
        """The folder.

        Raises:
            FleetError: it is another user's, or others can open it.
        """
        path = Path(os.path.realpath(path.expanduser()))
        if "%" in str(path):
            raise FleetError(f"{path}: Slurm takes % in the names of logs for a pattern; name a folder without it")
        try:
            found = path.lstat()
        except FileNotFoundError:
            return cls(path)
        except OSError as error:
            raise FleetError(f"{path}: {error.strerror}; name another folder by --dir") from None
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise FleetError(f"{path}: tokens are kept here: it must be your own, and closed to others (chmod 700)")
        return cls(path)

    @classmethod
    def made(cls, path: Path) -> Self:
        """The folder, which is made where it is missing.

        Raises:
            FleetError: as `opened`; or it cannot be made.
        """
        folder = cls.opened(path)
        try:
            folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise FleetError(f"{folder.path}: {error.strerror}; name another folder by --dir") from None
        return folder

    @property
    def job_name(self) -> str:
        """Of the jobs of this fleet, and of no others."""
        return f"qrpo-fleet-{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:8]}"

    @property
    def logs(self) -> Path:
        """A file for each job; they stay."""
        return self.path / "logs"

    @property
    def submissions(self) -> Path:
        """A folder for each submission, of which jobs read what they are to do."""
        return self.path / "submissions"

    def log_of(self, job_id: str) -> Path:
        """Where a job writes."""
        return self.logs / f"{job_id}.log"

    def last_words(self, job_id: str) -> str:
        """The end of a job's log; empty where there is none."""
        try:
            with self.log_of(job_id).open("rb") as stream:
                stream.seek(max(0, stream.seek(0, os.SEEK_END) - _LAST_BYTES))
                lines = stream.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        words = (line.strip(_FRAME) for line in lines)
        return "\n".join([line for line in words if line][-_LAST_LINES:])

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Two commands at the same time do not both submit what is missing."""
        with (self.path / ".fleet.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError:  # a file system without locks
                pass
            yield


def default_path() -> Path:
    """Below the home folder, which clusters share between their nodes."""
    return Path("~/.qrpo-sandbox/fleet").expanduser()
