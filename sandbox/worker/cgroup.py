"""A run's control group, where the slot has one that it may divide. Source: Documentation/admin-guide/cgroup-v2.rst.

What the group has no controller for is left to the rlimits and to the supervisor's looks, which hold without any.
"""

from __future__ import annotations

import errno
import os
import time
from typing import Any, Dict, Optional

_NAME = "run"
_PATIENCE_S = 2.0
_KERNEL_BYTES = 16 << 20
"""Page tables, stacks and sockets are charged too; a program's own memory is judged by the supervisor's looks."""


class RunGroup:
    """The group of one run, from before its first process until after its last.

    Args:
        slot: a descriptor of the slot's group, which this user owns and which holds no process itself.
        limits: see sandbox.limits.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, slot: int, limits: Dict[str, Any]) -> None:
        self._slot = slot
        try:
            os.mkdir(_NAME, dir_fd=slot)
        except FileExistsError:
            self._remove()  # a run before could not, or could not be made
            os.mkdir(_NAME, dir_fd=slot)
        self._group = os.open(_NAME, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=slot)
        for name, value in (
            ("memory.max", int(limits["memory_bytes"]) + _KERNEL_BYTES),
            ("memory.swap.max", 0),
            ("memory.oom.group", 1),
            ("pids.max", int(limits["processes"])),
        ):
            self._write(name, value)
        self._entrance = os.open("cgroup.procs", os.O_WRONLY | os.O_CLOEXEC, dir_fd=self._group)

    def enter(self) -> None:
        """Move the calling process in. Raises OSError."""
        os.write(self._entrance, b"0")

    def cpu_ns(self) -> int:
        """CPU time of all that ever ran in it."""
        usage = self._field("cpu.stat", b"usage_usec")
        return (usage or 0) * 1000

    def peak_bytes(self) -> int:
        """The most memory it ever held; 0 where the kernel (before 5.19) or a missing controller does not say."""
        try:
            return int(self._read("memory.peak"))
        except (OSError, ValueError):
            return 0

    def is_out_of_memory(self) -> bool:
        """Whether the kernel killed it for its memory."""
        return bool(self._field("memory.events", b"oom_kill"))

    def close(self) -> None:
        """Remove it; it must be empty. Raises OSError."""
        os.close(self._entrance)
        os.close(self._group)
        self._remove()

    def _remove(self) -> None:
        """Its last process may be on its way out still, though it was waited for."""
        end = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return os.rmdir(_NAME, dir_fd=self._slot)
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > end:
                    raise
            time.sleep(0.001)

    def _field(self, name: str, key: bytes) -> Optional[int]:
        try:
            for line in self._read(name).splitlines():
                found, _, value = line.partition(b" ")
                if found == key:
                    return int(value)
        except OSError:
            pass
        return None

    def _read(self, name: str) -> bytes:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._group)
        try:
            return os.read(descriptor, 4096)
        finally:
            os.close(descriptor)

    def _write(self, name: str, value: int) -> None:
        try:
            descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=self._group)
        except FileNotFoundError:
            return  # without this controller, or an older kernel
        try:
            os.write(descriptor, b"%d" % value)
        finally:
            os.close(descriptor)
