"""The command `qrpo-sandbox servers`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sandbox.checkup.cli import JsonOption
from sandbox.endpoint import check_folder, default_folder

if TYPE_CHECKING:
    from sandbox.client.roll_call import Present

_BAD_INPUT = 2


def servers(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of endpoint files (default: the one of this node).")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """List the servers that are found in a folder; what those have left that are gone is removed."""
    from sandbox.client.roll_call import call_roll  # HTTP is what the other commands need not wait for
    from sandbox.server.leftovers import sweep

    folder = folder or default_folder()
    try:
        if folder.exists():
            check_folder(folder)
            sweep(folder)
        found = asyncio.run(call_roll(folder))
    except OSError as error:
        typer.echo(f"error: {error.filename or folder}: {error.strerror or error}", err=True)
        raise typer.Exit(_BAD_INPUT) from None
    if as_json:
        typer.echo(json.dumps([_row(server) for server in found]))
    else:
        _print(folder, found)


def _row(server: Present) -> dict[str, object]:
    path, record, _, age_s = server.endpoint
    facts = record.model_dump(include={"url", "host", "job", "pid", "workers", "version"})
    row = {"name": record.name, **facts, "heartbeat_age_s": round(age_s, 1), "state": server.state, "path": str(path)}
    return row | {"error": server.error} if server.error else row


def _print(folder: Path, found: Sequence[Present]) -> None:
    console = Console()
    if not found:
        console.print(Text(f"no server in {folder}"))
        return
    table = Table("server", "node", "job", "workers", "state", "heartbeat", title=str(folder), title_justify="left")
    for server in found:
        record = server.endpoint.record
        state = Text(server.state, style="green" if not server.error else "bold red")
        beat = f"{server.endpoint.age_s:.0f} s ago"
        table.add_row(Text(record.url), Text(record.host), Text(record.job or "-"), str(record.workers), state, beat)
    console.print(table)
    for server in found:
        if server.error:
            console.print(Text(f"{server.endpoint.record.url}: {server.error}"))
