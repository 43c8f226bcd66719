"""What `evaluate/metrics.json` holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from qrpo.errors import PipelineError


class _Result(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SeedMeans(_Result):
    """A metric's mean over problems, for each sampling seed."""

    means: list[float]
    std: float | None
    """Between the seeds, with n - 1; None for one seed. It tells of sampling alone, neither of problems nor of
    training."""


class MetricResult(_Result):
    """A metric before and after, over all sampling seeds; `diff_low` to `diff_high` is the 95% interval of `diff`."""

    before: float
    after: float
    diff: float
    diff_low: float
    diff_high: float
    before_seeds: SeedMeans
    after_seeds: SeedMeans

    @property
    def outcome(self) -> str:
        """`up`, `down`, or `open` where the interval holds 0."""
        if self.diff_low > 0:
            return "up"
        return "down" if self.diff_high < 0 else "open"


class LengthBias(_Result):
    """Rank correlations of reward and length in tokens, over completions; None where one of them does not vary."""

    pooled: float | None
    """Over all completions. Harder problems have longer answers and lower rewards, which this does not tell apart."""
    within: float | None
    """Of ranks among the completions of the same problem."""


class HalfMeans(_Result):
    """Means over half of the held-out problems."""

    pass_fraction: float
    pass_at_1: float
    tokens: float


class StepResult(_Result):
    """A checkpoint on both halves; step 0 is the initial model."""

    step: int
    selection: HalfMeans
    reporting: HalfMeans
    kl: dict[str, float] | None
    """On all held-out problems; None for step 0."""


class SelectionResult(_Result):
    """The best of the trained checkpoints by the mean reward on the selection half, as the reporting half sees it."""

    steps: list[StepResult]
    """In order; step 0 and the last at least."""
    best: int
    """Its step, > 0; of equals the earliest."""
    problems: int
    """Of the reporting half."""
    metrics: dict[str, MetricResult]
    """On the reporting half: step 0 before, the best after."""


class SplitResult(_Result):
    """What evaluation found on one set of problems."""

    problems: int
    completions: int
    """Per problem and sampling seed."""
    metrics: dict[str, MetricResult]
    kl: dict[str, float]
    verdicts: dict[str, dict[str, int]]
    length_bias: dict[str, LengthBias]
    """Before and after."""
    selection: SelectionResult | None
    """Of held-out problems only, where there are two at least."""

    @property
    def drawn(self) -> str:
        """How many completions of each problem there are, for people."""
        seeds = len(self.metrics["pass_fraction"].after_seeds.means)
        return f"{self.completions} completions each" + (f" by {seeds} sampling seeds" if seeds > 1 else "")


_METRICS = TypeAdapter(dict[str, SplitResult])


def read_results(path: Path) -> dict[str, SplitResult]:
    """The results by set of problems, `train` and `heldout`.

    Raises:
        PipelineError: the file holds something else; names file and field.
        OSError: it cannot be read.
    """
    try:
        return _METRICS.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise PipelineError(f"{path}: {field}: {first['msg']}; run the evaluate stage again") from error


def results_json(results: Mapping[str, SplitResult]) -> str:
    """The file's text."""
    return _METRICS.dump_json(dict(results), indent=1).decode() + "\n"
