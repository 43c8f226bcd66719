"""What `doctor` has found, for people: a list, and what to send to an administrator."""

from __future__ import annotations

import platform
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sandbox.checkup.check import Check
from sandbox.checkup.doctor import Report


def show(report: Report, console: Console) -> None:
    """Write it, fitted to the console's width but for the lines to be sent."""
    console.print(Text(f"enforcement: {report.level or 'none'}", style="bold"))
    width = max(len(check.name) for check in report.checks)
    for group, checks in groupby(report.checks, key=lambda check: check.group):
        console.print(Text(f"\n{group}", style="bold"))
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 1))
        table.add_column(width=len("missing"), no_wrap=True)
        table.add_column(width=width)
        table.add_column(overflow="fold")
        for check in checks:
            table.add_row(_mark(check), check.name, Text(check.detail))
        console.print(table)
    lines = to_send(report)
    if lines:
        console.print()
        for line in lines:
            console.print(Text(line), soft_wrap=True)
    if report.level is None:
        console.print(Text("\nThe sandbox will not start here.", style="bold red"))
    elif report.missing:
        console.print(Text("\nNot all that was asked for can be had here.", style="bold red"))


def to_send(report: Report) -> list[str]:
    """A heading, and a line for each thing to be done, what is required first; nothing where nothing is to be done."""
    gaps = [check for check in report.checks if not check.ok and check.remedy]
    by_remedy: dict[str, list[Check]] = {}
    for check in sorted(gaps, key=lambda check: not check.required):
        by_remedy.setdefault(check.remedy, []).append(check)
    lines = [
        f"- {'required' if any(check.required for check in checks) else 'optional'}, "
        f"{', '.join(check.name for check in checks)}: {remedy}"
        for remedy, checks in by_remedy.items()
    ]
    if not lines:
        return []
    return [f"To do, or to send to the administrator of {platform.node()} (Linux {platform.release()}):", *lines]


def _mark(check: Check) -> Text:
    if check.ok:
        return Text("ok", style="green")
    return Text("missing", style="bold red") if check.required else Text("gap", style="yellow")
