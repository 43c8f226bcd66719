"""The commands `status`, `logs` and `report`: they read an experiment, and change nothing of it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from slurm.errors import ExperimentError
from slurm.experiments.display import Display
from slurm.experiments.experiment import folder_of, opened
from slurm.experiments.logs import Log, follow, log_of, tail, write_tail
from slurm.experiments.options import DirOption, ExperimentArgument, JsonOption, TasksArgument, reported
from slurm.experiments.report import report_of
from slurm.experiments.report_files import as_markdown, report_data, write_report
from slurm.experiments.results import results_of
from slurm.experiments.selection import selected
from slurm.experiments.standing import Standing, look, pauses
from slurm.experiments.state import Kind, State
from slurm.experiments.status_table import Listing, Summary, as_data, state_data

_WIDE = 240
"""Columns of tables that go to a file, or to grep."""


def status(
    place: ExperimentArgument = None,
    *,
    is_watching: Annotated[bool, typer.Option("--watch", help="Until nothing waits or runs; Ctrl-C ends it.")] = False,
    stage: Annotated[str | None, typer.Option(help="A row for each task of this stage.", show_default=False)] = None,
    kind: Annotated[
        Kind | None, typer.Option("--state", help="A row for each task in this state.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how many tasks of each stage wait, run, have succeeded or failed, and why.

    Works without Slurm, too, from what jobs have written.
    """
    with reported():
        folder = folder_of(place)
        if is_watching:
            with Display(Console()) as display:
                for pause_s in pauses():
                    standing = look(opened(folder))
                    display.show(standing)
                    if not standing.is_live:
                        break
                    time.sleep(pause_s)
            return
        standing = look(opened(folder))
        rows = _rows(standing, stage, kind)
        if as_json:
            more = {} if rows is None else {"tasks": [state_data(state) for state in rows]}
            typer.echo(json.dumps(as_data(standing) | more))
        else:
            console = Console() if sys.stdout.isatty() else Console(width=_WIDE)
            if rows is None:
                Summary(standing).print_to(console)
            else:
                console.print(Listing(rows))


def logs(
    tasks: TasksArgument,
    *,
    folder: DirOption = None,
    attempt: Annotated[int | None, typer.Option(min=1, help="Which (default: the last).", show_default=False)] = None,
    lines: Annotated[int, typer.Option(min=0, help="From the end; 0: all.")] = 50,
    is_following: Annotated[bool, typer.Option("--follow", help="Go on until the job has ended, or Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print what tasks have printed."""
    with reported():
        experiment = opened(folder_of(folder))
        chosen = selected(experiment.all_tasks, tasks or ())
        if is_following and (len(chosen) > 1 or as_json):
            raise ExperimentError("--follow is for one task, and without --json")
        found = [log_of(experiment.folder, task, attempt) for task in chosen]
        if as_json:
            typer.echo(json.dumps([_log_data(log, lines) for log in found]))
            return
        for log in found:
            if len(found) > 1:
                typer.echo(f"==> {log.task.id} (attempt {log.number}, job {log.job}): {log.path} <==")
            if is_following:
                follow(log, lines, sys.stdout.buffer)
            else:
                write_tail(log.path, lines, sys.stdout.buffer)
                sys.stdout.buffer.flush()


def report(
    place: ExperimentArgument = None,
    *,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html, .md and .json, and results.json.", show_default=False)
    ] = None,
    has_hashes: Annotated[
        bool, typer.Option("--hashes/--no-hashes", help="Read all outputs, for their SHA-256; or only their sizes.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Say what ran, where, for how long and at what cost, what has failed, and what came out of it.

    Two runs of one experiment have the same results.json, however often their jobs were disturbed, where its commands
    give the same outputs.
    """
    with reported():
        standing = look(opened(folder_of(place)))
        results = results_of(standing, has_hashes=has_hashes)
        found = report_of(standing, time.time())
        if out is not None:
            write_report(out, found, results)
        if as_json:
            typer.echo(json.dumps(report_data(found) | {"results": results}))
        else:
            typer.echo(as_markdown(found, results))
        if out is not None:
            typer.echo(f"written: {out / 'report.html'}", err=True)


def _rows(standing: Standing, stage: str | None, kind: Kind | None) -> Sequence[State] | None:
    if stage is None and kind is None:
        return None
    stages = {state.task.stage for state in standing.states}
    if stage is not None and stage not in stages:
        raise ExperimentError(f"there is no stage {stage!r}; there are {', '.join(sorted(stages))}")
    return [
        state
        for state in standing.states
        if (stage is None or state.task.stage == stage) and (kind is None or state.kind is kind)
    ]


def _log_data(log: Log, lines: int) -> dict[str, object]:
    return {
        "id": log.task.id,
        "attempt": log.number,
        "job": log.job,
        "log": str(log.path),
        "text": tail(log.path, lines).decode(errors="replace"),
    }
