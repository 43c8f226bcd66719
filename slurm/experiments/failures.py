"""Failures that are one failure: of a thousand jobs that ran out of memory somebody wants one line."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slurm.experiments.state import Kind, State

FAILING = (Kind.FAILED, Kind.CANCELLED, Kind.BLOCKED)
"""In the order of what is looked at first."""


@dataclass(frozen=True, slots=True)
class Group:
    """States of one stage, one kind, one cause and the same detail but for names and numbers."""

    states: Sequence[State]

    @property
    def first(self) -> State:
        """The one that is shown."""
        return self.states[0]

    @property
    def what(self) -> str:
        """Of the first."""
        return self.first.what


def grouped(states: Iterable[State], kinds: Sequence[Kind] = FAILING) -> list[Group]:
    """Those of these kinds: by stage, in their order; then in the order of the kinds; then the largest first."""
    found: dict[tuple[str, ...], list[State]] = defaultdict(list)
    for state in states:
        if state.kind in kinds:
            found[state.task.stage, state.kind, state.cause or "", _plain(state)].append(state)
    stages = list(dict.fromkeys(stage for stage, *_ in found))
    order = list(kinds)

    def rank(group: Group) -> tuple[int, int, int]:
        return stages.index(group.first.task.stage), order.index(group.first.kind), -len(group.states)

    return sorted((Group(members) for members in found.values()), key=rank)


def _plain(state: State) -> str:
    """The detail, less what differs between tasks of a stage."""
    task, text = state.task, state.detail
    names = [*(output.path for output in task.outputs), *map(str, task.output_paths), *task.inputs, *task.needs]
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, "…")
    for value in task.parameters.values():
        if isinstance(value, str):
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "…", text)
    return re.sub(r"0x[0-9a-f]+|\d+(\.\d+)?", "#", text)
