"""Which tasks somebody means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from slurm.errors import ExperimentError
from slurm.experiments.task import Task

_SHOWN = 4


def selected(tasks: Iterable[Task], words: Sequence[str]) -> list[Task]:
    """Those that any of the words names, in their order.

    Args:
        tasks: all there are.
        words: each an id, a stage (all of its tasks), a pattern with * ? or [], or a part that one id alone has.

    Raises:
        ExperimentError: a word names none, or is a part of several ids.
    """
    known = list(tasks)
    found = {task.id for word in words for task in _named(known, word)}
    return [task for task in known if task.id in found]


def _named(tasks: Sequence[Task], word: str) -> list[Task]:
    for is_meant in (
        lambda task: task.id == word,
        lambda task: task.id.partition("/")[0] == word,
        lambda task: fnmatchcase(task.id, word),
    ):
        found = [task for task in tasks if is_meant(task)]
        if found:
            return found
    found = [task for task in tasks if word in task.id]
    if not found:
        raise ExperimentError(f"no task is named {word!r}; `qrpo-experiment status --json` lists all")
    if len(found) > 1:
        raise ExperimentError(
            f"{word!r} is a part of {shortened([task.id for task in found])}; write '*{word}*' for all"
        )
    return found


def shortened(ids: Sequence[str]) -> str:
    """The first of many, and how many more there are."""
    more = len(ids) - _SHOWN
    return ", ".join(ids[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
