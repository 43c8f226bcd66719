"""The figure of rewards over the iterations of an online run, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from qrpo.plots import MUTED, SERIES, STYLE, svg
from qrpo.records import ScoredRollout
from rewards.bootstrap import bootstrap_interval

_RESAMPLINGS = 2_000


def rewards_over_iterations(
    policies: Mapping[str, Mapping[int, Sequence[ScoredRollout]]], references: Sequence[float]
) -> str:
    """Mean rewards of policies with their 95% intervals over problems, and of the reference of each iteration.

    Args:
        policies: a name for each line to the completions of the policy after so many iterations.
        references: mean rewards of the reference completions of iteration 1, 2, ...
    """
    with style.context(STYLE):
        figure = Figure(figsize=(9.6, 3.2))
        axes = figure.subplots()
        for number, (name, line) in enumerate(policies.items()):
            colour, marker = SERIES[number % len(SERIES)], "osD"[number % 3]
            places = np.array(sorted(line))
            means = [np.array([np.mean(item.rewards) for item in line[place]]) for place in places.tolist()]
            shift = 0.05 * (number - (len(policies) - 1) / 2)  # intervals beside each other
            for place, values in zip(places + shift, means, strict=True):
                ends = [100 * end for end in bootstrap_interval(values, resamplings=_RESAMPLINGS, seed=0)]
                axes.plot([place, place], ends, color=colour, linewidth=1.2)
            heights = [100 * float(np.mean(values)) for values in means]
            axes.plot(places + shift, heights, color=colour, marker=marker, markersize=5, linewidth=1.8, label=name)
        edges = np.arange(len(references) + 1)
        axes.stairs(
            [100 * value for value in references],
            edges,
            color=MUTED,
            linestyle=(0, (4, 3)),
            label="reference",
            baseline=None,
        )
        axes.plot([], [], color=MUTED, linewidth=1.2, label="95% over problems")
        axes.set(xlabel="iterations of training", ylabel="Mean reward, %")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(bottom=max(axes.get_ylim()[0], -1), top=min(axes.get_ylim()[1], 101))
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9)
        return svg(figure, "rewards over iterations")
