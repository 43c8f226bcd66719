"""Resource limits of one candidate process tree."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20
_MAX_SECONDS = 1e6
_COUNTS = (
    ("memory_bytes", 32 * MIB, 1 << 46),  # an interpreter needs 32 MiB
    ("output_bytes", 1, 1 << 31),
    ("processes", 1, 1 << 12),
    ("disk_bytes", 1, 1 << 46),
    ("open_files", 16, 1 << 16),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a program may use. Checked when built.

    Raises:
        ValueError: a limit is not a positive number, or below what an interpreter needs.
    """

    cpu_s: float = 10.0
    """CPU time of the whole process tree for one test, s; exceeding it is TLE."""
    total_cpu_s: float | None = None
    """CPU time over all tests of a submission, s; the tests left then are TLE. None: 10 times `cpu_s`.

    The idle time that ended a test counts too, and what the judge spent on a value it had to give up on.
    """
    idle_s: float = 3.0
    """Wall time, s, in which no process of the tree ran or waited for a core; exceeding it is TLE."""
    memory_bytes: int = 1024 * MIB
    """Memory of the tree and its files; exceeding it is MLE."""
    output_bytes: int = 16 * MIB
    """Bytes written to stdout or to stderr, each; exceeding it is OLE."""
    processes: int = 64
    """Processes and threads alive at a time; more cannot be created."""
    disk_bytes: int = 256 * MIB
    """Size of the writable file system, which lies in memory."""
    open_files: int = 256
    """Open file descriptors of one process."""

    def __post_init__(self) -> None:
        for name in ("cpu_s", "total_cpu_s", "idle_s"):
            seconds = getattr(self, name)
            if seconds is None and name == "total_cpu_s":
                continue
            if type(seconds) not in (int, float) or not 0 < seconds <= _MAX_SECONDS:
                raise ValueError(f"Limits.{name} is {seconds!r}; it must be greater than 0, at most {_MAX_SECONDS:.0f}")
        for name, least, most in _COUNTS:
            count = getattr(self, name)
            if type(count) is not int or not least <= count <= most:
                raise ValueError(f"Limits.{name} is {count!r}; it must be a whole number from {least} to {most}")
