"""A report as Markdown, as data, and as one page that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import jinja2

from slurm.experiments.folder import write_atomically
from slurm.experiments.preflight import size
from slurm.experiments.report import Report, StageReport
from slurm.experiments.results import TaskResult
from slurm.experiments.selection import shortened
from slurm.experiments.state import Kind
from slurm.experiments.status_table import as_data, duration, harmless
from slurm.experiments.timeline import COLOURS, timeline
from slurm.experiments.usage import Usage

_HEADINGS = (
    "stage",
    "tasks",
    "succeeded",
    "runs",
    "requeued",
    "queued, median",
    "longest",
    "ran, median",
    "node-hours",
    "core-hours",
    "GPU-hours",
    "wasted node-hours",
)
_SHOWN_RESULTS = 40
"""Tasks in the Markdown; results.json has all."""


def write_report(folder: Path, report: Report, results: Sequence[TaskResult]) -> None:
    """report.html, report.md, report.json and results.json."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "report.html", as_page(report, results))
    write_atomically(folder / "report.md", as_markdown(report, results) + "\n")
    write_atomically(folder / "report.json", json.dumps(report_data(report), indent=1) + "\n")
    write_atomically(folder / "results.json", json.dumps(results, indent=1) + "\n")


def report_data(report: Report) -> dict[str, object]:
    """All but the results."""
    return {
        **as_data(report.standing),
        "made": report.made,
        "usage": {stage.name: asdict(stage) for stage in (*report.stages, report.total)},
        "hosts": {host: asdict(used) for host, used in report.hosts},
        "earlier_failures": [asdict(failure) for failure in report.earlier],
        "runs": [
            {
                "id": run.task.id,
                "attempt": run.attempt,
                "job": run.job,
                "host": run.host,
                "queued_s": run.queued_s,
                "start": run.start,
                "end": run.end,
                "outcome": str(run.outcome),
            }
            for run in report.runs
        ],
    }


def as_markdown(report: Report, results: Sequence[TaskResult]) -> str:
    """For a terminal, or an issue."""
    parts = [f"# {report.standing.experiment.manifest.name}", headline(report), *report.standing.notes]
    parts += ["## Stages", _table(_HEADINGS, [cells(stage) for stage in (*report.stages, report.total)])]
    if report.failures:
        parts += ["## Failures"]
        rows = []
        for group in report.failures:
            ids = shortened([state.task.id for state in group.states])
            rows.append([group.first.task.stage, str(len(group.states)), group.what, ids])
        parts.append(_table(("stage", "tasks", "why", "which"), rows))
    if report.earlier:
        rows = [[item.task_id, str(item.attempt), item.job, item.why] for item in report.earlier[:_SHOWN_RESULTS]]
        parts += [f"## Attempts that others have followed: {len(report.earlier)}"]
        parts.append(_table(("task", "attempt", "job", "why"), rows))
    parts += ["## Results", _table(("task", "output", "size", "SHA-256"), _result_rows(results[:_SHOWN_RESULTS]))]
    if len(results) > _SHOWN_RESULTS:
        parts.append(f"and {len(results) - _SHOWN_RESULTS} tasks more: `report --out DIR` writes all to results.json")
    return "\n\n".join(parts)


def as_page(report: Report, results: Sequence[TaskResult]) -> str:
    """The page. All that comes from descriptions and logs is escaped, and the page forbids scripts besides."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(size=size, duration=duration, moment=moment, hours=hours)
    text = resources.files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8")
    standing = report.standing
    return environment.from_string(text).render(
        report=report,
        results=results,
        manifest=standing.experiment.manifest,
        folder=standing.experiment.folder.path,
        states=standing.states,
        counts={str(kind): sum(state.kind is kind for state in standing.states) for kind in Kind},
        headline=headline(report),
        headings=_HEADINGS,
        rows=[cells(stage) for stage in (*report.stages, report.total)],
        shortened=shortened,
        timeline=timeline(report.runs, [stage.name for stage in report.stages]),
        colours={
            outcome: colour for outcome, colour in COLOURS.items() if any(r.outcome is outcome for r in report.runs)
        },
    )


def headline(report: Report) -> str:
    """What matters most, in a sentence or two."""
    total, states = report.total, report.standing.states
    succeeded = sum(state.kind is Kind.SUCCEEDED for state in states)
    words = f"{succeeded} of {len(states)} tasks have succeeded"
    if total.start is None or total.end is None:
        return f"{words}; none has run yet."
    gpu = f", {hours(total.used.gpu_hours)} GPU-hours" if total.used.gpu_hours else ""
    lost = f"; {hours(total.wasted.node_hours)} node-hours came to nothing" if total.wasted.runs else ""
    return (
        f"{words}; {total.used.runs} runs from {moment(total.start)} to {moment(total.end)}, "
        f"{hours(total.used.node_hours)} node-hours{gpu}{lost}."
    )


def cells(stage: StageReport) -> list[str]:
    """A row of the table of stages."""
    return [
        stage.name,
        str(stage.tasks),
        str(stage.succeeded),
        str(stage.used.runs),
        str(stage.requeues),
        duration(stage.queued_median_s),
        duration(stage.queued_longest_s),
        duration(stage.ran_median_s),
        *_usage(stage.used),
        hours(stage.wasted.node_hours),
    ]


def moment(time: float) -> str:
    """In UTC."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def hours(amount: float | None) -> str:
    """With as many digits as matter."""
    if amount is None:
        return "?"
    if amount == 0:
        return "0"
    return f"{amount:.0f}" if amount >= 100 else f"{amount:.1f}" if amount >= 1 else f"{amount:.3f}"


def _usage(used: Usage) -> list[str]:
    return [hours(used.node_hours), hours(used.core_hours), hours(used.gpu_hours)]


def _result_rows(results: Sequence[TaskResult]) -> list[list[str]]:
    rows = []
    for result in results:
        outputs = [[item["path"], size(item["bytes"]), item["sha256"] or ""] for item in result["outputs"]]
        nothing = [["none" if result["succeeded"] else "has not succeeded", "", ""]]
        rows += [[result["id"], *cells] for cells in outputs or nothing]
    return rows


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    escaped = [[harmless(cell.replace("|", "\\|").replace("\n", " ")) for cell in row] for row in rows]
    lines = [headings, ["---"] * len(headings), *escaped]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)
