"""Reward over the number of the reference's rewards that each completion is compared with.

Source: the paper's Figure 3. Every point is chosen like a line of the table (`qrpo.methods`), among the runs with its
beta and number of references.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qrpo.finished_runs import FinishedRun
from qrpo.methods import COMPARED, Method, best


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """A line of the figure: one algorithm, initial model and beta."""

    name: str
    model: str
    beta: float
    points: tuple[Method, ...]
    """By `num_refs`, which differ; two at least."""


def scaling(runs: Sequence[FinishedRun]) -> list[Scaling]:
    """Lines by beta, then algorithm and model; none where the number of references does not vary."""
    pass_k = min(run.pass_k for run in runs)
    lines: dict[tuple[float, str, str], dict[int, list[FinishedRun]]] = {}
    for run in runs:
        if run.algorithm in COMPARED:
            line = lines.setdefault((run.beta, run.algorithm, run.model), {})
            line.setdefault(run.num_refs, []).append(run)
    found = []
    for (beta, _, model), line in sorted(lines.items()):
        if len(line) > 1:
            points = tuple(best(mine, pass_k) for _, mine in sorted(line.items()))
            found.append(Scaling(name=points[0].name, model=model, beta=beta, points=points))
    return found
