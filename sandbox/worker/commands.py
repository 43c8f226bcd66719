"""The program as a command of its own, after all guards: executed, or compiled by one that is.

Of a program that is executed nothing of this interpreter is left. A compiler is a child of it, because what it made
must be sent before the run's files are gone.
"""

from __future__ import annotations

import marshal
import os
import signal
import stat
import sys
from typing import Any, Dict

from .jar import JAR, pack_classes
from .program import write_files

MAX_PRODUCT = 64 << 20
"""Bytes of a compiled program."""
_DEFAULT_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)
"""Which the interpreter ignores, and so would all that it starts."""


class NoProgram(Exception):  # noqa: N818 - the compiler's failure, told like one
    """A compiler that ended well has left no program."""


def execute(payload: Dict[str, Any], status: int) -> int:
    """Become the command, or say on `status` that the host has none. Returns an exit status, if at all.

    Args:
        payload: `files` by name, `argv`, `environment` (besides this process's), and whether the command `is_own`:
            the program itself, which then may be something that cannot be executed.
        status: closes when the command starts.
    """
    argv = payload["argv"]
    try:
        write_files(payload["files"])
        if payload["is_own"]:
            os.chmod(argv[0], 0o700)
        for number in _DEFAULT_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
    except OSError as error:
        return fail(status, error)
    try:
        os.execvpe(argv[0], argv, {**os.environ, **payload["environment"]})  # noqa: S606 - no shell is wanted
    except OSError as error:
        if not payload["is_own"]:
            return fail(status, error)
        os.close(status)
        sys.stderr.write("the program cannot be executed: %s\n" % os.strerror(error.errno or 0))
        sys.stderr.flush()
        return 126  # as shells say


def compile_source(payload: Dict[str, Any], status: int) -> int:
    """Run the compiler, whose words go to stderr, and write the file that it made, if it should, to stdout.

    Args:
        payload: `files` with the source, `argv`, `environment`, the name of the `product` or "", and whether that is
            executed itself (`is_own`).

    Returns:
        Exit status: 0 where all is well.
    """
    argv = payload["argv"]
    try:
        write_files(payload["files"])
        pid = os.posix_spawnp(
            argv[0],
            argv,
            {**os.environ, **payload["environment"]},
            file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)],
            setsigdef=_DEFAULT_SIGNALS,
        )
    except OSError as error:
        return fail(status, error)
    os.close(status)
    _, ended = os.waitpid(pid, 0)
    if ended != 0:
        if os.WIFSIGNALED(ended):
            sys.stderr.write("the compiler was killed by signal %d\n" % os.WTERMSIG(ended))
        return 1
    try:
        if payload["product"] == JAR:
            pack_classes(os.path.splitext(next(iter(payload["files"])))[0])
        if payload["product"]:
            _send(payload["product"], payload["is_own"])
    except (OSError, NoProgram) as error:
        sys.stderr.write("the compiler left no program: %s\n" % error)
        return 1
    return 0


def _send(name: str, is_executable: bool) -> None:
    """Write it to stdout. What a hostile source made the compiler leave is not followed, waited for or trusted.

    Raises:
        OSError: there is none.
        NoProgram: it is none.
    """
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode):
        raise NoProgram("%s is no file" % name)
    if is_executable and not found.st_mode & stat.S_IXUSR:
        raise NoProgram("%s is not executable" % name)
    if found.st_size > MAX_PRODUCT:
        raise NoProgram("it has %d MiB, at most %d are allowed" % (found.st_size >> 20, MAX_PRODUCT >> 20))
    left = MAX_PRODUCT
    while left > 0:
        chunk = os.read(file, min(left, 1 << 20))
        if not chunk:
            return
        left -= len(chunk)
        while chunk:
            chunk = chunk[os.write(1, chunk) :]


def fail(status: int, error: OSError) -> int:
    """Say on `status` that the host could not do it; an exit status."""
    os.write(status, marshal.dumps({"failed": str(error)}, 2))
    return 70
