"""The report's plots, as SVG for an HTML page."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#1f2933"
MUTED = "#7b8794"
GRID = "#e4e7eb"
BEFORE = "#9aa5b1"
AFTER = "#2563eb"
# Told apart whatever the eye's cones are. Source: M. Okabe and K. Ito, "Color Universal Design", darkened where text
# or thin lines have them on white.
GAIN = "#007f5f"
LOSS = "#d55e00"
SERIES = ("#0072b2", "#d55e00", "#007f5f", "#b5558f")
"""Of lines that are methods."""
VERDICT_COLOURS = {
    "AC": "#007f5f",
    "WA": "#e69f00",
    "RE": "#d55e00",
    "CE": "#b5558f",
    "TLE": "#56b4e9",
    "MLE": "#0072b2",
    "OLE": "#f0e442",
    "NO_CODE": "#7b8794",
}
_DARK_TEXT = ("WA", "TLE", "OLE")
"""Verdicts whose colours are too light for white text."""
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: sharp, selectable, in the page's own font
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


class Pair(NamedTuple):
    """A problem's mean reward before and after."""

    problem_id: str
    before: float
    after: float


def per_problem(pairs: Sequence[Pair], title: str) -> str:
    """A line per problem from its reward before to that after, in order of the reward before."""
    ordered = sorted(pairs, key=lambda pair: (pair.before, pair.after))
    places = np.arange(len(ordered))
    before = np.array([pair.before for pair in ordered])
    after = np.array([pair.after for pair in ordered])
    with style.context(STYLE):
        figure = Figure(figsize=(9.6, 2.9))
        axes = figure.subplots()
        colours = np.where(after > before, GAIN, LOSS)
        axes.vlines(places, before, after, colors=list(colours), linewidth=2.2, alpha=0.55)
        axes.scatter(places, before, s=16, color=BEFORE, label="before", zorder=3)
        axes.scatter(places, after, s=20, color=AFTER, label="after", zorder=4)
        axes.set(title=title, ylabel="mean reward", ylim=(-0.04, 1.04), xlim=(-1, len(ordered)))
        up, down = int((after > before).sum()), int((after < before).sum())
        axes.set_xlabel(
            f"{len(ordered)} problems, by reward before: {up} better, {down} worse, {len(ordered) - up - down} equal"
        )
        axes.set_xticks([])
        axes.grid(visible=False, axis="x")
        axes.legend(loc="upper left", ncols=2)
        return svg(figure, title)


def histograms(rewards: Sequence[float], quantiles: Sequence[float]) -> str:
    """Rewards of the reference completions, and the quantiles that training regresses on."""
    with style.context(STYLE):
        figure = Figure(figsize=(9.6, 2.6))
        left, right = figure.subplots(1, 2)
        bins = np.linspace(0, 1, 21).tolist()
        _histogram(left, rewards, bins, "Rewards of the reference completions", "fraction of tests passed", AFTER)
        _histogram(right, quantiles, bins, "Their quantiles, as trained on", "quantile among the prompt's", "#0d9488")
        return svg(figure, "histograms")


def training_curves(log: Sequence[Mapping[str, float]]) -> str:
    """Loss, and mean log-ratios of completions that passed and that failed, over steps."""
    with style.context(STYLE):
        figure = Figure(figsize=(9.6, 2.9))
        left, right = figure.subplots(1, 2)
        _curve(left, log, "loss", AFTER, "loss")
        left.set(title="Loss", xlabel="step")
        left.set_ylim(bottom=0)
        _curve(right, log, "logratio_pass", GAIN, "passed all tests")
        _curve(right, log, "logratio_fail", LOSS, "failed")
        _curve(right, log, "target", MUTED, "mean target")
        right.axhline(0, color=MUTED, linewidth=0.8)
        right.set(title="Log-ratio to the reference, nats per completion", xlabel="step")
        if right.get_legend_handles_labels()[0]:
            figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=3, fontsize=9)
        return svg(figure, "curves")


def verdict_bars(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Shares of verdicts, one bar per set of completions.

    Args:
        counts: name of the bar to verdict to number; drawn from the top.
    """
    names = list(counts)
    present = [name for name in VERDICT_COLOURS if any(counts[bar].get(name) for bar in names)]
    with style.context(STYLE):
        figure = Figure(figsize=(9.6, 0.5 * len(names) + 1.0))
        axes = figure.subplots()
        left = np.zeros(len(names))
        totals = np.array([max(1, sum(counts[bar].values())) for bar in names])
        for verdict in present:
            share = np.array([counts[bar].get(verdict, 0) for bar in names]) / totals
            colour = VERDICT_COLOURS[verdict]
            axes.barh(names, share, left=left, color=colour, edgecolor="white", label=verdict, height=0.66)
            for row, width in enumerate(share):
                if width >= 0.035:
                    middle, ink = left[row] + width / 2, INK if verdict in _DARK_TEXT else "white"
                    axes.text(middle, row, f"{width:.0%}", ha="center", va="center", color=ink, fontsize=9)
            left += share
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xticks([])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=len(present), borderaxespad=0)
        return svg(figure, "verdicts")


def _histogram(axes: Axes, values: Sequence[float], bins: Sequence[float], title: str, label: str, colour: str) -> None:
    axes.hist(values, bins=list(bins), color=colour, rwidth=0.9)
    axes.set(title=title, xlabel=label, ylabel="completions", xlim=(0, 1))
    axes.grid(visible=False, axis="x")


def _curve(axes: Axes, log: Sequence[Mapping[str, float]], name: str, colour: str, label: str) -> None:
    """The values of each step, faint, and their running mean."""
    points = [(row["step"], row[name]) for row in log if name in row]
    if not points:
        return
    steps, values = np.array(points, dtype=np.float64).T
    width = max(1, len(values) // 12)
    # Each point is the mean of the last `width` values, and of fewer at the start.
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    axes.plot(steps, values, color=colour, alpha=0.25, linewidth=1)
    axes.plot(steps, (sums[ends] - sums[starts]) / (ends - starts), color=colour, linewidth=2, label=label)


def svg(figure: Figure, salt: str) -> str:
    """The drawing as an element to be put into a page."""
    buffer = io.StringIO()
    # Names inside a drawing are hashed with the salt: the same from run to run, and not the same as in the next one.
    with style.context({"svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    # Only the element itself, without the addresses in its metadata, and as wide as the page allows.
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    return re.sub(r'<svg (.*?)width="[\d.]+pt" height="[\d.]+pt"', r"<svg \1", text, count=1, flags=re.DOTALL)


def standalone(element: str) -> str:
    """A drawing of this module as a file of its own, on white."""
    return element.replace("<svg ", '<svg style="background: white; font-family: sans-serif" ', 1) + "\n"
