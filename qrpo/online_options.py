"""Options of online training."""

from __future__ import annotations

from dataclasses import dataclass, field

from qrpo.data_options import at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineConfig:
    """The loop. References are sampled as `num_completions` says, and each iteration trains for `num_train_epochs`."""

    iterations: int = field(default=4, metadata={"help": "How often to sample, judge and train."})
    online_completions: int = field(
        default=4, metadata={"help": "Completions of the current policy for each problem and iteration."}
    )
    refresh_every: int | None = field(
        default=None,
        metadata={"help": "Make the current policy the reference after so many iterations. null: never."},
    )

    def __post_init__(self) -> None:
        """Checks the numbers."""
        at_least(1, self, "iterations", "online_completions", "refresh_every")
