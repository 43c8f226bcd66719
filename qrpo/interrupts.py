"""Ctrl-C and SIGTERM: stop at once where nothing is lost, at the next safe point where something would be."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from qrpo import processes

MESSAGE = "Interrupted. Nothing is lost: the same command continues here."

_SAME_S = 3.0
"""A launcher hands its signals on to its processes, which the terminal or Slurm has sent them to as well; one process
has them before another."""


class Interrupts:
    """Handles the first signal as the work at hand needs it; a second one ends the process on the spot.

    Everything on disk is valid at every moment (see `qrpo.artifacts`, `qrpo.journal`), so ending the process loses at
    most the batch in work.

    Attributes:
        requested: a signal came, here or to another process.
    """

    def __init__(self) -> None:
        self.requested = False
        self._raises = False
        self._notice: str | None = None
        self._first: float | None = None

    def install(self) -> None:
        """Takes over SIGINT and SIGTERM; main thread only. Until `raising` they end the process with `MESSAGE`."""
        signal.signal(signal.SIGINT, self._handle)
        signal.signal(signal.SIGTERM, self._handle)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Inside, a first signal raises; for code that has something to close.

        Raises:
            KeyboardInterrupt: a signal came; also on leaving, since Python drops what a handler raises inside a
                destructor, and modules being imported may turn it into something else.
        """
        self._raises = True
        try:
            yield
        except Exception:
            self.check()
            raise
        finally:
            self._raises = False
        self.check()

    @contextmanager
    def deferred(self, notice: str) -> Iterator[None]:
        """Inside, a first signal only sets `requested`; it is raised on leaving.

        Args:
            notice: what the user is told when it comes.

        Raises:
            KeyboardInterrupt: on leaving, if a signal came.
        """
        self._notice = notice
        try:
            yield
        finally:
            self._notice = None
        self.check()

    def request(self) -> None:
        """Another process was sent a signal. That which this one may still get is its first one."""
        self.requested = True

    def check(self) -> None:
        """Raises if a signal came.

        Raises:
            KeyboardInterrupt: a signal came.
        """
        if self.requested:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # the signature of handlers
        now, is_known = time.monotonic(), self.requested
        self.requested = True
        if self._first is not None:
            if processes.count() > 1 and now - self._first < _SAME_S:
                return
            os._exit(128 + number)
        self._first = now
        if is_known:
            return
        if self._notice is not None:
            _tell(self._notice)
        elif self._raises:
            raise KeyboardInterrupt
        else:
            _tell(MESSAGE)
            os._exit(128 + number)


def _tell(text: str) -> None:
    if not processes.is_main():
        return
    # Not print: the handler may run while the main thread is inside the very stream.
    os.write(2, f"\n{text}\n".encode())
