"""What the commands have in common: options, and how errors are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from slurm.errors import ExperimentError, FleetError

BAD_INPUT, INTERRUPTED = 2, 130
DirOption = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        help="The experiment's folder, or its file (default: FILE less .yaml, and .experiment; or the only one here).",
        show_default=False,
    ),
]
ExperimentArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DIR|FILE]", help="The experiment's folder, or its file; or the only one here.", show_default=False
    ),
]
TasksArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TASK]...",
        help="An id, a stage, a pattern with * ? or [], or a part that one id alone has.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout instead.")]


@contextmanager
def reported() -> Iterator[None]:
    """Turns errors into words on stderr and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command goes on", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except (ExperimentError, FleetError) as error:  # the latter are Slurm's
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(BAD_INPUT) from None
    except OSError as error:
        typer.echo(f"error: {error.filename or 'i/o'}: {error.strerror or error}", err=True)
        raise typer.Exit(BAD_INPUT) from None
