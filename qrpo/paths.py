"""Where everything of a run lies: the stages meet in these files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SHARDED = ("generate", "score")
"""Stages that can be done in shards."""


@dataclass(frozen=True, slots=True, order=True)
class Shard:
    """One of the parts that a stage is done in."""

    index: int
    """From 0."""
    count: int

    def __str__(self) -> str:
        """The name of its folder."""
        return f"{self.index:05d}-of-{self.count:05d}"


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The folder of a run; for one shard, the stages that are done in shards have folders of its own."""

    root: Path
    shard: Shard | None = None
    completions_from: Path | None = None
    """The folder of another run, where the stages that can be done in shards are instead."""
    reference_dir: Path | None = None
    """A folder for what is known of initial models, shared by runs."""

    def stage(self, name: str) -> Path:
        """The folder of a stage."""
        if self.completions_from is not None and name in SHARDED:
            return self.completions_from / name
        if self.shard is not None and name in SHARDED:
            return self.shards(name) / str(self.shard)
        return self.root / name

    def shards(self, name: str) -> Path:
        """Where the shards of a stage are, each a folder."""
        return self.root / f"{name}.shards"

    @property
    def config(self) -> Path:
        """All options, resolved; can be given to `--config`."""
        return self.root / "config.yaml"

    @property
    def reference(self) -> Path:
        """The safetensors copy of a GGUF model, and the reference's log-probabilities."""
        return self.reference_dir or self.root / "reference"

    @property
    def completions(self) -> Path:
        """The reference completions, `qrpo.records.Rollout`."""
        return self.stage("generate") / "completions.jsonl"

    @property
    def scored(self) -> Path:
        """The same with rewards and verdicts, `qrpo.records.ScoredRollout`."""
        return self.stage("score") / "scored.jsonl"

    @property
    def model(self) -> Path:
        """The trained model, whole, as `save_pretrained` writes it."""
        return self.root / "train" / "model"

    @property
    def training_log(self) -> Path:
        """One line per logged step."""
        return self.root / "train" / "log.jsonl"

    @property
    def metrics(self) -> Path:
        """What evaluation found."""
        return self.root / "evaluate" / "metrics.json"

    @property
    def halves(self) -> Path:
        """Which held-out problems a checkpoint is chosen on and which it is reported on, `qrpo.halves.Halves`."""
        return self.root / "evaluate" / "halves.json"

    def evaluated(self, when: str, split: str) -> Path:
        """Completions of the evaluation, `qrpo.records.ScoredRollout`; `when` is before, after or of `at_step`."""
        return self.root / "evaluate" / f"{when}.{split}.jsonl"


def at_step(step: int) -> str:
    """How files name what belongs to a checkpoint."""
    return f"step-{step}"
