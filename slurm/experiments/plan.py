"""Which tasks are submitted now."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from slurm.experiments.state import Kind, State
from slurm.experiments.task import Task

LIVE = frozenset({Kind.QUEUED, Kind.RUNNING})
AGAIN = frozenset({Kind.FAILED, Kind.CANCELLED, Kind.BLOCKED})
"""What `resubmit --failed` is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Tasks in the order in which they wait for each other."""

    todo: Sequence[Task]
    """To be submitted now."""
    held: Sequence[Task]
    """To be submitted when there is room in the queue."""
    stuck: Sequence[Task]
    """They need others that have failed or were cancelled."""


def plan(
    tasks: Sequence[Task], states: Mapping[str, State], chosen: Collection[str] = (), queued: int | None = None
) -> Plan:
    """What to do.

    Args:
        tasks: of the description; those that others wait for first.
        states: of all of them, by id.
        chosen: ids of tasks that are submitted whatever their state.
        queued: how many jobs there may be in the queue.
    """
    todo: list[Task] = []
    held: list[Task] = []
    stuck: list[Task] = []
    in_order: set[str] = {task.id for task in tasks if states[task.id].kind in LIVE | {Kind.SUCCEEDED}} - {*chosen}
    room = None if queued is None else queued - sum(state.kind in LIVE for state in states.values())
    for task in tasks:
        if task.id not in chosen and states[task.id].kind is not Kind.NOT_SUBMITTED:
            continue
        if not in_order.issuperset(task.needs):
            stuck.append(task)
            continue
        in_order.add(task.id)
        (todo if room is None or len(todo) < room else held).append(task)
    return Plan(todo=todo, held=held, stuck=stuck)


def obstacle(task: Task, states: Mapping[str, State], chosen: Collection[str]) -> State | None:
    """Why a task cannot be submitted: another that it needs, and that has failed or was cancelled; None: it can.

    Args:
        task: of the description.
        states: of all of its tasks, by id.
        chosen: ids of tasks that are submitted, too.
    """
    for need in task.needs:
        state = states[need]
        found = None
        if need in chosen or state.kind in {Kind.BLOCKED, Kind.NOT_SUBMITTED}:
            found = obstacle(state.task, states, chosen)
        if found is None and need not in chosen and state.kind in AGAIN:
            found = state
        if found is not None:
            return found
    return None


def with_dependents(tasks: Sequence[Task], states: Mapping[str, State], chosen: Collection[str]) -> set[str]:
    """The chosen tasks, and those that could not run because of them: blocked, or cancelled before they had run."""
    found = set(chosen)
    for task in tasks:
        state = states[task.id]
        never_ran = state.kind is Kind.BLOCKED or (state.kind is Kind.CANCELLED and state.elapsed_s is None)
        if never_ran and found & set(task.needs):
            found.add(task.id)
    return found
