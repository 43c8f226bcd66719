"""Where an experiment stands: as data, and as a table that a terminal has room for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from slurm.experiments.failures import Group, grouped
from slurm.experiments.selection import shortened
from slurm.experiments.standing import Standing
from slurm.experiments.state import Kind, State

_STYLES = {
    Kind.RUNNING: "cyan",
    Kind.SUCCEEDED: "green",
    Kind.FAILED: "bold red",
    Kind.BLOCKED: "yellow",
    Kind.CANCELLED: "yellow",
}
_LAST_WORDS = 8
"""Lines of what the first of equal failures has printed last."""
_WAITING = 4
"""Reasons shown why jobs wait."""
_GROUPS = 20
"""Kinds of failures shown."""


def as_data(standing: Standing) -> dict[str, object]:
    """What `--json` prints."""
    stages = dict.fromkeys(state.task.stage for state in standing.states)
    return {
        "dir": str(standing.experiment.folder.path),
        "name": standing.experiment.manifest.name,
        "succeeded": standing.has_succeeded,
        "counts": _counts(standing.states),
        "stages": {name: _counts([state for state in standing.states if state.task.stage == name]) for name in stages},
        "notes": list(standing.notes),
        "tasks": [state_data(state) for state in standing.states],
        "left": [state_data(state) for state in standing.left],
    }


def state_data(state: State) -> dict[str, object]:
    """Of one task."""
    return {
        "id": state.task.id,
        "stage": state.task.stage,
        "parameters": dict(state.task.parameters),
        "state": str(state.kind),
        "cause": None if state.cause is None else str(state.cause),
        "detail": state.detail,
        "last_words": state.last_words,
        "attempt": state.attempt,
        "job": state.job,
        "node": state.node,
        "log": state.log,
        "elapsed_s": state.elapsed_s,
        "requeues": state.requeues,
    }


@dataclass(frozen=True, slots=True)
class Summary:
    """The table of stages, why jobs wait, and what has failed and why; for rich.live.Live."""

    standing: Standing

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Its parts."""
        yield _title(self.standing)
        yield _stages(self.standing)
        yield from _lines(self.standing)

    def print_to(self, console: Console) -> None:
        """Where lines may be as long as they are, for grep."""
        console.print(_title(self.standing), soft_wrap=True)
        console.print(_stages(self.standing))
        for line in _lines(self.standing):
            console.print(line, soft_wrap=True)


def _lines(standing: Standing) -> Iterator[Text]:
    for note in standing.notes:
        yield Text(f"note: {note}")
    for group in grouped(standing.states, [Kind.QUEUED, Kind.NOT_SUBMITTED])[:_WAITING]:
        if group.first.detail:
            yield Text(f"{group.first.task.stage}: {len(group.states)} wait: {group.first.detail}")
    groups = grouped(standing.states)
    for group in groups[:_GROUPS]:
        yield from _failure(group)
    if len(groups) > _GROUPS:
        yield Text(f"and {len(groups) - _GROUPS} kinds of failures more: `status --state failed` lists them all")
    if standing.left:
        ids = shortened([state.task.id for state in standing.left])
        yield Text(f"{len(standing.left)} tasks have left the description: {ids}")


@dataclass(frozen=True, slots=True)
class Listing:
    """A row for each task."""

    states: Sequence[State]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table."""
        table = Table("task", "state", "job", "node", "time", "why", box=None, pad_edge=False, header_style="dim")
        for state in self.states:
            why = f"{state.cause}: {state.detail}" if state.cause and state.detail else state.cause or state.detail
            again = f" (attempt {state.attempt})" if state.attempt > 1 else ""
            again += f" (requeued {state.requeues} x)" if state.requeues else ""
            table.add_row(
                Text(state.task.id, overflow="fold"),
                Text(f"{state.kind}{again}", style=_STYLES.get(state.kind, "")),
                state.job,
                Text(state.node),
                duration(state.elapsed_s),
                Text(harmless(str(why)), overflow="fold"),
            )
        yield table


def harmless(text: str) -> str:
    """Without what tells a terminal to do something: it comes from logs."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\N{REPLACEMENT CHARACTER}", text)


def duration(seconds: float | None) -> str:
    """For people."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d} min"


def _counts(states: Sequence[State]) -> dict[str, int]:
    found = Counter(state.kind for state in states)
    return {str(kind): found[kind] for kind in Kind}


def _title(standing: Standing) -> Text:
    return Text(f"{standing.experiment.manifest.name}: {standing.experiment.folder.path}", style="bold")


def _stages(standing: Standing) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("stage")
    table.add_column("tasks", justify="right")
    kinds = [kind for kind in Kind if any(state.kind is kind for state in standing.states)]
    for kind in kinds:
        table.add_column(str(kind), justify="right")
    stages = list(dict.fromkeys(state.task.stage for state in standing.states))
    for name in stages:
        _add(table, name, [state for state in standing.states if state.task.stage == name], kinds)
    if len(stages) > 1:
        _add(table, "in all", standing.states, kinds)
    return table


def _add(table: Table, name: str, states: Sequence[State], kinds: Sequence[Kind]) -> None:
    found = Counter(state.kind for state in states)
    cells = [Text(str(found[kind]), style=_STYLES.get(kind, "")) if found[kind] else Text("·", "dim") for kind in kinds]
    table.add_row(Text(name), str(len(states)), *cells)


def _failure(group: Group) -> Iterator[Text]:
    first = group.first
    names = shortened([state.task.id.partition("/")[2] or state.task.id for state in group.states])
    yield Text(f"{first.task.stage}: {len(group.states)} x {harmless(group.what)}", style=_STYLES[first.kind])
    yield Text(f"    {names}")
    if first.kind is not Kind.FAILED:
        return
    if first.log:
        yield Text(f"    {first.log} ends with:" if first.last_words else f"    log: {first.log}")
    for line in first.last_words.splitlines()[-_LAST_WORDS:]:
        yield Text(f"      {harmless(line)}", style="dim")
