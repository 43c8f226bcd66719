"""One line per algorithm from many runs: its best options and checkpoint, with what is known of how sure that is.

The choice is made by the selection half of the held-out problems, over all options and checkpoints, by the mean over
training seeds; everything that is told of the chosen one is from the reporting half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from qrpo.finished_runs import FinishedRun
from qrpo.results import StepResult
from rewards.bootstrap import Interval, bootstrap_interval

_RESAMPLINGS = 10_000
INITIAL = "initial model"
COMPARED = ("online qrpo", "qrpo")
"""Algorithms that compare completions with rewards of the reference."""
LABELS = {"qrpo": "QRPO", "dpo": "DPO", "rebel": "REBEL", "simpo": "SimPO", "sft": "SFT", "online qrpo": "online QRPO"}


class Estimate(NamedTuple):
    """A mean on the reporting half, over training seeds and problems; intervals are of 95%."""

    mean: float
    by_run: NDArray[np.float64]
    """Means over problems, [runs]."""
    by_problem: NDArray[np.float64]
    """Means over runs, [problems]."""
    over_seeds: Interval | None
    """Student's, of the mean of `by_run`; None for one run. What training again would give, on the same problems."""
    over_problems: Interval
    """Bootstrap of the mean of `by_problem`. What other problems would give, with the same trained models."""


class Checkpoint(NamedTuple):
    """A run and one of its steps."""

    run: FinishedRun
    step: StepResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A line of the table."""

    name: str
    model: str
    beta: float | None
    """None: it has none."""
    learning_rate: float | None
    num_refs: int | None
    """Rewards of the reference that each completion is compared with; None: with none."""
    candidates: int
    """Options times checkpoints that it was chosen from."""
    chosen: tuple[Checkpoint, ...]
    """One for each replicate; of an initial model, for each sampling seed."""
    selection: float
    """Mean reward on the selection half, by which it was chosen: too high, for being the highest of many."""
    reward: Estimate
    pass_at_1: Estimate
    pass_at_k: Estimate | None
    """None: k is 1."""
    pass_k: int
    """The largest k that all runs were evaluated for."""
    kl: float | None
    """k3, nats per completion."""

    @property
    def steps(self) -> str:
        """The step of each seed's checkpoint, as one or a range."""
        steps = sorted({item.step.step for item in self.chosen})
        return str(steps[0]) if len(steps) == 1 else f"{steps[0]}–{steps[-1]}"


def methods(runs: Sequence[FinishedRun]) -> list[Method]:
    """The initial models, then the best of each algorithm, by name."""
    algorithms = sorted({run.algorithm for run in runs})
    models = sorted({run.model for run in runs})
    pass_k = min(run.pass_k for run in runs)
    return [
        *(_initial([run for run in runs if run.model == model], pass_k) for model in models),
        *(best([run for run in runs if run.algorithm == algorithm], pass_k) for algorithm in algorithms),
    ]


def best_and_ties(found: Sequence[Method]) -> tuple[int, set[int]]:
    """The place of the highest reward, and of those that cannot be told from it (see `is_worse`)."""
    best = max(range(len(found)), key=lambda place: found[place].reward.mean)
    ties = {place for place in range(len(found)) if not is_worse(found[place].reward, found[best].reward)}
    return best, ties - {best}


def is_worse(one: Estimate, other: Estimate) -> bool:
    """Whether both kinds of chance are unlikely to explain the difference, each at 95%.

    Over problems: paired bootstrap. Over training seeds, where both have two at least: Welch's interval.
    """
    differences = other.by_problem - one.by_problem
    if bootstrap_interval(differences, resamplings=_RESAMPLINGS, seed=0).low <= 0:
        return False
    if one.over_seeds is None or other.over_seeds is None:
        return True
    return _welch_low(other.by_run, one.by_run) > 0


def estimate(values: NDArray[np.float64], *, trained: bool = True) -> Estimate:
    """From values of a metric, [runs, problems].

    Args:
        values: one row for each training seed.
        trained: the runs differ by training; what did not train has no interval over training seeds.
    """
    by_run, by_problem = values.mean(axis=1), values.mean(axis=0)
    return Estimate(
        mean=float(values.mean()),
        by_run=by_run,
        by_problem=by_problem,
        over_seeds=_student(by_run) if trained and len(by_run) > 1 else None,
        over_problems=bootstrap_interval(by_problem, resamplings=_RESAMPLINGS, seed=0),
    )


def best(runs: Sequence[FinishedRun], pass_k: int) -> Method:
    """Of runs of one algorithm."""
    candidates = []
    for options in sorted({run.hyperparameters for run in runs}):
        replicates = sorted((run for run in runs if run.hyperparameters == options), key=lambda run: run.replicate)
        shared = set.intersection(*(set(run.trained) for run in replicates))
        candidates += [tuple(Checkpoint(run, run.trained[key]) for run in replicates) for key in sorted(shared)]
    chosen = max(candidates, key=_selection)
    algorithm = chosen[0].run.algorithm
    return _method(LABELS.get(algorithm, algorithm), chosen, pass_k, candidates=len(candidates))


def _initial(runs: Sequence[FinishedRun], pass_k: int) -> Method:
    """Of runs of one initial model; those of one sampling seed have evaluated it with the same completions."""
    by_seed = {run.replicate.sampling_seed: run for run in reversed(runs)}
    chosen = tuple(Checkpoint(run, run.initial) for _, run in sorted(by_seed.items()))
    return _method(INITIAL, chosen, pass_k, candidates=1)


def _method(name: str, chosen: tuple[Checkpoint, ...], pass_k: int, *, candidates: int) -> Method:
    run, trained = chosen[0].run, name != INITIAL

    def reported(metric: str) -> Estimate:
        return estimate(np.array([run.reported(step, metric) for run, step in chosen]), trained=trained)

    divergences = [step.kl["k3"] for _, step in chosen if step.kl is not None]
    return Method(
        name=name,
        model=run.model,
        beta=run.beta if trained and run.algorithm != "sft" else None,
        learning_rate=run.learning_rate if trained else None,
        num_refs=run.num_refs if trained and run.algorithm in COMPARED else None,
        candidates=candidates,
        chosen=chosen,
        selection=_selection(chosen),
        reward=reported("pass_fraction"),
        pass_at_1=reported("pass_at_1"),
        pass_at_k=reported(f"pass_at_{pass_k}") if pass_k > 1 else None,
        pass_k=pass_k,
        kl=float(np.mean(divergences)) if divergences else None,
    )


def _selection(candidate: Sequence[Checkpoint]) -> float:
    return float(np.mean([step.selection.pass_fraction for _, step in candidate]))


def _student(values: NDArray[np.float64]) -> Interval:
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return Interval(float(values.mean() - half), float(values.mean() + half))


def _welch_low(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Lower end of the interval of the difference of means."""
    parts = np.array([values.var(ddof=1) / len(values) for values in (one, other)])
    difference = float(one.mean() - other.mean())
    if not parts.any():
        return difference
    freedom = parts.sum() ** 2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (one, other), strict=True)
    )
    return difference - float(stats.t.ppf(0.975, freedom) * parts.sum() ** 0.5)
