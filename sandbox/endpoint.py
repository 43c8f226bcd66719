"""Where a server can be found: a file per server in a folder, its token in another file beside it.

Whoever may read the folder may use the servers, so it belongs to one user, mode 0700, and the token is 0600 besides.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from sandbox.jsonl import record_error, write_atomically
from sandbox.records import StrictRecord

_SUFFIX, _TOKEN_SUFFIX = ".json", ".token"


class EndpointRecord(StrictRecord):
    """A server."""

    url: str
    """`http://HOST:PORT`, or `unix:/PATH` of a socket."""
    host: str
    """Name of the node."""
    boot_id: str
    """Of the node when the server started; proc(5)."""
    pid: int
    started_ticks: int
    """When the process started, in clock ticks after boot: with `pid`, its identity; proc(5)."""
    workers: int
    version: str


class Endpoint(NamedTuple):
    """A server as it was found."""

    path: Path
    record: EndpointRecord
    token: str | None
    """None: it needs none."""


def default_folder() -> Path:
    """Where the servers of this user on this node are found: under $XDG_RUNTIME_DIR, or else under /tmp."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "qrpo-sandbox" if runtime else Path(f"/tmp/qrpo-sandbox-{os.getuid()}")  # noqa: S108  # checked


def prepare_folder(folder: Path) -> None:
    """Makes the folder where it is missing.

    Raises:
        PermissionError: it is another user's, or others may look into it.
        OSError: it cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(
            13,
            "tokens are kept here: it must be a folder of this user that nobody else can open (chmod 700)",
            str(folder),
        )


def publish(folder: Path, name: str, record: EndpointRecord, token: str | None) -> Path:
    """Writes a server's files; the path of its endpoint file, which comes last and at once.

    Raises:
        OSError: they cannot be written.
    """
    if token is not None:
        handle = os.open(token_path(folder, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write(token + "\n")
    path = folder / (name + _SUFFIX)
    write_atomically(path, [record])
    return path


def withdraw(folder: Path, name: str) -> None:
    """Removes a server's files, where they are there."""
    (folder / (name + _SUFFIX)).unlink(missing_ok=True)
    token_path(folder, name).unlink(missing_ok=True)


def token_path(folder: Path, name: str) -> Path:
    """Where the token of a server is."""
    return folder / (name + _TOKEN_SUFFIX)


def endpoints(folder: Path) -> Iterator[Endpoint]:
    """The servers of a folder, by name; one that goes meanwhile is left out.

    Raises:
        RecordError: a file is no endpoint file.
        OSError: the folder or a file cannot be read.
    """
    for path in sorted(folder.glob("*" + _SUFFIX)):
        try:
            record = EndpointRecord.model_validate_json(path.read_bytes())
            token_file = path.with_suffix(_TOKEN_SUFFIX)
            token = token_file.read_text().strip() if token_file.exists() else None
        except FileNotFoundError:
            continue
        except ValidationError as error:
            raise record_error(error, path, 1) from None
        yield Endpoint(path, record, token)
