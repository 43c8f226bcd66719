"""When what ran, as a drawing: a lane for as many runs as there were at a time, so that a thousand have room."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from markupsafe import Markup, escape

from slurm.experiments.status_table import duration
from slurm.experiments.usage import Outcome, Run

_WIDTH, _LEFT, _RIGHT, _TOP, _GAP = 1000.0, 120.0, 10.0, 26.0, 12.0
_LANES = 420.0
"""Height of all lanes together, where that leaves each as much as it needs."""
_THINNEST, _THICKEST = 2.0, 14.0
_TICKS = 8
_STEPS_S = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 7 * 86400)
COLOURS = {
    Outcome.SUCCEEDED: "#4ba36b",
    Outcome.FAILED: "#c8102e",
    Outcome.REQUEUED: "#d99a1c",
    Outcome.CANCELLED: "#8b95a1",
    Outcome.RUNNING: "#2f74d0",
    Outcome.LOST: "#7a3fa0",
}


class _Placed(NamedTuple):
    run: Run
    lane: int


def timeline(runs: Sequence[Run], stages: Sequence[str]) -> Markup:
    """An SVG element; empty where nothing has run.

    Args:
        runs: by their start.
        stages: in the order in which they are shown.
    """
    if not runs:
        return Markup("")
    start, end = runs[0].start, max(run.end for run in runs)
    span = max(end - start, 1.0)
    placed = {stage: _lanes([run for run in runs if run.task.stage == stage]) for stage in stages}
    placed = {stage: found for stage, found in placed.items() if found}
    counts = {stage: max(item.lane for item in found) + 1 for stage, found in placed.items()}
    thick = min(_THICKEST, max(_THINNEST, _LANES / sum(counts.values())))
    scale = (_WIDTH - _LEFT - _RIGHT) / span
    parts: list[Markup] = []
    top = _TOP
    for stage, found in placed.items():
        height = counts[stage] * thick
        parts.append(_label(stage, len(found), top, height))
        for run, lane in found:
            parts.append(_bar(run, _LEFT + (run.start - start) * scale, top + lane * thick, scale, thick))
        top += max(height, 16.0) + _GAP
    ticks = _ticks(start, span, scale, top)
    body = Markup("").join([*ticks, *parts])
    return Markup('<svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="When what ran">{}</svg>').format(
        _WIDTH, top, body
    )


def _lanes(runs: Sequence[Run]) -> list[_Placed]:
    """Each run in the first lane that is free when it starts."""
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    found = []
    for run in runs:
        while busy and busy[0][0] <= run.start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (run.end, lane))
        found.append(_Placed(run, lane))
    return found


def _label(stage: str, runs: int, top: float, height: float) -> Markup:
    shown = stage if len(stage) <= 16 else f"{stage[:15]}…"
    return Markup(
        '<text x="0" y="{:.1f}"><title>{}</title>{} <tspan class="muted">{}</tspan></text>'
        '<line x1="{:.0f}" x2="{:.0f}" y1="{y:.1f}" y2="{y:.1f}" class="rule"/>'
    ).format(top + 11, stage, shown, runs, 0, _WIDTH, y=top + max(height, 16.0) + _GAP / 2)


def _bar(run: Run, x: float, y: float, scale: float, thick: float) -> Markup:
    again = f", attempt {run.attempt}" if run.attempt > 1 else ""
    title = f"{run.task.id}: {run.outcome} after {duration(run.end - run.start)} on {run.host}, job {run.job}{again}"
    return Markup(
        '<rect x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}" fill="{}"><title>{}</title></rect>'
    ).format(x, y, max(1.0, (run.end - run.start) * scale), thick * 0.86, COLOURS[run.outcome], title)


def _ticks(start: float, span: float, scale: float, bottom: float) -> list[Markup]:
    step = next((step for step in _STEPS_S if span / step <= _TICKS), 7 * 86400 * math.ceil(span / _TICKS / 7 / 86400))
    form = "%H:%M:%S" if step < 60 else "%H:%M" if span < 86400 else "%d %b %H:%M"
    found = []
    at = math.ceil(start / step) * step
    while at <= start + span:
        x = _LEFT + (at - start) * scale
        words = datetime.fromtimestamp(at, UTC).strftime(form)
        found.append(
            Markup(
                '<line x1="{x:.1f}" x2="{x:.1f}" y1="{:.0f}" y2="{:.0f}" class="tick"/>'
                '<text x="{x:.1f}" y="12" text-anchor="middle" class="muted">{}</text>'
            ).format(_TOP - 8, bottom, escape(words), x=min(x, _WIDTH - 24))
        )
        at += step
    return found
