"""Which task makes which path: however it is written, and with all that is in it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from slurm.errors import DescriptionError
from slurm.experiments.task import Task


def plain(path: Path) -> Path:
    """Without `.` and `..`, so that a path has one name; links are not looked at."""
    return Path(os.path.normpath(path))


def is_made(path: Path, made: set[Path]) -> bool:
    """Whether one of these plain paths is the path, or a folder that it is in."""
    found = plain(path)
    return not {found, *found.parents}.isdisjoint(made)


def made_by(tasks: Iterable[Task]) -> set[Path]:
    """Plain paths of all outputs."""
    return {plain(path) for task in tasks for path in task.output_paths}


def check_outputs(tasks: Sequence[Task]) -> None:
    """Looks for tasks that would write over each other.

    Raises:
        DescriptionError: two make the same path; or one makes a folder, and another something in it without that one of
            both waits for the other.
    """
    makers: dict[Path, Task] = {}
    for task in tasks:
        for path in map(plain, task.output_paths):
            if path in makers:
                raise DescriptionError(f"{makers[path].id} and {task.id} both make {path}")
            makers[path] = task
    by_id = {task.id: task for task in tasks}
    for path, task in makers.items():
        for folder in path.parents:
            other = makers.get(folder, task)
            if other is not task and not (_waits(task, other, by_id) or _waits(other, task, by_id)):
                raise DescriptionError(
                    f"{other.id} makes {folder}, and {task.id} makes {path} in it: give one another path, or have its "
                    "stage wait by `after`"
                )


def _waits(task: Task, other: Task, by_id: Mapping[str, Task]) -> bool:
    """For the other, or for one that does."""
    seen: set[str] = set()
    ahead = [*task.needs]
    while ahead:
        name = ahead.pop()
        if name == other.id:
            return True
        if name not in seen:
            seen.add(name)
            ahead += by_id[name].needs
    return False
