"""Ctrl-C and SIGTERM: stop at once where nothing is lost, at the next safe point where something would be."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Handles the first signal as asked; a second one ends the process on the spot.

    Everything on disk is valid at every moment (see `qrpo.artifacts`, `qrpo.journal`), so that ending the process
    loses at most the batch in work.

    Attributes:
        requested: a signal came.
    """

    def __init__(self) -> None:
        self.requested = False
        self._deferred_notice: str | None = None

    def install(self) -> None:
        """Takes over SIGINT and SIGTERM; main thread only."""
        signal.signal(signal.SIGINT, self._handle)
        signal.signal(signal.SIGTERM, self._handle)

    @contextmanager
    def deferred(self, notice: str) -> Iterator[None]:
        """Inside, a first signal only sets `requested`; it is raised on leaving.

        Args:
            notice: what the user is told when it comes.

        Raises:
            KeyboardInterrupt: on leaving, if a signal came.
        """
        self._deferred_notice = notice
        try:
            yield
        finally:
            self._deferred_notice = None
        self.check()

    def check(self) -> None:
        """Raises if a signal came: Python drops an exception that a handler raises inside a destructor or callback.

        Raises:
            KeyboardInterrupt: a signal came.
        """
        if self.requested:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # the signature of handlers
        if self.requested:
            os._exit(128 + number)
        self.requested = True
        if self._deferred_notice is None:
            raise KeyboardInterrupt
        # Not print: the handler may run while the main thread is inside the very stream.
        os.write(2, f"\n{self._deferred_notice}\n".encode())
