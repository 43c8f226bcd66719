"""Options that say how completions are judged."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from qrpo.data_options import at_least
from sandbox.limits import MIB, Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreConfig:
    """How completions are judged."""

    which_block: str = field(
        default="last",
        metadata={"help": "Which code block of a completion is the program.", "choices": ["last", "first"]},
    )
    reward: str = field(
        default="fraction",
        metadata={"help": "fraction of tests passed, or 1 where all pass, else 0.", "choices": ["fraction", "all"]},
    )
    cpu_s: float | None = field(
        default=None,
        metadata={"help": "CPU seconds of a program for one test. null: as the problem says, or 10."},
    )
    total_cpu_s: float | None = field(
        default=None,
        metadata={
            "help": "CPU seconds of a program for all tests together; those left then fail. It bounds what one that "
            "loops costs. null: as the problem says, or 10 times those for one test."
        },
    )
    memory_mib: int | None = field(
        default=None,
        metadata={"help": "Memory of a program and its files. null: as the problem says, or 1024."},
    )
    sandbox_workers: int | None = field(
        default=None, metadata={"help": "Programs judged at a time. null: one per core."}
    )
    score_chunk: int = field(default=32, metadata={"help": "Problems judged between two writes to disk."})

    def __post_init__(self) -> None:
        """Checks the numbers."""
        at_least(1, self, "sandbox_workers", "score_chunk")
        at_least(32, self, "memory_mib")
        self.limits(Limits())

    def limits(self, own: Limits) -> Limits:
        """Those of a program, where a problem's own are `own`.

        Raises:
            ValueError: a number is out of range.
        """
        return replace(
            own,
            cpu_s=own.cpu_s if self.cpu_s is None else self.cpu_s,
            total_cpu_s=own.total_cpu_s if self.total_cpu_s is None else self.total_cpu_s,
            memory_bytes=own.memory_bytes if self.memory_mib is None else self.memory_mib * MIB,
        )

    def judging(self) -> dict[str, object]:
        """The options that verdicts and rewards depend on."""
        return {name: getattr(self, name) for name in JUDGING}


JUDGING = ("which_block", "reward", "cpu_s", "total_cpu_s", "memory_mib")
"""Their names."""
