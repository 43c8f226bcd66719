"""Where a server can be found: a file per server in a folder, its token in another file beside it.

Whoever may read the folder may use the servers, so it belongs to one user, mode 0700, and the token is 0600 besides.
On a shared file system it is found by all nodes. A server touches its file every `BEAT_S`; one that is not touched for
`STALE_S` has lost its node, or its node the file system.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import ValidationError, field_validator

from containers.private_folder import is_private
from sandbox.folder_clock import FolderClock
from sandbox.jsonl import record_error, write_atomically
from sandbox.plain_file import NoPlainFileError, read_plain
from sandbox.records import StrictRecord

_SUFFIX, _TOKEN_SUFFIX = ".json", ".token"
_LOCK = ".lock"
_NAME = re.compile(r"\.?(?P<host>.+)-\d+-\d+-[0-9a-f]{8}\.")
"""Of a server's files; see `EndpointRecord.name`."""
UNIX_PREFIX = "unix:"
"""Of the URL of a socket."""
_URL = re.compile(r"https?://([\w.-]+|\[[\w:.%]+\])(:\d+)?(/[!-~]*)?|unix:/[^\0-\x1f\x7f]+", re.ASCII)
BEAT_S = 10.0
STALE_S = 60.0
_told: set[Path] = set()
"""What clients, who look each second, have been warned of."""
log = logging.getLogger(__name__)


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
    pid_namespace: int = 0
    """Where `pid` is one: in containers of one node the same number means different processes. 0: not known."""
    job: str = ""
    """That of Slurm it runs in, as squeue(1) names it: `123`, or `123_4` of an array."""
    workers: int
    version: str

    @field_validator("url")
    @classmethod
    def _is_a_servers(cls, url: str) -> str:
        if not _URL.fullmatch(url):
            raise ValueError("no URL of a server")
        if not url.startswith(UNIX_PREFIX):
            _ = urlsplit(url).port  # raises ValueError for one that there is not
        return url

    @classmethod
    def of_this_process(cls, url: str, workers: int, version: str) -> Self:
        """That of a server in this process."""
        pid = os.getpid()
        return cls(
            url=url,
            host=socket.gethostname(),
            boot_id=_boot_id(),
            pid=pid,
            started_ticks=_started_ticks(pid) or 0,
            pid_namespace=_pid_namespace(),
            job=_job(),
            workers=workers,
            version=version,
        )

    @property
    def name(self) -> str:
        """Of its files: no other server's, on any node that shares the folder."""
        return f"{self.host}-{self.pid}-{self.started_ticks}-{self.boot_id[:8]}"


class Endpoint(NamedTuple):
    """A server as it was found."""

    path: Path
    record: EndpointRecord
    token: str | None
    """None: it needs none."""
    age_s: float
    """Since its file was last touched."""

    @property
    def is_dead(self) -> bool:
        """Nobody is there any more, as far as can be told from here."""
        return self.age_s > STALE_S or is_gone(self.record)


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
    check_folder(folder)


def check_folder(folder: Path) -> None:
    """Looks whether only this user can have put something into the folder.

    Raises:
        PermissionError: it is another user's, or others may look into it.
        OSError: it is not there.
    """
    if not is_private(folder):
        raise PermissionError(
            13,
            "tokens are kept here: it must be a folder of this user that nobody else can open (chmod 700)",
            str(folder),
        )


def check_writers(folder: Path) -> None:
    """Looks whether another user could have put something into the folder, which would be sent programs and tests.

    Raises:
        PermissionError: one could.
        OSError: it is not there.
    """
    found = folder.stat()
    if found.st_uid not in (os.getuid(), 0) or found.st_mode & 0o022:
        raise PermissionError(
            13, "another user could have put servers here: it must be your own, and closed to others", str(folder)
        )


def publish(folder: Path, name: str, record: EndpointRecord, token: str | None) -> Path:
    """Writes a server's files; the path of its endpoint file, which comes last and at once.

    Raises:
        OSError: they cannot be written.
    """
    path, secret = folder / (name + _SUFFIX), token_path(folder, name)
    with locked(folder):
        if token is not None:
            handle = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            if token is not None:
                with os.fdopen(handle, "w") as stream:
                    stream.write(token + "\n")
            write_atomically(path, [record])
        except OSError as error:
            secret.unlink(missing_ok=True)
            error.filename = error.filename or str(path)
            raise
    return path


def touch(folder: Path, name: str, record: EndpointRecord, token: str | None) -> None:
    """Says that a server lives; its files are written again where somebody has removed them.

    Raises:
        OSError: they cannot be touched or written.
    """
    try:
        if token is not None:  # first: clients must not find a server whose token has just been taken for a leftover
            os.utime(token_path(folder, name))
        os.utime(folder / (name + _SUFFIX))
    except FileNotFoundError:
        prepare_folder(folder)
        token_path(folder, name).unlink(missing_ok=True)
        publish(folder, name, record, token)


def withdraw(folder: Path, name: str) -> None:
    """Removes a server's files, where they are there."""
    (folder / (name + _SUFFIX)).unlink(missing_ok=True)
    token_path(folder, name).unlink(missing_ok=True)


def token_path(folder: Path, name: str) -> Path:
    """Where the token of a server is."""
    return folder / (name + _TOKEN_SUFFIX)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Servers that start at the same time do not take each other's half-written files for leftovers.

    Raises:
        OSError: the lock cannot be made.
    """
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            log.debug("no locks in %s (%s): going on without", folder, error)
        yield


def is_gone(record: EndpointRecord) -> bool:
    """Whether it is a server of this node that is gone. One that cannot be looked at from here is not."""
    if record.boot_id != _boot_id():
        return record.host == socket.gethostname()  # the node has been started again since
    if record.pid_namespace not in (0, _pid_namespace()):
        return False
    return _started_ticks(record.pid) != record.started_ticks


def remove_strays(folder: Path) -> None:
    """What a server leaves that dies while it writes: tokens without an endpoint, half-written files. Call it `locked`.

    Raises:
        OSError: something cannot be removed.
    """
    own = socket.gethostname()  # other nodes may share the folder, and not the lock
    clock = FolderClock(folder)
    tokens = [path for path in folder.glob(f"*{_TOKEN_SUFFIX}") if not path.with_suffix(_SUFFIX).exists()]
    for path in [*tokens, *folder.glob(f".*{_SUFFIX}.*.tmp")]:
        named = _NAME.match(path.name)
        if named is None:
            continue
        try:
            if named["host"] == own or clock.age_s(path.lstat()) > STALE_S:
                path.unlink()
        except FileNotFoundError:
            continue


def endpoints(folder: Path, clock: FolderClock | None = None) -> Iterator[Endpoint]:
    """The servers of a folder, by name; one that goes meanwhile is left out, and so is, with a warning, what is none.

    Args:
        clock: the folder's, where it is looked into again and again.

    Raises:
        OSError: the folder or a file cannot be read.
    """
    clock = clock or FolderClock(folder)
    for path in sorted(folder.glob("*" + _SUFFIX)):
        try:
            content, found = read_plain(path)  # NFS looks at a file's times anew when it is opened; nfs(5)
            record = EndpointRecord.model_validate_json(content)
            token = _token_beside(path)
        except FileNotFoundError:
            continue
        except (NoPlainFileError, UnicodeDecodeError, PermissionError) as error:
            _leave_out(path, str(error))
        except ValidationError as error:
            _leave_out(path, str(record_error(error, path, 1)))
        else:
            yield Endpoint(path, record, token, clock.age_s(found))


def _token_beside(path: Path) -> str | None:
    """The token of the server with this endpoint file; None where it needs none."""
    try:
        return read_plain(path.with_suffix(_TOKEN_SUFFIX))[0].decode("ascii").strip()
    except FileNotFoundError:
        return None


def _leave_out(path: Path, reason: str) -> None:
    if path not in _told:
        _told.add(path)
        log.warning("left out what is no server's: %s", reason)


def _job() -> str:
    """Source: sbatch(1), output environment variables."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _pid_namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def _started_ticks(pid: int) -> int | None:
    """When a process started; None where there is none, or only what its parent has not yet noticed the end of."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])  # field 22 of the whole line; proc(5)
