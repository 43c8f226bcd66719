"""The commands `qrpo-sandbox fleet`: servers as Slurm jobs.

Exit codes: 0 done; 1 not all servers became ready (`up --wait`); 2 bad input, or Slurm said no; 130 interrupted.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from slurm.commands import own_command
from slurm.errors import FleetError, NotReadyError
from slurm.fleet import Say, bring_down, bring_up, status_of, wait_for
from slurm.folder import Folder, default_path
from slurm.status_report import as_data, print_status
from slurm.submission import Needs

_NOT_READY, _BAD_INPUT, _INTERRUPTED = 1, 2, 130
_OURS = ("--host", "--port", "--uds", "--allow-remote", "--endpoint-dir", "--runtime", "--image", "--drain-s")
"""Options of `serve` that a fleet decides."""
DirOption = Annotated[
    Path | None,
    typer.Option(
        "--dir", help="Shared folder, of yours alone: where clients find the servers (default: ~/.qrpo-sandbox/fleet)."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout instead.")]
fleet_app = typer.Typer(name="fleet", help="Servers on the nodes of a Slurm cluster.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.add_typer(fleet_app)


@fleet_app.command()
def up(  # noqa: PLR0913  # a command has the options it has
    serve_options: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- OPTIONS]", help="For each server; see `qrpo-sandbox serve --help`.", show_default=False
        ),
    ] = None,
    *,
    nodes: Annotated[
        int, typer.Option(min=1, help="Servers there are to be, each a job of one node.", show_default=False)
    ],
    runtime: Annotated[
        Literal["host", "apptainer", "enroot"] | None, typer.Option(help="What runs programs.", show_default=False)
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(help="A folder, a SIF, a squashfs, or docker://NAME, that all nodes reach.", show_default=False),
    ] = None,
    folder: DirOption = None,
    cpus: Annotated[
        int | None, typer.Option(min=1, help="Cores of each job (default: a whole node, with all its memory).")
    ] = None,
    memory: Annotated[str | None, typer.Option(help="Memory of each job, as sbatch's --mem: 16G.")] = None,
    time_limit: Annotated[
        str, typer.Option("--time", help="Time limit of each job, as sbatch's; at its end it queues itself again.")
    ] = "04:00:00",
    partition: Annotated[str | None, typer.Option(help="As sbatch's, like the next two.")] = None,
    account: Annotated[str | None, typer.Option()] = None,
    qos: Annotated[str | None, typer.Option()] = None,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(help="Any other option of sbatch by its long name, repeated for more.", metavar="KEY[=VALUE]"),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address that servers listen on (default: that of their node's name).")
    ] = None,
    drain_s: Annotated[
        float,
        typer.Option(min=0, help="At the end, how long a server may finish what it has, s; the rest is handed back."),
    ] = 20.0,
    wait: Annotated[float, typer.Option(min=0, help="Wait until all servers are ready, for so long, s.")] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Bring the fleet to a number of servers. What waits in the queue or runs counts: twice submits nothing twice.

    Each server is a job of one node and uses what the job gives it. Ahead of its time limit, or when it is preempted,
    it finishes what it has, hands back what it cannot, and the job queues itself again. Whoever can read the folder
    can use the servers; they listen where other nodes reach them, with a token and without TLS.
    """
    options = list(serve_options or ())
    for option in options:
        if option.partition("=")[0] in _OURS:
            raise typer.BadParameter(
                f"{option}: what a fleet decides comes before the --, if at all", param_hint="OPTIONS"
            )
    with _reported(), _progress() as say:
        needs = Needs(
            cpus=cpus,
            memory=memory,
            time=time_limit,
            drain_s=drain_s,
            partition=partition,
            account=account,
            qos=qos,
            options=dict(map(_parsed, sbatch or ())),
        )
        place = Folder.made(folder or default_path())
        command = (
            *(own_command(), "serve", "--port", "0", "--allow-remote", "--endpoint-dir", str(place.path)),
            *("--drain-s", f"{drain_s:g}"),
            *(() if runtime is None else ("--runtime", runtime)),
            *(() if image is None else ("--image", image if "://" in image else os.path.abspath(image))),  # noqa: PTH100
            *options,
        )
        before, submitted = bring_up(place, nodes, command, host, needs, say)
        if as_json:
            typer.echo(json.dumps({"dir": str(place.path), "before": before, "submitted": submitted}))
        else:
            _say_raised(place, nodes, before, submitted)
        if wait:
            wait_for(place, [*before, *submitted], wait, say)


@fleet_app.command()
def status(*, folder: DirOption = None, as_json: JsonOption = False) -> None:
    """Show each job and its server. What dead servers have left is removed; ended jobs are known for some minutes."""
    with _reported():
        place = Folder.opened(folder or default_path())
        found = status_of(place)
    if as_json:
        typer.echo(json.dumps(as_data(place, found)))
    else:
        print_status(Console(), place, found)


@fleet_app.command()
def down(
    *,
    folder: DirOption = None,
    now: Annotated[
        bool, typer.Option("--now", help="Kill the servers: clients judge elsewhere what they have not answered.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """End the fleet's jobs, and no others, and wait until they have ended: servers finish what they have accepted."""
    with _reported(), _progress() as say:
        place = Folder.opened(folder or default_path())
        ended = bring_down(place, say, now=now)
    if as_json:
        typer.echo(json.dumps({"dir": str(place.path), "ended": ended}))
    else:
        typer.echo(f"ended {', '.join(ended)}; logs in {place.logs}" if ended else "no job of this fleet is there")


def _parsed(option: str) -> tuple[str, str | bool]:
    key, equals, value = option.removeprefix("--").partition("=")
    if not key:
        raise typer.BadParameter(f"{option!r}: expected KEY=VALUE, or KEY for a flag", param_hint="--sbatch")
    return key, value if equals else True


def _say_raised(place: Folder, nodes: int, before: list[str], submitted: list[str]) -> None:
    if submitted:
        typer.echo(f"submitted {', '.join(submitted)}; {len(before)} of {nodes} were there before")
    elif len(before) > nodes:
        typer.echo(f"nothing to do: {len(before)} are there, more than {nodes}; `qrpo-sandbox fleet down` ends all")
    else:
        there = f"{nodes} of {nodes} are there already ({', '.join(before)})"
        typer.echo(f"nothing to do: {there}, with the options they were submitted with")
    path = shlex.quote(str(place.path))
    typer.echo(f"clients find the servers with --server {path}, or QRPO_SANDBOX_SERVERS={path}")


@contextmanager
def _progress() -> Iterator[Say]:
    """Says on stderr what is waited for; a terminal shows the last of it."""
    console = Console(stderr=True)
    with console.status("") as shown:
        yield lambda text: shown.update(Text(text))


@contextmanager
def _reported() -> Iterator[None]:
    """Turns errors into one line on stderr and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    except NotReadyError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(_NOT_READY) from None
    except FleetError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(_BAD_INPUT) from None
    except OSError as error:
        typer.echo(f"error: {error.filename or 'i/o'}: {error.strerror or error}", err=True)
        raise typer.Exit(_BAD_INPUT) from None


if __name__ == "__main__":
    fleet_app()
