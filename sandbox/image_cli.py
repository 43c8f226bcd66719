"""The commands `qrpo-sandbox image`: make images, bring them onto this node, see what is there and what it can do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from containers import building
from containers.building import BASE, PACKAGES, Build
from containers.images import default_store, prepare
from containers.runtime import ContainerError
from sandbox.checkup.cli import JsonOption, LevelOption
from sandbox.errors import InfrastructureError, UnsupportedHostError
from sandbox.image_check import ImageReport, look_at
from sandbox.level import Level
from sandbox.limits import MIB
from sandbox.runtime_options import RuntimeOption

_BAD_INPUT, _HOST_FAILED, _INTERRUPTED = 2, 7, 130
_DAY_S = 86400.0
Reference = Annotated[
    str, typer.Argument(help="A folder, a SIF, a squashfs, or docker://NAME.", metavar="IMAGE", show_default=False)
]
image_app = typer.Typer(name="image", help="Images that programs can run in.", no_args_is_help=True)


@image_app.command("build")
def build_image(
    out: Annotated[Path, typer.Argument(help="The SIF to make.", show_default=False)],
    *,
    base: Annotated[str, typer.Option("--from", help="What it is made of: any image.")] = BASE,
    package: Annotated[
        list[str] | None,
        typer.Option(help=f"Python package, repeated for more (default: {', '.join(PACKAGES)}).", show_default=False),
    ] = None,
    compilers: Annotated[
        bool, typer.Option("--compilers", help="With those of all languages; the base must be a Debian.")
    ] = False,
) -> None:
    """Make an image of Python with what problem sets import."""
    with _reported():
        local = base if base.startswith("docker://") else str(prepare(base))
        building.build(Build(base=local, packages=tuple(package or PACKAGES), compilers=compilers), out)
    typer.echo(out)


@image_app.command("pull")
def pull_image(
    reference: Reference,
    *,
    out: Annotated[
        Path | None, typer.Option(help="A SIF to make of it, for all nodes (default: unpacked on this node).")
    ] = None,
) -> None:
    """Fetch an image and print its path: unpacked on this node or, with --out, a SIF."""
    with _reported():
        if out is None:
            typer.echo(default_store().renew(reference))
        else:
            building.pull(reference, out)
            typer.echo(out)


@image_app.command("list")
def list_images(*, as_json: JsonOption = False) -> None:
    """List the images unpacked on this node."""
    with _reported():
        images = default_store().images()
    if as_json:
        rows = [
            {"path": str(image.path), **asdict(image.record), "unused_s": round(image.unused_s), "in_use": image.in_use}
            for image in images
        ]
        typer.echo(json.dumps(rows))
        return
    if not images:
        Console().print(Text("no image is unpacked on this node"))
        return
    table = Table("sha256", "size", "last used", "in use")
    table.add_column("image", overflow="fold")
    for image in images:
        size = f"{image.record.size_bytes / MIB:.0f} MiB"
        table.add_row(
            image.record.sha256[:12], size, _ago(image.unused_s), "yes" * image.in_use, Text(image.record.reference)
        )
    Console().print(table)


@image_app.command("clean")
def clean_images(
    *,
    unused_days: Annotated[float, typer.Option(min=0, help="How long nobody has asked for them.")] = 14.0,
) -> None:
    """Remove images from this node that nobody uses. What is older than 14 days also goes when another is unpacked."""
    with _reported():
        for removed in default_store().remove_unused(unused_days * _DAY_S):
            typer.echo(removed)


@image_app.command("check")
def check_image(
    reference: Reference,
    *,
    runtime: RuntimeOption = None,
    level: LevelOption = Level.USERNS,
    as_json: JsonOption = False,
) -> None:
    """Read an image's file again, start a slot in it, and say what programs find there; exit code 7 if none can run.

    The file's SHA-256 must be that of what was unpacked, and of the unpacked files none may be missing or cut.
    """
    with _reported():
        report = look_at(reference, runtime, level)
    if as_json:
        typer.echo(json.dumps(asdict(report)))
    else:
        _print(report)


def _print(report: ImageReport) -> None:
    table = Table("", Column(overflow="fold"), title=report.path, title_justify="left", show_header=False)
    table.add_row("sha256", report.sha256 or "none is kept of a folder")
    table.add_row("python", report.python)
    table.add_row(
        "packages", Text(", ".join(f"{name} {version}" for name, version in report.packages.items()) or "none")
    )
    table.add_row("languages", ", ".join(report.languages))
    table.add_row("level", report.level)
    table.add_row("guards", ", ".join(report.guards))
    for name, why in report.absent.items():
        table.add_row(f"no {name}", Text(why))
    Console().print(table)


def _ago(seconds: float) -> str:
    for unit, length in (("days", _DAY_S), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit} ago"
    return "now"


@contextmanager
def _reported() -> Iterator[None]:
    """Turns the errors a user can cause or must know of into one line on stderr and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    except (ContainerError, InfrastructureError, UnsupportedHostError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(_HOST_FAILED) from None
    except OSError as error:
        typer.echo(f"error: {error.filename or 'i/o'}: {error.strerror or error}", err=True)
        raise typer.Exit(_BAD_INPUT) from None
