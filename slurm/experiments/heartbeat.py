"""A file whose time says that a job runs; of one whose node is gone nobody writes its end."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

INTERVAL_S = 30.0
STALE_S = 300.0
"""From when on a job gives no sign of life any more: some intervals, and clocks that differ."""


@contextmanager
def beating(path: Path, interval_s: float = INTERVAL_S) -> Iterator[None]:
    """Touches the file now, and again and again until the block is left."""
    _touch(path)
    is_over = threading.Event()
    thread = threading.Thread(target=_beat, args=(path, interval_s, is_over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def is_fresh(path: Path) -> bool:
    """Whether a job has given a sign of life lately."""
    try:
        return time.time() - path.stat().st_mtime < STALE_S
    except OSError:
        return False


def beat_s(path: Path) -> float | None:
    """When the last sign of life was, by the clock of whoever gave it; None: there was none."""
    try:
        with path.open("rb") as stream:  # NFS asks the server when a file is opened; for its time alone it does not
            return os.fstat(stream.fileno()).st_mtime
    except OSError:
        return None


def _beat(path: Path, interval_s: float, is_over: threading.Event) -> None:
    while not is_over.wait(interval_s):
        _touch(path)


def _touch(path: Path) -> None:
    try:
        path.touch()
    except OSError as error:  # a full disk, or a file server that is away: the command may well go on
        log.warning("%s: %s", path, error.strerror)
