"""Images unpacked on this node's own disk, once for all of this user's processes.

    FOLDER/KEY/          locked: shared by who uses the image, alone by who removes it; its mtime is the last use
    FOLDER/KEY/making    locked by who unpacks, and by the command that does it
    FOLDER/KEY/image/    root/, record.json and runtime/ (`startable.py`); has its name only when it is whole
    FOLDER/KEY/new-*/    being unpacked, or left by who was killed at it
    FOLDER/KEY/old-*/    found damaged
    FOLDER/known/STAMP   the hash of a file that was read before

The locks on folders are flock(2)'s, which systemd-tmpfiles honours: it cleans none that is in use.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from containers.hashes import file_digest, known_digest, text_digest
from containers.locks import lock_folder, lock_present, locked_file
from containers.private_folder import NOBODY_ELSE, NOBODY_ELSE_WRITES, is_private
from containers.references import Kind, kind_of
from containers.runtime import ContainerError
from containers.startable import make_startable
from containers.tree import Extent, disarm, measured, remove
from containers.unpacking import pull, unpack

KEPT_S = 14 * 86400.0
"""How long an image is kept that nobody uses."""
_IMAGE, _RECORD, _MAKING, _KNOWN = "image", "record.json", "making", "known"
_held: dict[Path, int] = {}
"""Locks of the images that this process uses. They end with it: it may start slots in them for as long as it lives."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Of an unpacked image."""

    reference: str
    """As it was first given; of a file, its full path."""
    sha256: str
    """Of the file; of what was pulled, as a SIF."""
    entries: int
    size_bytes: int
    """Unpacked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image in the store, and whether somebody uses it."""

    path: Path
    """Of its root file system."""
    record: Record
    unused_s: float
    """Since it was last asked for."""
    in_use: bool


class ImageStore:
    """A folder with unpacked images, for any number of processes at once.

    Args:
        folder: on a local disk, of this user; made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self, reference: str) -> Path:
        """The folder with an image's root file system, which stays there for as long as this process lives.

        Raises:
            ContainerError: there is no such image, it cannot be unpacked, or the store is of no use.
        """
        kind = kind_of(reference)
        if kind is Kind.FOLDER:
            return Path(reference).resolve()
        with self._usable():
            path = None if kind is Kind.PULLED else Path(reference).resolve()
            digest = known_digest(path, self.folder / _KNOWN) if path else text_digest(reference)
            entry = self._entry(digest)
            lock = lock_folder(entry, fcntl.LOCK_SH)
            try:
                with locked_file(entry / _MAKING) as making:
                    if not _is_whole(entry / _IMAGE):
                        self.remove_unused(KEPT_S)
                        _make(entry, str(path or reference), kind, digest, making)
                os.utime(lock)
            except BaseException:
                os.close(lock)
                raise
            held = _held.get(entry)
            if held is not None and os.path.samestat(os.fstat(held), os.fstat(lock)):
                os.close(lock)
            else:
                _held[entry] = lock
                if held is not None:  # of a folder that somebody has removed with all the store
                    os.close(held)
            return entry / _IMAGE / "root"

    def renew(self, reference: str) -> Path:
        """Pulls an image anew, where it was pulled before: a tag may name another by now. Otherwise as `prepare`.

        Raises:
            ContainerError: as `prepare`, or the present one is in use.
        """
        if kind_of(reference) is Kind.PULLED:
            with self._usable():
                entry = self._entry(text_digest(reference))
                if entry.exists() and not self._remove(entry, 0):
                    raise ContainerError(f"{reference} is in use on this node; end what uses it, then pull it again")
        return self.prepare(reference)

    def verify(self, reference: str) -> Record | None:
        """Reads all of an image's file again; None for a folder, of which nothing is known.

        `prepare` has counted the unpacked files and their sizes against what was unpacked.

        Raises:
            ContainerError: it is not the file that was unpacked.
        """
        root = self.prepare(reference)
        if kind_of(reference) is Kind.FOLDER:
            return None
        with self._usable():
            record = _record(root.parent)
            if kind_of(reference) is not Kind.PULLED and (now := file_digest(Path(reference))) != record.sha256:
                raise ContainerError(f"{reference} has sha256 {now}, but {record.sha256} was unpacked; copy it again")
            return record

    def images(self) -> list[StoredImage]:
        """All that are whole, the last used first.

        Raises:
            ContainerError: the store is of no use.
        """
        with self._usable():
            found = []
            for entry in self._entries():
                with suppress(FileNotFoundError, ValueError, TypeError):  # removed meanwhile, or not whole
                    age = time.time() - entry.stat().st_mtime
                    image = StoredImage(
                        path=entry / _IMAGE / "root",
                        record=_record(entry / _IMAGE),
                        unused_s=max(0.0, age),
                        in_use=_is_in_use(entry),
                    )
                    found.append(image)
            return sorted(found, key=lambda image: image.unused_s)

    def remove_unused(self, unused_s: float) -> list[Path]:
        """Removes what nobody uses and nobody has asked for so long; returns what was removed.

        Raises:
            ContainerError: the store is of no use.
        """
        with self._usable():
            known = self.folder / _KNOWN
            for path in known.iterdir():
                if _age_s(path) > max(unused_s, KEPT_S):
                    path.unlink(missing_ok=True)
            return [entry for entry in self._entries() if self._remove(entry, unused_s)]

    def _remove(self, entry: Path, unused_s: float) -> bool:
        """Whether it was removed."""
        try:
            if _age_s(entry) < unused_s:
                return False
            lock = lock_present(entry, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, FileNotFoundError):
            return False
        try:
            if _age_s(entry) < unused_s:
                return False  # somebody has used it since
            with suppress(FileNotFoundError):
                (entry / _IMAGE).rename(entry / f"old-{os.getpid()}")  # or half of it would seem to be whole
            for path in entry.iterdir():
                remove(path) if path.is_dir() else path.unlink()
            entry.rmdir()
        finally:
            os.close(lock)
        return True

    def _entries(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if path.name != _KNOWN and path.is_dir()]

    def _entry(self, digest: str) -> Path:
        return self.folder / digest[:32]

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Makes the folder, or looks whether it is this user's alone; what goes wrong in it is told."""
        is_root = os.geteuid() == 0
        mode = 0o711 if is_root else 0o700  # the containers of root are another user's
        try:
            try:
                self.folder.parent.mkdir(parents=True, exist_ok=True)
                self.folder.mkdir(mode)  # others look at it at once
                self.folder.chmod(mode)
            except FileExistsError:
                pass
            if not is_private(self.folder, NOBODY_ELSE_WRITES if is_root else NOBODY_ELSE):
                raise ContainerError(
                    f"images are not kept in {self.folder}: it must be a folder of this user that nobody else can "
                    f"{'write to' if is_root else 'open'}; name another by QRPO_SANDBOX_IMAGES"
                )
            (self.folder / _KNOWN).mkdir(exist_ok=True)
            yield
        except OSError as error:
            raise ContainerError(
                f"images cannot be kept in {self.folder}: {error.filename or 'i/o'}: {error.strerror or error}; "
                "name a folder on a local disk by QRPO_SANDBOX_IMAGES"
            ) from None


def _make(entry: Path, reference: str, kind: Kind, digest: str, lock: int) -> None:
    """Unpacks an image, pulling it before where it must be; only a whole one gets its name."""
    for left in entry.glob("new-*"):
        remove(left)
    if (entry / _IMAGE).exists():
        log.warning("%s: files are missing from its unpacked folder; unpacking it anew", reference)
        (entry / _IMAGE).rename(tempfile.mkdtemp(prefix="old-", dir=entry))
    new = Path(tempfile.mkdtemp(prefix="new-", dir=entry))
    try:
        new.chmod(0o755)
        root, file = new / "root", Path(reference)
        if kind is Kind.PULLED:
            file = new / "pulled.sif"
            pull(reference, file, lock)
            digest = file_digest(file)
        log.info("unpacking %s", reference)
        unpack(file, kind_of(str(file)), root, lock)
        if kind is Kind.PULLED:
            file.unlink()
        elif known_digest(file, entry.parent / _KNOWN) != digest:
            raise ContainerError(f"{file} was changed while it was unpacked; try again when it is complete")
        root.chmod(stat.S_IMODE(root.stat().st_mode) | 0o755)
        disarm(root)
        make_startable(root)
        extent = measured(root)
        record = Record(reference=reference, sha256=digest, entries=extent.entries, size_bytes=extent.size_bytes)
        (new / _RECORD).write_text(json.dumps(asdict(record)) + "\n")
        new.rename(entry / _IMAGE)
    except BaseException:
        remove(new)
        raise


def _record(image: Path) -> Record:
    return Record(**json.loads((image / _RECORD).read_text()))


def _is_whole(image: Path) -> bool:
    """Whether all is there that was unpacked: those who clean /tmp take single files."""
    try:
        record = _record(image)
    except (FileNotFoundError, ValueError, TypeError):
        return False
    return measured(image / "root") == Extent(record.entries, record.size_bytes)


def _is_in_use(entry: Path) -> bool:
    try:
        os.close(lock_present(entry, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    return False


def _age_s(path: Path) -> float:
    """Since it was last changed; 0 for what is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
