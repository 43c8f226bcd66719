"""Files of a run: replaced at once, known by their hashes."""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from qrpo.locks import LOCK


def write_atomically(path: Path, content: str | bytes | Iterable[bytes]) -> None:
    """Replaces a file; a reader sees the old content or the whole new one, also after a crash.

    Args:
        path: the file; its folder exists.
        content: whole, or in parts that are written as they come.
    """
    if isinstance(content, str):
        content = content.encode()
    parts = [content] if isinstance(content, bytes) else content
    # A name of its own for each writer, in the same folder: os.replace is atomic only within a file system.
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
        temporary = Path(stream.name)
        try:
            stream.writelines(parts)
            stream.flush()
            os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, in hex; read again only when the file has changed by its size, time or inode."""
    found = path.stat()
    return _hash_file(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


@functools.lru_cache(maxsize=4096)
def _hash_file(path: Path, *_state: int) -> str:
    # The stages of a command ask for the same gigabytes, of completions and of models, once each and more.
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_path(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files and their relative names."""
    if path.is_file():
        return hash_file(path)
    digest = hashlib.sha256()
    for file in files_in(path):
        digest.update(f"{file.relative_to(path).as_posix()}\0{hash_file(file)}\n".encode())
    return digest.hexdigest()


def files_in(path: Path) -> list[Path]:
    """The file itself, or all files below a folder but locks, sorted."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and file.name != LOCK)
