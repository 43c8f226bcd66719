"""Options that say what a command does of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from qrpo.data_options import at_least
from qrpo.paths import SHARDED, Shard

STAGES = ("generate", "score", "train", "evaluate", "report")
MERGE = "merge"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """What to do."""

    stage: str = field(
        default="all",
        metadata={
            "help": f"One stage alone, or all in order. {MERGE}: shards into what the stage would have made without "
            "them; a later stage does that too.",
            "choices": ["all", *STAGES, MERGE],
        },
    )
    num_shards: int = field(
        default=1,
        metadata={
            "help": f"Do the stage in so many parts, each with a command of its own: {' or '.join(SHARDED)}. In every "
            "stage the same number."
        },
    )
    shard: int | None = field(
        default=None, metadata={"help": "Which part this command does, from 0; SLURM_ARRAY_TASK_ID of a job array."}
    )
    completions_from: str | None = field(
        default=None,
        metadata={
            "help": "output_dir of another run, whose reference completions and rewards this one takes instead of "
            "making its own. They are checked against the options, and never written."
        },
    )
    reference_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder for what is known of initial models: converted weights, log-probabilities of completions, "
            "completions and verdicts of evaluations; by hash of what they depend on, which of a model on a hub is its "
            "revision. Share it between runs, to make each once. null: `reference` in the run's folder, without "
            "evaluations."
        },
    )

    def __post_init__(self) -> None:
        """Checks the numbers, and makes the folders' paths absolute."""
        at_least(1, self, "num_shards")
        if self.completions_from is not None:
            if self.stage in (*SHARDED, MERGE):
                raise ValueError(
                    f"completions_from is {self.completions_from}, so stage {self.stage} is that run's; leave one out"
                )
            object.__setattr__(self, "completions_from", str(Path(self.completions_from).absolute()))
        if self.reference_dir is not None:
            object.__setattr__(self, "reference_dir", str(Path(self.reference_dir).absolute()))
        if self.shard is None and self.num_shards > 1:
            raise ValueError(f"num_shards is {self.num_shards}; say which of them by --shard, from 0")
        if self.shard is not None and not 0 <= self.shard < self.num_shards:
            raise ValueError(
                f"shard is {self.shard}; with num_shards={self.num_shards} it is 0 to {self.num_shards - 1}"
            )
        if self.num_shards > 1 and self.stage not in SHARDED:
            raise ValueError(f"stage {self.stage} is not done in shards; give --stage {' or '.join(SHARDED)}")

    @property
    def part(self) -> Shard | None:
        """The shard that is asked for; None: the whole."""
        return None if self.shard is None or self.num_shards == 1 else Shard(self.shard, self.num_shards)
