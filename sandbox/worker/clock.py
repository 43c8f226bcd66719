"""When a candidate was ready to be a program: told by itself before it is one, read by its supervisor."""

from __future__ import annotations

import os
import struct
import time
from typing import NamedTuple

_PAIR = struct.Struct("=QQ")


class Instant(NamedTuple):
    """Both 0 as long as the candidate is not ready."""

    cpu_ns: int
    """CPU time that it had used."""
    at_ns: int
    """CLOCK_MONOTONIC."""


_NEVER = Instant(0, 0)


class Clock:
    """A pipe, which no limit on files holds for, and which the candidate closes before the program runs."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._instant = _NEVER

    def reset(self) -> None:
        """For the next candidate."""
        self.read()
        self._instant = _NEVER

    def set(self) -> None:
        """By the candidate."""
        os.write(self._write_end, _PAIR.pack(time.process_time_ns(), time.monotonic_ns()))

    def read(self) -> Instant:
        """What was set since the reset."""
        if self._instant is _NEVER:
            try:
                self._instant = Instant(*_PAIR.unpack(os.read(self._read_end, _PAIR.size)))
            except BlockingIOError:
                pass
        return self._instant
