"""What the commands that judge many submissions have in common: where they judge, their progress bar, interruption."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from containers.choice import RuntimeName
from sandbox.judging_file import JudgingFile
from sandbox.level import Level
from sandbox.pool import Sandbox
from sandbox.runtime_options import runtime_of

if TYPE_CHECKING:
    from sandbox.client import SandboxClient

INTERRUPTED = 130
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Programs at a time (default: one per CPU, if memory allows).")
]
ServerOption = Annotated[
    list[str] | None,
    typer.Option(help="Judge there: a URL (repeat for more), or a folder of endpoint files.", show_default=False),
]


class Place(NamedTuple):
    """Where submissions are judged: by servers, or by a sandbox of this process."""

    servers: list[str] | None
    workers: int | None
    level: Level
    runtime: RuntimeName | None
    image: str | None


def check_place(place: Place) -> None:
    """Raises BadParameter where servers are told what only a sandbox of this process can be."""
    if place.servers and place != Place(place.servers, None, Level.USERNS, None, None):
        raise typer.BadParameter(
            "it goes with none of --workers, --level, --runtime and --image: servers have theirs", param_hint="--server"
        )


def opened_judge(place: Place) -> Sandbox | SandboxClient:
    """What judges. Raises BadParameter where a URL is none."""
    servers = place.servers
    if not servers:
        return Sandbox(workers=place.workers, level=place.level, runtime=runtime_of(place.runtime, place.image))
    from sandbox.client import SandboxClient  # here, so that other commands start as fast without it

    try:
        return SandboxClient(servers[0] if len(servers) == 1 else servers)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--server") from None


def judging_bar() -> Progress:
    """On stderr; a task's description comes first."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


@contextmanager
def told_of_interruption(file: JudgingFile, total: int) -> Iterator[None]:
    """Ctrl-C says how to continue and ends the command."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(
            f"interrupted; {len(file.done)} of {total} results are in {file.partial}; "
            "run the same command again to continue",
            err=True,
        )
        raise typer.Exit(INTERRUPTED) from None


class _Rate(ProgressColumn):
    """Submissions judged per second."""

    def render(self, task: Task) -> Text:
        """The rate, blank until it can be known."""
        return Text(f"{task.speed:.1f}/s" if task.speed else "")
