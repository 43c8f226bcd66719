"""Figures of a study, as files of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from qrpo.contenders import Contender
from qrpo.method_plots import estimates, panels
from qrpo.plots import GAIN, LOSS, MUTED, STYLE, standalone, svg
from qrpo.problems import Split

_PANELS: dict[tuple[Split, str], str] = {
    ("train", "pass_fraction"): "Reward, training",
    ("heldout", "pass_fraction"): "Reward, held out",
    ("train", "pass_at_1"): "pass@1, training",
    ("heldout", "pass_at_1"): "pass@1, held out",
}
_CURVES = (("logratio_pass", GAIN, "-", "completions that pass"), ("logratio_fail", LOSS, "--", "that fail"))
_PARTS = 4


def gains(found: Sequence[Contender]) -> str:
    """A line for each method: thin over problems, thick over seeds; problem by problem beside the initial model."""
    initial, *methods = found
    with style.context(STYLE):
        figure = Figure(figsize=(9.6, 0.36 * len(methods) + 1.6))
        axes = figure.subplots(1, len(_PANELS), sharey=True).tolist()
        for panel, (key, title) in zip(axes, _PANELS.items(), strict=True):
            known = [gain for item in methods if (gain := item.outcomes[key].gain) is not None]
            heading = f"{title}\ngain over {100 * initial.outcomes[key].level.mean:.1f}%, points"
            panel.axvline(0, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=0, label="initial model")
            estimates(panel, known, [False] * len(known), heading, seeds="training seeds", within=(-101, 101))
        limits = [panel.get_xlim() for panel in axes]
        for panel in axes:
            panel.set_xlim(min(low for low, _ in limits), max(high for _, high in limits))
        axes[0].set_yticks(range(len(methods)), [item.name for item in methods])
        axes[0].invert_yaxis()
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9)
        return standalone(svg(figure, "gains"))


def log_probabilities(found: Sequence[Contender]) -> str:
    """A panel per method: log-ratios of completions that pass and that fail; without reference, log-probabilities."""
    drawn = [item for item in found if item.runs]
    with style.context(STYLE):
        figure, axes = panels(len(drawn), share_x=True, share_y=False)
        for panel, item in zip(axes, drawn, strict=True):
            logs = [run.log() for run in item.runs]
            compared = any("logratio_pass" in line for log in logs for line in log)
            for column, colour, dashes, label in _CURVES:
                name = column if compared else column.replace("logratio", "logps")
                _curves(panel, [_points(log, name) for log in logs], colour, dashes, label)
            if compared:
                panel.axhline(0, color=MUTED, linewidth=0.8)
            panel.set(title=item.name, xlabel="step", ylabel="log-ratio, nats" if compared else "log-probability, nats")
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        lines = {
            label: handle for panel in axes for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        figure.legend(list(lines.values()), list(lines), loc="outside lower center", ncols=len(lines), fontsize=9)
        return standalone(svg(figure, "log-probabilities"))


def _points(log: Sequence[dict[str, float]], column: str) -> NDArray[np.float64]:
    """[points, 2]: steps that have the column, and its values."""
    return np.array([(line["step"], line[column]) for line in log if column in line], dtype=np.float64).reshape(-1, 2)


def _curves(axes: Axes, runs: Sequence[NDArray[np.float64]], colour: str, dashes: str, label: str) -> None:
    """Running means of each run, faint, and of all together."""
    for points in runs:
        axes.plot(*_running(points).T, dashes, color=colour, linewidth=1, alpha=0.3)
    together = np.concatenate(runs)
    if len(together):
        together = together[np.argsort(together[:, 0], kind="stable")]
        axes.plot(*_running(together).T, dashes, color=colour, linewidth=2, label=label)


def _running(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each step the mean over itself and the steps up to a quarter of all before it, [steps, 2]."""
    if not len(points):
        return points
    steps = np.unique(points[:, 0])
    width = max(1.0, points[:, 0].max() / _PARTS)
    inside = [(points[:, 0] <= step) & (points[:, 0] > step - width) for step in steps]
    return np.array([(step, points[mask, 1].mean()) for step, mask in zip(steps, inside, strict=True)])
