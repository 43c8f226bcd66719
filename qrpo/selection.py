"""Which checkpoint is best: chosen by its mean reward on one half of the held-out problems, reported on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qrpo.comparison import Metric, by_seed, compare, metrics
from qrpo.halves import Halves
from qrpo.records import ScoredRollout
from qrpo.results import HalfMeans, SelectionResult, StepResult


def select(
    steps: Mapping[int, Sequence[ScoredRollout]],
    kl: Mapping[int, Mapping[str, float]],
    halves: Halves,
    *,
    seeds: int,
    pass_k: int,
    resamplings: int,
    seed: int,
) -> SelectionResult:
    """Chooses and reports.

    Args:
        steps: completions of the held-out problems by step, judged; step 0 and one more at least.
        kl: to the reference, by step, without step 0.
        halves: of the same problems.
        seeds: sampling seeds in each rollout.
        pass_k: k of the second pass@k.
        resamplings: of the bootstrap.
        seed: of the bootstrap.
    """
    found = [
        StepResult(
            step=step,
            selection=_means(_of(rollouts, halves.selection), seeds),
            reporting=_means(_of(rollouts, halves.reporting), seeds),
            kl=dict(kl[step]) if step in kl else None,
        )
        for step, rollouts in sorted(steps.items())
    ]
    # The initial model is no candidate: a method that only does harm is to be seen as one. Of equals, the earliest.
    best = max((item for item in found if item.step > 0), key=lambda item: (item.selection.pass_fraction, -item.step))
    before, after = _of(steps[0], halves.reporting), _of(steps[best.step], halves.reporting)
    return SelectionResult(
        steps=found,
        best=best.step,
        problems=len(before),
        metrics={
            name: compare(
                by_seed(before, metric, seeds), by_seed(after, metric, seeds), resamplings=resamplings, seed=seed
            )
            for name, metric in metrics(pass_k).items()
        },
    )


def _of(rollouts: Sequence[ScoredRollout], ids: Sequence[str]) -> list[ScoredRollout]:
    by_id = {rollout.problem_id: rollout for rollout in rollouts}
    return [by_id[name] for name in ids]


def _means(rollouts: Sequence[ScoredRollout], seeds: int) -> HalfMeans:
    known = metrics(1)

    def mean(metric: Metric) -> float:
        return float(by_seed(rollouts, metric, seeds).mean())

    return HalfMeans(**{name: mean(known[name]) for name in HalfMeans.model_fields})
