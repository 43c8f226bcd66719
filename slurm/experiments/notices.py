"""What a job is told while it runs: by signals, and by the clock."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from slurm.child import Child

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_NOTED = {signal.SIGUSR2, *_ENDING}


def keep() -> None:
    """From now on signals wait until there are `Notices`, here or in a process that this one starts."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _NOTED)


@contextmanager
def kept() -> Iterator[None]:
    """Signals for processes that are started within wait until these have `Notices`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _NOTED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Notices:
    """Listens from when it is made; main thread only. Handlers do no more than note: nothing is lost, or done twice.

    Attributes:
        is_warned: USR2 has come: a time limit or a preemption is ahead.
        is_ended: TERM, INT or HUP has come: the job is to end.
    """

    def __init__(self) -> None:
        self.is_warned = self.is_ended = False
        self._wakeup, wakened = os.pipe()
        for descriptor in (self._wakeup, wakened):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wakened, warn_on_full_buffer=False)
        signal.signal(signal.SIGUSR2, lambda *_: self._warn())
        for number in _ENDING:
            signal.signal(number, lambda *_: self._end())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _NOTED)  # see `keep`

    def wait(self, child: Child, until_s: float) -> None:
        """Until there is a signal, something about the child, or this moment of the monotonic clock."""
        left_s = max(0.0, until_s - time.monotonic())
        ready, _, _ = select.select([self._wakeup, child.fileno()], [], [], min(left_s, 3600.0))
        if self._wakeup in ready:
            os.read(self._wakeup, 4096)
        if child.fileno() in ready:
            child.was_heard(0)

    def _warn(self) -> None:
        self.is_warned = True

    def _end(self) -> None:
        self.is_ended = True
