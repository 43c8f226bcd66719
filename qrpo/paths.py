"""Where everything of a run lies: the stages meet in these files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The folder of a run."""

    root: Path

    def stage(self, name: str) -> Path:
        """The folder of a stage."""
        return self.root / name

    @property
    def config(self) -> Path:
        """All options, resolved; can be given to `--config`."""
        return self.root / "config.yaml"

    @property
    def reference(self) -> Path:
        """The safetensors copy of a GGUF model, and the reference's log-probabilities."""
        return self.root / "reference"

    @property
    def completions(self) -> Path:
        """The reference completions, `qrpo.records.Rollout`."""
        return self.root / "generate" / "completions.jsonl"

    @property
    def scored(self) -> Path:
        """The same with rewards and verdicts, `qrpo.records.ScoredRollout`."""
        return self.root / "score" / "scored.jsonl"

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
