"""What a server is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.limits import MIB, Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How much a server takes. Checked when built.

    Raises:
        ValueError: a number is not positive.
    """

    max_limits: Limits = field(
        default_factory=lambda: Limits(
            cpu_s=120.0,
            total_cpu_s=1200.0,
            idle_s=60.0,
            memory_bytes=8192 * MIB,
            output_bytes=64 * MIB,
            processes=512,
            disk_bytes=2048 * MIB,
            open_files=1024,
        )
    )
    """What a request may ask for at most."""
    queued: int = 100_000
    """Submissions that wait or run at a time; one request may have half as many."""
    body_bytes: int = 32 * MIB
    """Of one request. Nothing else is answered while one is read as JSON, about 10 ms for a MiB of short programs."""
    bodies_bytes: int = 1024 * MIB
    """Of all requests that are being served."""
    unsent_bytes: int = 256 * MIB
    """Of results that wait for their clients to read, of all requests; beside them, those of the slots."""
    problems_bytes: int = 1024 * MIB
    """Of the problems that are held; those used longest ago make room for new ones."""
    read_patience_s: float = 60.0
    """For a client that sends half a request, or does not read its answer."""
    retained_bytes: int = 256 * MIB
    """Of the answers that are kept for requests with an idempotency key."""
    retained_s: float = 600.0
    """For so long after the last use of the key."""
    logs_programs: bool = False
    """Whether the text of programs goes to the log."""

    def __post_init__(self) -> None:
        for name in (
            "queued",
            "body_bytes",
            "bodies_bytes",
            "unsent_bytes",
            "problems_bytes",
            "read_patience_s",
            "retained_bytes",
            "retained_s",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"Settings.{name} is {getattr(self, name)!r}; it must be greater than 0")
