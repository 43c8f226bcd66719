"""When a candidate was ready to be a program: told by itself before it is one, read by its supervisor."""

from __future__ import annotations

import os
import struct
import time
from typing import NamedTuple

_PAIR = struct.Struct("=QQ")
_NEVER = bytes(_PAIR.size)


class Instant(NamedTuple):
    """Both 0 as long as the candidate is not ready."""

    cpu_ns: int
    """CPU time that it had used."""
    at_ns: int
    """CLOCK_MONOTONIC."""


class Clock:
    """A memory file that zygote and candidate share until the candidate closes it, which is before the program runs."""

    def __init__(self) -> None:
        self._memory = os.memfd_create("clock", os.MFD_CLOEXEC)
        self.reset()

    def reset(self) -> None:
        """For the next candidate."""
        os.pwrite(self._memory, _NEVER, 0)

    def set(self) -> None:
        """By the candidate."""
        os.pwrite(self._memory, _PAIR.pack(time.process_time_ns(), time.monotonic_ns()), 0)

    def read(self) -> Instant:
        """What was set since the reset."""
        return Instant(*_PAIR.unpack(os.pread(self._memory, _PAIR.size, 0)))
