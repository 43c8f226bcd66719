"""Figures of what was collected, as SVG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from qrpo.comparison import length_bias
from qrpo.methods import INITIAL, Estimate, Method, seeds_of
from qrpo.plots import AFTER, BEFORE, GAIN, INK, LOSS, MUTED, STYLE, svg, verdict_bars

_COLUMNS = 3
_BINS = 8
_LOG_RATIOS = {"passed": ("logratio_pass", GAIN, "-"), "failed": ("logratio_fail", LOSS, "--")}


def rewards_by_method(found: Sequence[Method], names: Sequence[str]) -> str:
    """Rewards, pass@1 and pass@K on the reporting half: a thin line over problems, a thick one over seeds."""
    with style.context(STYLE):
        figure = Figure(figsize=(9.6, 0.5 * len(found) + 1.3))
        shown = {
            "Fraction of tests passed, %": [method.reward for method in found],
            "pass@1, %": [method.pass_at_1 for method in found],
        }
        if at_k := [method.pass_at_k for method in found if method.pass_at_k is not None]:
            shown[f"pass@{found[0].pass_k}, %"] = at_k
        axes = figure.subplots(1, len(shown), sharey=True).tolist()
        for panel, (title, shares) in zip(axes, shown.items(), strict=True):
            estimates(panel, shares, [method.name == INITIAL for method in found], title, seeds=seeds_of(found))
        axes[0].set_yticks(range(len(found)), names)
        axes[0].invert_yaxis()
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9)
        return svg(figure, "rewards by method")


def log_ratios(found: Sequence[Method], names: Sequence[str]) -> str:
    """Mean log-ratios of completions that passed and that failed, over training; a line per replicate."""
    drawn = [
        (name, [run.log() for run, _ in method.chosen])
        for name, method in zip(names, found, strict=True)
        if method.name != INITIAL
    ]
    drawn = [(name, logs) for name, logs in drawn if any("logratio_fail" in row for log in logs for row in log)]
    with style.context(STYLE):
        figure, drawings = panels(len(drawn), share_x=False)
        lines: dict[str, Line2D] = {}
        for axes, (name, logs) in zip(drawings, drawn, strict=True):
            for log in logs:
                for label, (column, colour, dashes) in _LOG_RATIOS.items():
                    points = [(row["step"], row[column]) for row in log if column in row]
                    if points:
                        steps, values = _smooth(np.array(points, dtype=np.float64))
                        line = axes.plot(steps, values, dashes, color=colour, linewidth=1.6, alpha=0.75)
                        lines[label] = line[0]
            axes.axhline(0, color=MUTED, linewidth=0.8)
            axes.set(title=name, xlabel="step")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if drawn:
            for left in drawings[::_COLUMNS]:
                left.set_ylabel("log-ratio, nats")
            handles, labels = list(lines.values()), [f"completions that {name}" for name in lines]
            figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9)
        return svg(figure, "log-ratios")


def length_biases(found: Sequence[Method], names: Sequence[str]) -> str:
    """Reward over length of the completions of held-out problems, with Spearman's correlations."""
    with style.context(STYLE):
        figure, drawings = panels(len(found), share_x=True)
        for axes, name, method in zip(drawings, names, found, strict=True):
            rollouts = [rollout for run, step in method.chosen for rollout in run.rollouts(step)]
            tokens = np.array([len(item.token_ids) for rollout in rollouts for item in rollout.completions])
            rewards = np.array([value for rollout in rollouts for value in rollout.rewards])
            shade = min(0.5, 120 / len(tokens))
            axes.scatter(tokens, rewards, s=9, color=AFTER, alpha=shade, linewidths=0, rasterized=True)
            # Bins of about as many completions, and each length in one only.
            edges = np.unique(np.quantile(tokens, np.linspace(0, 1, _BINS + 1)))
            places = np.searchsorted(edges[1:-1], tokens, side="right")
            bins = [places == place for place in np.unique(places)]
            axes.plot(
                [tokens[part].mean() for part in bins],
                [rewards[part].mean() for part in bins],
                color=INK,
                marker="o",
                markersize=3.5,
                linewidth=1.6,
            )
            bias = length_bias(rollouts)
            rho = f"ρ {_signed(bias.pooled)}, within problems {_signed(bias.within)}"
            axes.set(title=name, xlabel=f"tokens; {rho}", ylim=(-0.05, 1.05))
        for left in drawings[::_COLUMNS]:
            left.set_ylabel("reward")
        return svg(figure, "length bias")


def verdict_mix(found: Sequence[Method], names: Sequence[str]) -> str:
    """Shares of verdicts of the completions of held-out problems."""
    counts = {
        name: Counter(
            verdict for run, step in method.chosen for rollout in run.rollouts(step) for verdict in rollout.verdicts
        )
        for name, method in zip(names, found, strict=True)
    }
    return verdict_bars(counts)


def estimates(
    axes: Axes,
    known: Sequence[Estimate],
    initial: Sequence[bool],
    title: str,
    *,
    seeds: str,
    within: tuple[float, float] = (-1, 101),
) -> None:
    """One below the other, in percent: points, a thin line over problems, a thick one over seeds.

    Args:
        axes: what is drawn in.
        known: from the top.
        initial: which of them are of models that did not train.
        title: of the panel.
        seeds: what the seeds are, for the legend.
        within: limits of the values, percent; two replicates can give an interval that exceeds them.
    """
    for row, (one, untrained) in enumerate(zip(known, initial, strict=True)):
        colour = BEFORE if untrained else AFTER
        first = row == len(known) - 1
        low, high = (100 * value for value in one.over_problems)
        axes.plot([low, high], [row, row], color=colour, linewidth=1.4, label="95% over problems" if first else "")
        if one.over_seeds is not None:
            low, high = (100 * value for value in one.over_seeds)
            label = f"95% over {seeds}" if first else ""
            axes.plot([low, high], [row, row], color=colour, linewidth=6, alpha=0.3, label=label, solid_capstyle="butt")
            axes.scatter(100 * one.by_run, [row] * len(one.by_run), s=14, color=colour, alpha=0.6, linewidths=0)
        axes.scatter([100 * one.mean], [row], s=42, color=colour, zorder=4, label="mean" if first else "")
    low, high = axes.get_xlim()
    axes.set(title=title, xlim=(max(low, within[0]), min(high, within[1])), ylim=(-0.6, len(known) - 0.4))
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0, labelcolor=INK)


def panels(count: int, *, share_x: bool, share_y: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels, at most three in a row."""
    columns = min(_COLUMNS, max(1, count))
    rows = max(1, -(-count // columns))
    figure = Figure(figsize=(9.6, 2.7 * rows), dpi=200)  # of what is rasterized: ten thousands of points
    axes = figure.subplots(rows, columns, sharex=share_x, sharey=share_y, squeeze=False).ravel().tolist()
    for used in axes[:count]:
        used.tick_params(labelbottom=True)
    for unused in axes[count:]:
        unused.set_axis_off()
    return figure, axes[:count]


def _smooth(points: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[list[float], list[float]]:
    """Means of up to 40 stretches of equal length."""
    parts = np.array_split(points, min(40, len(points)))
    return [part[:, 0].mean() for part in parts], [part[:, 1].mean() for part in parts]


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")
