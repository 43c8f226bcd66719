"""Methods with options that were fixed beforehand, on training and held-out problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qrpo.choose import training_reward
from qrpo.comparison import by_seed, metrics
from qrpo.errors import PipelineError
from qrpo.finished_runs import FinishedRun, check_comparable, read_options, read_run
from qrpo.journal import read_records
from qrpo.methods import INITIAL, Estimate, estimate
from qrpo.paths import RunPaths
from qrpo.problems import Split
from qrpo.records import ScoredRollout
from qrpo.results import read_results

SPLITS: tuple[Split, ...] = ("train", "heldout")
METRICS = ("pass_fraction", "pass_at_1")


class Tried(NamedTuple):
    """A run of the grid that a method's options were chosen from."""

    beta: float
    learning_rate: float
    reward: float
    """Mean on training problems."""


class Outcome(NamedTuple):
    """What a method does on one set of problems, by a metric."""

    level: Estimate
    gain: Estimate | None
    """Paired difference to the initial model; None for that one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A line of the tables."""

    name: str
    runs: Sequence[FinishedRun]
    """Replicates by seed; none of the initial model."""
    outcomes: Mapping[tuple[Split, str], Outcome]
    """By set of problems and metric."""
    epochs: float | None
    """How often training went over the rows that the method takes; None: not known, or different rows each time."""
    kl: Mapping[Split, float]
    """k3, nats per completion; of no split where it was not measured, as of the initial model."""
    tried: Sequence[Tried]
    """By options; empty where no grid is known."""

    @property
    def beta(self) -> float | None:
        """None: it has none."""
        return self.runs[0].beta if self.runs and self.runs[0].algorithm != "sft" else None


def contenders(folders: Sequence[Path], tried: Path | None = None) -> list[Contender]:
    """The initial model, then the methods in the order of their folders.

    Args:
        folders: of the methods.
        tried: see `--tried`.

    Raises:
        PipelineError: a run is not finished, cannot be compared with the others, or does not have the best options that
            were tried for its method; names it.
        OSError: a file of a run is gone.
    """
    if tried is not None and not tried.is_dir():
        raise PipelineError(f"there is no folder {tried} of what was tried")
    groups = {folder.name: _replicates(folder) for folder in folders}
    if len(groups) < len(folders):
        raise PipelineError("two of the folders have the same name, which is the method's; rename one")
    first = next(iter(groups.values()))[0]
    check_comparable([run for runs in groups.values() for run in runs])
    initial = {key: _values(first, "before", *key) for key in _keys()}
    found = [
        Contender(
            name=INITIAL,
            runs=(),
            outcomes={
                key: Outcome(estimate(values[np.newaxis], trained=False), None) for key, values in initial.items()
            },
            epochs=None,
            kl={},
            tried=(),
        )
    ]
    for name, runs in groups.items():
        outcomes = {}
        for key, before in initial.items():
            values = np.array([_checked(run, key, before) for run in runs])
            outcomes[key] = Outcome(estimate(values), estimate(values - before))
        results = [read_results(RunPaths(run.path).metrics) for run in runs]
        found.append(
            Contender(
                name=name,
                runs=runs,
                outcomes=outcomes,
                epochs=_epochs(runs[0]),
                kl={
                    split: float(np.mean([result[split].kl["k3"] for result in results]))
                    for split in SPLITS
                    if all("k3" in result[split].kl for result in results)
                },
                tried=() if tried is None else _tried(tried / name, runs[0]),
            )
        )
    return found


def _keys() -> list[tuple[Split, str]]:
    return [(split, metric) for split in SPLITS for metric in METRICS]


def _replicates(folder: Path) -> list[FinishedRun]:
    if not folder.is_dir():
        raise PipelineError(f"there is no folder {folder}")
    runs = []
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        try:
            runs.append(read_run(path))
        except PipelineError as error:
            raise PipelineError(f"{path}: {error}") from error
    if not runs:
        raise PipelineError(f"{folder} holds no runs")
    for run in runs[1:]:
        if run.hyperparameters != runs[0].hyperparameters:
            raise PipelineError(f"{runs[0].path} and {run.path} differ in more than seeds, so they are not one method")
        if run.replicate in [other.replicate for other in runs[: runs.index(run)]]:
            raise PipelineError(f"{run.path} has the seeds of another run in {folder}; take one of them away")
    return sorted(runs, key=lambda run: run.replicate)


def _checked(run: FinishedRun, key: tuple[Split, str], before: NDArray[np.float64]) -> NDArray[np.float64]:
    """A trained model's values, [problems], where its initial model's are those of the others."""
    if not np.array_equal(_values(run, "before", *key), before):
        raise PipelineError(
            f"{run.path} was begun with another model or evaluated with other random numbers; give all runs one "
            "model, one --sampling_seed and one --reference_dir"
        )
    return _values(run, "after", *key)


def _values(run: FinishedRun, when: str, split: Split, metric: str) -> NDArray[np.float64]:
    """Of a metric, [problems], means over sampling seeds."""
    path = RunPaths(run.path).evaluated(when, split)
    if not path.is_file():
        raise PipelineError(f"{run.path} was not evaluated on {split} problems: there is no {path}")
    rollouts = sorted(read_records(path, ScoredRollout), key=lambda rollout: rollout.problem_id)
    seeds = run.evaluation["eval_seeds"] or 1
    assert isinstance(seeds, int)
    values: NDArray[np.float64] = by_seed(rollouts, metrics(1)[metric], seeds).mean(axis=1)
    return values


def _epochs(run: FinishedRun) -> float | None:
    log = run.log()
    return log[-1].get("epoch") if log and not run.algorithm.startswith("online") else None


def _tried(folder: Path, run: FinishedRun) -> list[Tried]:
    paths = [path for path in sorted(folder.iterdir()) if path.is_dir()] if folder.is_dir() else []
    rewards = {path: training_reward(path) for path in paths}
    if rewards:
        best = max(rewards, key=rewards.__getitem__)
        options = read_options(best)
        if (options["beta"], options["learning_rate"]) != (run.beta, run.learning_rate):
            raise PipelineError(
                f"{run.path} has beta {run.beta:g} and learning rate {run.learning_rate:g}, but the best run of "
                f"{folder} is {best.name}; choose and train again"
            )
    known = [(read_options(path), reward) for path, reward in rewards.items()]
    return sorted(Tried(options["beta"], options["learning_rate"], reward) for options, reward in known)
