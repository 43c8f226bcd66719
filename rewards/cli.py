"""The command `qrpo-sandbox eval`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sandbox.checkup.cli import JsonOption, LevelOption
from sandbox.cli import BAD_INPUT, HOST_FAILED, Extract, app, reported_errors
from sandbox.judging_cli import (
    Place,
    ServerOption,
    WorkersOption,
    check_place,
    judging_bar,
    opened_judge,
    told_of_interruption,
)
from sandbox.judging_file import JudgingFile
from sandbox.level import Level
from sandbox.records import ResultRecord, Submission
from sandbox.runtime_options import ImageOption, RuntimeOption

if TYPE_CHECKING:
    from rewards.evaluation.summary import Estimate, Group, Summary

RESULTS, METRICS, REPORT = "results.jsonl", "metrics.json", "report.html"


def add_to(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command("eval")(evaluate)


def evaluate(  # noqa: PLR0913  # a command has the options it has
    *,
    problems: Annotated[Path, typer.Option(help="A file of any format that `rewards` loads.", show_default=False)],
    samples: Annotated[
        Path, typer.Option(help="Rows of our own, of human-eval, EvalPlus or LiveCodeBench.", show_default=False)
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of what is written (default: SAMPLES.eval).")] = None,
    k: Annotated[str, typer.Option("--k", help="Which pass@k, separated by commas.")] = "1,5,10",
    workers: WorkersOption = None,
    extract: Annotated[Extract, typer.Option(help="Which block of a text is its program.")] = Extract.LAST,
    level: LevelOption = Level.USERNS,
    runtime: RuntimeOption = None,
    image: ImageOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge samples and report pass@k: OUT/results.jsonl, metrics.json, report.html. Interrupted, it continues.

    Exit code 7: the host failed some samples, which have no verdict and count nowhere; the same command tries them
    again.
    """
    started_s = time.monotonic()
    ks = _parsed_ks(k)
    place = Place(server, workers, level, runtime, image)
    check_place(place)
    if samples.is_dir():
        raise typer.BadParameter(f"{samples} is a folder; name a file", param_hint="--samples")
    folder = out if out is not None else samples.with_name(f"{samples.name}.eval")
    if folder.is_file():
        raise typer.BadParameter(f"{folder} is a file; name a folder", param_hint="--out")
    # Only here, so that other commands start as fast as before.
    from rewards.evaluation.judging import digest_of_samples
    from rewards.evaluation.report import Facts, as_data, render
    from rewards.evaluation.samples import read_samples
    from rewards.evaluation.summary import summarise
    from rewards.loading import load_problems

    with reported_errors():
        with _value_errors():
            entries = load_problems(problems)
            todo = read_samples(samples, entries, extract.value)
        folder.mkdir(parents=True, exist_ok=True)
        with JudgingFile(folder / RESULTS, inputs=digest_of_samples(todo), total=len(todo)) as file:
            before = len(file.done)
            results = _judged(todo, file, place)
            if len(file.done) == len(todo):
                file.finish()
        summary = summarise([entry.problem for entry in entries], results, ks)
        facts = Facts(problems.name, samples.name, results[0].enforcement)
        wall_s = time.monotonic() - started_s
        data = as_data(summary) | {"resumed": before, "wall_s": round(wall_s, 3)}
        _write(folder / METRICS, json.dumps(data, indent=1) + "\n")
        _write(folder / REPORT, render(summary, todo, facts))
    if as_json:
        typer.echo(json.dumps(data | {"report": str(folder / REPORT)}))
    else:
        _print(summary, ks, wall_s, folder / REPORT)
    if summary.host_failures:
        typer.echo(
            f"error: the host failed {summary.host_failures} of {len(todo)} samples; run the same command again to "
            "judge them",
            err=True,
        )
        raise typer.Exit(HOST_FAILED)


def _parsed_ks(text: str) -> list[int]:
    try:
        ks = sorted({int(part) for part in text.split(",")})
    except ValueError:
        ks = []
    if not ks or ks[0] < 1:
        raise typer.BadParameter(f"{text!r}: expected whole numbers from 1 on, such as 1,5,10", param_hint="--k")
    return ks


@contextmanager
def _value_errors() -> Iterator[None]:
    """Files whose names say that they are of no known kind, and data sets that need a package, as one line."""
    try:
        yield
    except (ValueError, ImportError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(BAD_INPUT) from None


def _judged(todo: list[Submission], file: JudgingFile, place: Place) -> list[ResultRecord]:
    """A result for each, under a progress bar on stderr."""
    from rewards.evaluation.judging import judge_samples

    if len(file.done) == len(todo):
        return [file.done[place] for place in range(len(todo))]
    with opened_judge(place) as judge, judging_bar() as bar, told_of_interruption(file, len(todo)):
        task = bar.add_task("judging", total=len(todo), completed=len(file.done))

        def count(failed: int) -> None:
            bar.update(task, advance=1, description=f"judging ({failed} failed by the host)" if failed else "judging")

        return judge_samples(judge, todo, file, count)


def _write(path: Path, text: str) -> None:
    """At once or not at all. Lone surrogates, which programs may hold and UTF-8 cannot, become escapes."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    temporary.replace(path)


def _print(summary: Summary, ks: list[int], wall_s: float, report: Path) -> None:
    """The tables at the end."""
    console = Console()
    console.print(_table(summary))
    if summary.failures:
        failures = Table("verdict", "samples", "problems", "message")
        for failure in summary.failures[:5]:
            failures.add_row(failure.verdict.value, str(failure.samples), str(failure.problems), Text(failure.message))
        console.print(failures)
    overall = summary.overall
    shown = {estimate.k for estimate in overall.pass_at}
    for missing in (k for k in ks if k not in shown):
        console.print(Text(f"pass@{missing} is left out: no problem has {missing} judged samples"))
    for estimate in overall.pass_at:
        if estimate.problems < overall.attempted:
            reason = f"is over the {estimate.problems} of {overall.attempted} problems with so many judged samples"
            console.print(Text(f"pass@{estimate.k} {reason}"))
    if summary.not_attempted:
        failed = ", ".join(f"pass@{it.k} {it.with_missing_as_failed:.1%}" for it in overall.pass_at)
        reason = f"{len(summary.not_attempted)} of {overall.problems} problems have no sample and no part in the above"
        console.print(Text(f"{reason}; counted as failed: {failed}"))
    counts = "  ".join(f"{verdict.value} {count}" for verdict, count in summary.verdicts.items())
    console.print(Text(f"{summary.samples} samples in {wall_s:.1f} s: {counts}"))
    console.print(Text(f"report: {report}"), soft_wrap=True)


def _table(summary: Summary) -> Table:
    """pass@k with intervals, of all problems and of each group."""
    shown = [estimate.k for estimate in summary.overall.pass_at]
    table = Table(summary.grouped_by or "", "problems", "solved", "samples", *(f"pass@{k}" for k in shown))
    for group in (*summary.groups, summary.overall):
        table.add_row(*_cells(group, shown), end_section=group in summary.groups[-1:])
    return table


def _cells(group: Group, ks: list[int]) -> list[Text]:
    of = {estimate.k: estimate for estimate in group.pass_at}
    counts = (f"{group.attempted} of {group.problems}", f"{group.solved}", f"{group.samples}")
    return [Text(group.name), *map(Text, counts), *(Text(_shown(of.get(k))) for k in ks)]


def _shown(estimate: Estimate | None) -> str:
    return "–" if estimate is None else f"{estimate.value:.1%} [{estimate.low:.1%}, {estimate.high:.1%}]"


if __name__ == "__main__":
    add_to(app)
    app()
