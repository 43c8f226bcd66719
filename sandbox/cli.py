"""The command line: `qrpo-sandbox run` and `judge`, and `app`, which has the commands of the other files, too.

`main` adds those of packages that this one cannot import: each names a function that takes the app, by an entry point.

Exit codes: 0 done (for `run`: verdict AC); 1 RE, a required guard is missing (`doctor`), or a program of the corpus did
what it must not (`selftest`); 2 bad input; 3 CE; 4 TLE; 5 MLE; 6 OLE; 7 the host failed (IE) or cannot sandbox; 130
interrupted.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from containers.runtime import ContainerError
from sandbox.checkup.cli import LevelOption, doctor, selftest
from sandbox.errors import (
    InfrastructureError,
    ProblemError,
    RecordError,
    RefusedError,
    UnsupportedHostError,
    UnsupportedLanguageError,
)
from sandbox.image_cli import image_app
from sandbox.judging_cli import (
    INTERRUPTED,
    Place,
    ServerOption,
    WorkersOption,
    check_place,
    judging_bar,
    opened_judge,
    told_of_interruption,
)
from sandbox.judging_file import JudgingFile, digest_of, partial_of
from sandbox.level import Level
from sandbox.limits import MIB, Limits
from sandbox.pool import Sandbox
from sandbox.records import ResultRecord, Submission, read_problems, read_submissions
from sandbox.result import RunResult
from sandbox.runtime_options import ImageOption, RuntimeOption, runtime_of
from sandbox.server.cli import serve
from sandbox.servers_cli import servers
from sandbox.verdict import Verdict
from sandbox.worker.languages import NAMES, check_known, language_of

BAD_INPUT, HOST_FAILED = 2, 7
EXIT_CODES = {
    Verdict.AC: 0,
    Verdict.RE: 1,
    Verdict.CE: 3,
    Verdict.TLE: 4,
    Verdict.MLE: 5,
    Verdict.OLE: 6,
    Verdict.IE: HOST_FAILED,
}
_DEFAULTS = Limits()
COMMANDS = "qrpo_sandbox.commands"
"""Group of entry points; see `main`."""

app = typer.Typer(
    help="Run and judge untrusted programs without root.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",  # paragraphs are fitted to the terminal
    pretty_exceptions_enable=False,  # an error of the user's is one line, one of ours an ordinary traceback
)


app.command()(serve)
app.command()(doctor)
app.command()(selftest)
app.command()(servers)
app.add_typer(image_app)


class Extract(StrEnum):
    """Which block of a completion is its program."""

    LAST = "last"
    FIRST = "first"


@app.callback()
def configure(
    *, verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what the sandbox does to stderr.")] = False
) -> None:
    """Run and judge untrusted programs without root."""
    _open_closed_streams()
    level = logging.DEBUG if verbose else logging.WARNING
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")


@app.command()
def run(  # noqa: PLR0913  # a command has the options it has
    file: Annotated[Path, typer.Argument(help="The program.", show_default=False)],
    *,
    cpu_s: Annotated[float, typer.Option(help="CPU time of the process tree, s.")] = _DEFAULTS.cpu_s,
    idle_s: Annotated[float, typer.Option(help="Wall time in which nothing runs, s.")] = _DEFAULTS.idle_s,
    memory_mib: Annotated[int, typer.Option(help="Memory of the tree and its files.")] = _DEFAULTS.memory_bytes // MIB,
    output_mib: Annotated[int, typer.Option(help="Output, each of the two.")] = _DEFAULTS.output_bytes // MIB,
    processes: Annotated[int, typer.Option(help="Processes and threads at a time.")] = _DEFAULTS.processes,
    language: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(NAMES)} (default: by FILE's suffix; Python where that says nothing)."),
    ] = None,
    level: LevelOption = Level.USERNS,
    runtime: RuntimeOption = None,
    image: ImageOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout instead.")] = False,
) -> None:
    """Run FILE on this command's stdin; its output passes through, the exit code says the verdict.

    0 AC, 1 RE, 3 CE, 4 TLE, 5 MLE, 6 OLE, 7 the host failed; 2 is bad input. The last line on stderr sums up.
    """
    try:
        limits = Limits(
            cpu_s=cpu_s,
            idle_s=idle_s,
            memory_bytes=memory_mib * MIB,
            output_bytes=output_mib * MIB,
            processes=processes,
        )
        language = language_of(file.suffix) if language is None else language
        check_known(language)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with reported_errors():
        code = _read_program(file)
        stdin = b"" if sys.stdin.isatty() else sys.stdin.buffer.read()
        with Sandbox(workers=1, level=level, runtime=runtime_of(runtime, image)) as box:
            result = box.run(code, stdin, limits, language)
    if as_json:
        typer.echo(json.dumps(_run_summary(result) | _decoded_output(result)))
    else:
        sys.stdout.buffer.write(result.stdout)
        sys.stdout.buffer.flush()
        sys.stderr.buffer.write(result.stderr)
        sys.stderr.buffer.flush()
        if result.stderr and not result.stderr.endswith(b"\n"):
            typer.echo(err=True)
        typer.echo(_summary_line(result), err=True)
    raise typer.Exit(EXIT_CODES[result.verdict])


@app.command()
def judge(  # noqa: PLR0913  # as above
    *,
    problems: Annotated[Path, typer.Option(help="Problems, one JSON object a line.", show_default=False)],
    submissions: Annotated[Path, typer.Option(help="Rows of `problem_id` and `code` or `completion`.")],
    out: Annotated[Path, typer.Option(help="Results, in the order of the submissions.", show_default=False)],
    workers: WorkersOption = None,
    extract: Annotated[Extract, typer.Option(help="Which block of a completion is its program.")] = Extract.LAST,
    level: LevelOption = Level.USERNS,
    runtime: RuntimeOption = None,
    image: ImageOption = None,
    server: ServerOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout instead of a table.")] = False,
) -> None:
    """Judge all submissions. Interrupted, the same command continues from OUT.partial."""
    started = time.monotonic()
    place = Place(server, workers, level, runtime, image)
    check_place(place)
    with reported_errors():
        if out.is_dir():
            raise typer.BadParameter(f"{out} is a folder; name a file", param_hint="--out")
        for target in (out, partial_of(out)):
            if any(target.exists() and target.samefile(source) for source in (problems, submissions)):
                raise typer.BadParameter(f"{target} would be overwritten, but it is an input", param_hint="--out")
        known = read_problems(problems)
        todo = list(read_submissions(submissions, known, extract.value))
        digest = digest_of(problems, submissions, extract.value)
        with JudgingFile(out, inputs=digest, total=len(todo)) as results:
            before = len(results.done)
            with told_of_interruption(results, len(todo)):
                _judge_rest(todo, results, place)
            results.finish()
            judged = [results.done[index] for index in range(len(todo))]
    wall_s = time.monotonic() - started
    if as_json:
        typer.echo(json.dumps(_judge_summary(judged, out) | {"resumed": before, "wall_s": round(wall_s, 3)}))
    else:
        _print_verdicts(judged, out, wall_s)


def _open_closed_streams() -> None:
    """Puts /dev/null where the caller has closed a standard stream (`<&-`).

    Otherwise the next file or socket would get its number, and be taken for it by every process that is started.
    """
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open()  # noqa: SIM115  # as long as the process
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115


@contextmanager
def reported_errors() -> Iterator[None]:
    """Turns the errors a user can cause or must know of into one line on stderr and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except (InfrastructureError, UnsupportedHostError, UnsupportedLanguageError, ContainerError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(HOST_FAILED) from None
    except (ProblemError, RecordError, RefusedError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(BAD_INPUT) from None
    except OSError as error:
        typer.echo(f"error: {error.filename or 'i/o'}: {error.strerror or error}", err=True)
        raise typer.Exit(BAD_INPUT) from None


def _read_program(file: Path) -> str:
    """The program's text.

    Raises:
        RecordError: it is not UTF-8.
        OSError: it cannot be read.
    """
    content = file.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RecordError(str(file), line, "", f"not UTF-8: {error.reason}") from None


def _run_summary(result: RunResult) -> dict[str, str | int | None]:
    """The facts of a run, in the order of the summary line."""
    return {
        "verdict": result.verdict.value,
        "exit_code": result.exit_code,
        "cpu_ms": round(result.cpu_s * 1000),
        "wall_ms": round(result.wall_s * 1000),
        "peak_memory_bytes": result.peak_memory_bytes,
        "level": result.enforcement,
        "message": result.message,
    }


def _summary_line(result: RunResult) -> str:
    """The facts of a run as `name=value` on one line; the message, which may have many, comes last and is cut."""
    facts = _run_summary(result)
    message = " ".join(str(facts.pop("message")).split())
    line = " ".join(f"{name}={value}" for name, value in facts.items() if value is not None)
    return f"{line} message={message[:200]!r}" if message else line


def _decoded_output(result: RunResult) -> dict[str, str]:
    """The program's output as text; bytes that are not UTF-8 become the replacement character."""
    return {"stdout": result.stdout.decode(errors="replace"), "stderr": result.stderr.decode(errors="replace")}


def _judge_rest(todo: list[Submission], results: JudgingFile, place: Place) -> None:
    """Judges what has no result yet, under a progress bar on stderr."""
    rest = [index for index in range(len(todo)) if index not in results.done]
    if not rest:
        return
    with opened_judge(place) as box, judging_bar() as progress:
        task = progress.add_task("judging", total=len(todo), completed=len(results.done))
        for number, result in box.judge_as_completed((todo[index].problem, todo[index].code) for index in rest):
            index = rest[number]
            results.add(index, ResultRecord.from_result(todo[index], result))
            progress.advance(task)


def _judge_summary(judged: list[ResultRecord], out: Path) -> dict[str, object]:
    """Counts of verdicts and the mean fraction of tests passed, null for no submissions."""
    counts = Counter(result.verdict for result in judged)
    return {
        "out": str(out),
        "submissions": len(judged),
        "verdicts": {verdict.value: counts[verdict] for verdict in Verdict if counts[verdict]},
        "mean_pass_rate": sum(result.pass_rate for result in judged) / len(judged) if judged else None,
    }


def _print_verdicts(judged: list[ResultRecord], out: Path, wall_s: float) -> None:
    """The table at the end of `judge`."""
    counts = Counter(result.verdict for result in judged)
    table = Table("verdict", "submissions", "share")
    for verdict, count in counts.most_common():
        table.add_row(verdict.value, str(count), f"{count / len(judged):.1%}")
    console = Console()
    console.print(table)
    rate = sum(result.pass_rate for result in judged) / len(judged) if judged else 0.0
    console.print(Text(f"{len(judged)} submissions in {wall_s:.1f} s, mean pass rate {rate:.3f}; results in {out}"))


def main() -> None:
    """The command `qrpo-sandbox`, whole."""
    for entry in entry_points(group=COMMANDS):
        entry.load()(app)
    app()


if __name__ == "__main__":
    app()
