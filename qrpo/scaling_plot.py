"""The figure of rewards over the number of references, as SVG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from qrpo.finished_runs import model_name
from qrpo.methods import Method
from qrpo.plots import MUTED, SERIES, STYLE, svg
from qrpo.scaling import Scaling

_COLUMNS = 3


def rewards_by_references(lines: Sequence[Scaling], initial: Sequence[Method]) -> str:
    """Rewards on the reporting half, a panel for each beta: thin lines over problems, thick ones over training seeds.

    Args:
        lines: one at least.
        initial: the models that training began with, for comparison.
    """
    betas = sorted({line.beta for line in lines})
    kinds = sorted({(line.name, line.model) for line in lines})
    several = len({model for _, model in kinds}) > 1
    columns = min(_COLUMNS, len(betas))
    rows = -(-len(betas) // columns)
    with style.context(STYLE):
        figure = Figure(figsize=(max(4.8, 3.2 * columns), 2.9 * rows + 0.4))
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel().tolist()
        for axes, beta in zip(panels, betas, strict=False):
            for line in (line for line in lines if line.beta == beta):
                place = kinds.index((line.name, line.model))
                name = f"{line.name}, {model_name(line.model)}" if several else line.name
                _line(axes, line, place - (len(kinds) - 1) / 2, SERIES[place % len(SERIES)], name)
            for method in initial:
                name = f"{method.name}, {model_name(method.model)}" if several else method.name
                axes.axhline(100 * method.reward.mean, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label=name)
            axes.set(title=f"β = {beta:g}")
        for unused in panels[len(betas) :]:
            unused.set_axis_off()
        _axis(panels[: len(betas)], sorted({point.num_refs or 1 for line in lines for point in line.points}))
        for left in panels[::columns]:
            left.set_ylabel("Fraction of tests passed, %")
        panels[0].plot([], [], color=MUTED, linewidth=1.2, label="95% over problems")
        if any(point.reward.over_seeds is not None for line in lines for point in line.points):
            panels[0].plot([], [], color=MUTED, linewidth=6, alpha=0.3, label="95% over training seeds")
        labelled = {
            label: handle
            for axes in panels
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }  # fmt: skip
        figure.legend(
            list(labelled.values()), list(labelled), loc="outside lower center", ncols=2 * columns, fontsize=9
        )
        return svg(figure, "rewards by references")


def _line(axes: Axes, line: Scaling, shift: float, colour: str, name: str) -> None:
    # Beside each other, so that intervals at the same number can be told apart.
    places = np.array([point.num_refs or 1 for point in line.points]) * 1.06**shift
    rewards = [point.reward for point in line.points]
    for place, known in zip(places, rewards, strict=True):
        axes.plot([place, place], [100 * value for value in known.over_problems], color=colour, linewidth=1.2)
        if known.over_seeds is not None:
            ends = [100 * value for value in known.over_seeds]
            axes.plot([place, place], ends, color=colour, linewidth=6, alpha=0.3, solid_capstyle="butt")
    means = [100 * known.mean for known in rewards]
    axes.plot(places, means, color=colour, marker="o", markersize=5, linewidth=1.8, zorder=4, label=name)


def _axis(panels: Sequence[Axes], numbers: Sequence[int]) -> None:
    for axes in panels:
        axes.set_xscale("log")
        axes.set_xticks(numbers, [str(number) for number in numbers])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set(xlabel="number of references", xlim=(numbers[0] / 1.35, numbers[-1] * 1.35))
        axes.tick_params(labelbottom=True)
    low, high = panels[0].get_ylim()  # two training seeds can give an interval that exceeds what there is
    panels[0].set_ylim(max(low, -1), min(high, 101))
