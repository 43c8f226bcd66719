"""Options that say how completions are judged."""

from __future__ import annotations

from dataclasses import dataclass, field

from qrpo.data_options import at_least


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
    sandbox_workers: int | None = field(
        default=None, metadata={"help": "Programs judged at a time. null: one per core."}
    )
    score_chunk: int = field(default=32, metadata={"help": "Problems judged between two writes to disk."})

    def __post_init__(self) -> None:
        """Checks the numbers."""
        at_least(1, self, "sandbox_workers", "score_chunk")
