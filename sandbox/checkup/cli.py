"""The commands `qrpo-sandbox doctor` and `qrpo-sandbox selftest`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from containers.runtime import ContainerError
from sandbox.checkup.corpus import Program, load
from sandbox.checkup.doctor_text import show
from sandbox.checkup.guards import GUARDS
from sandbox.checkup.selftest import Report
from sandbox.checkup.selftest import selftest as run_programs
from sandbox.checkup.site import Request, examine_site
from sandbox.errors import InfrastructureError, RecordError, UnsupportedHostError
from sandbox.level import Level
from sandbox.runtime_options import ImageOption, RuntimeOption, runtime_of

_BAD_INPUT, _HOST_FAILED, _INTERRUPTED = 2, 7, 130
LevelOption = Annotated[
    Level, typer.Option(help="What must hold: userns, or landlock where user namespaces are forbidden.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout instead of tables.")]


def doctor(
    *,
    level: LevelOption = Level.USERNS,
    runtime: RuntimeOption = None,
    image: ImageOption = None,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Where servers of many nodes are to be found (default: those of a fleet)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what this machine and site allow, what is missing and what to do; exit code 1 if a required part is missing.

    A gap is what the sandbox works without.
    """
    try:
        report = examine_site(Request(level=level, runtime=runtime, image=image, folder=folder))
    except ContainerError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(_HOST_FAILED) from None
    if as_json:
        checks = [asdict(check) for check in report.checks]
        typer.echo(json.dumps({"level": report.level, "ok": not report.missing, "checks": checks}))
    else:
        show(report, Console())
    raise typer.Exit(1 if report.missing else 0)


def selftest(
    *,
    level: LevelOption = Level.USERNS,
    runtime: RuntimeOption = None,
    image: ImageOption = None,
    only: Annotated[str, typer.Option(help="Those whose GROUP/NAME has this text, or whose guard it is.")] = "",
    list_them: Annotated[bool, typer.Option("--list", help="Say what each program tries, and run none.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the corpus of hostile and of honest programs on this machine; exit code 1 if one does what it must not."""
    try:
        programs = [program for program in load() if only in program.name or only == program.guard]
    except RecordError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(_BAD_INPUT) from None
    if not programs:
        typer.echo(f"error: no program has {only!r} in its name, and no guard is called so", err=True)
        raise typer.Exit(_BAD_INPUT)
    if list_them:
        _list(programs, as_json=as_json)
        return
    columns = (TextColumn("programs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("", total=sum(program.runs_at(level) for program in programs))
            place = runtime_of(runtime, image)
            report = run_programs(programs, place, level, lambda: progress.advance(task))
    except (UnsupportedHostError, InfrastructureError, ContainerError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(_HOST_FAILED) from None
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    if as_json:
        typer.echo(json.dumps(_summary(report)))
    else:
        _print_report(report)
    raise typer.Exit(1 if report.failures else 0)


def _list(programs: list[Program], *, as_json: bool) -> None:
    rows = [
        {
            "name": program.name,
            "kind": "hostile" if program.is_hostile else "honest",
            "guard": program.guard,
            "expect": "/".join(sorted(verdict.value for verdict in program.expect)),
            "why": program.why,
        }
        for program in programs
    ]
    console = Console()
    if as_json:
        typer.echo(json.dumps(rows))
    elif console.is_terminal:
        table = Table("program", "", "guard", "verdict", "what it tries")
        for row in rows:
            table.add_row(*map(Text, row.values()))
        console.print(table)
    else:  # a line for each, whole, for whoever searches in them
        for row in rows:
            typer.echo("\t".join(row.values()))


def _summary(report: Report) -> dict[str, object]:
    return {
        "hostile": report.hostile,
        "honest": report.honest,
        "failed": [
            {"name": failure.program.name, "guard": failure.program.guard, "why": failure.why}
            for failure in report.failures
        ],
        "level": report.level.value,
        "left_out": report.left_out,
        "guards": report.guards,
    }


def _print_report(report: Report) -> None:
    console = Console()
    failed: dict[str, int] = {}
    for failure in report.failures:
        failed[failure.program.guard] = failed.get(failure.program.guard, 0) + 1
    table = Table(
        "guard", "programs", "held", "what it is for", title=f"enforcement: {report.level}", title_justify="left"
    )
    for name, guard in GUARDS.items():
        if name in report.guards:
            held = Text("no", style="bold red") if name in failed else Text("yes", style="green")
            table.add_row(name, str(report.guards[name]), held, Text(guard.meaning))
    console.print(table)
    for failure in report.failures:
        console.print(Text(f"{failure.program.name} ({failure.program.guard}): {failure.why}"))
        console.print(Text(f"  {failure.program.why}"))
    left_out = f", {report.left_out} left out that have no point at this level" if report.left_out else ""
    style = "bold red" if report.failures else "green"
    console.print(
        Text(
            f"{report.hostile} hostile and {report.honest} honest programs{left_out}; {len(report.failures)} failed",
            style,
        )
    )
