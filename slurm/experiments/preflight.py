"""What would make jobs fail, looked at before any is submitted: inputs, disk, files, quota, outputs in the way."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from slurm.errors import ExperimentError
from slurm.experiments.inputs import missing_inputs
from slurm.experiments.made_paths import plain
from slurm.experiments.quota import quota_at
from slurm.experiments.selection import shortened
from slurm.experiments.task import Task

_FILES_A_TASK = 12
"""Of ours: what it does, its events and claim, its log, what submitit writes; folders count."""
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """What is to be submitted, and what there is beside it."""

    folder: Path
    """The experiment's."""
    todo: Sequence[Task]
    others: Sequence[Task]
    """All other tasks of the description."""
    left: Sequence[Task]
    """Those that have left the description: what they made stays as it is."""
    first: frozenset[str]
    """Ids of those among `todo` that are submitted for the first time."""
    disk: Mapping[str, str]
    """What the outputs of a task take, by stage."""
    refused: str = ""
    """What Slurm would not take, where that is known."""


class _Write(NamedTuple):
    place: Path
    files: int
    bytes: int


def check(flight: Preflight) -> None:
    """Looks at everything.

    Raises:
        ExperimentError: something is wrong; all of it is said at once, a line each.
    """
    if not flight.todo:
        return
    problems = [*_inputs(flight), *_outputs(flight), *_room(flight), *filter(None, [flight.refused])]
    if problems:
        raise ExperimentError("nothing was submitted:\n  " + "\n  ".join(problems))


def _inputs(flight: Preflight) -> Iterator[str]:
    needing: dict[Path, list[str]] = defaultdict(list)
    todo = {task.id for task in flight.todo}
    for task, path in missing_inputs([*flight.todo, *flight.others]):
        if task.id in todo:
            needing[path].append(task.id)
    for path, ids in needing.items():
        yield f"{path} is not there, and no task makes it; it is an input of {shortened(ids)}"


def _outputs(flight: Preflight) -> Iterator[str]:
    makers = {plain(path): task.id for task in flight.left for path in task.output_paths}
    in_the_way: list[Path] = []
    among_ours: list[Path] = []
    for task in flight.todo:
        for path in task.output_paths:
            maker = makers.get(plain(path))
            if maker is not None:
                made = f"{path}, which {maker} has made"
                yield f"{task.id} would write {made}: give it another path, as by {{{{ version }}}}"
            elif plain(path).is_relative_to(flight.folder):
                among_ours.append(path)
            elif task.id in flight.first and _is_there(path):
                in_the_way.append(path)
    if among_ours:
        paths = shortened([str(path) for path in among_ours])
        yield f"{paths}: in the experiment's own folder, which is removed once nobody asks any more; give another path"
    if in_the_way:
        yield (
            f"{shortened([str(path) for path in in_the_way])}: there already, and not made by this experiment; "
            "move or delete what is to be made anew"
        )


def _is_there(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _room(flight: Preflight) -> Iterator[str]:
    """For each file system that is written to: what it has left, and what the user may still write there."""
    places: dict[int, Path] = {}
    files: Counter[int] = Counter()
    needed: Counter[int] = Counter()
    for place, count, amount in _writes(flight):
        if not os.access(place, os.W_OK | os.X_OK):
            yield f"{place} cannot be written"
            continue
        device = place.stat().st_dev
        places.setdefault(device, place)
        files[device] += count
        needed[device] += amount
    for device, place in places.items():
        yield from _lack(place, needed[device], files[device])


def _writes(flight: Preflight) -> list[_Write]:
    """By the nearest folder that is there."""
    files: Counter[Path] = Counter({_existing(flight.folder): _FILES_A_TASK * len(flight.todo)})
    needed: Counter[Path] = Counter()
    for task in flight.todo:
        places = [_existing(path) for path in task.output_paths]
        files.update(places)
        amount = flight.disk.get(task.stage)
        if amount is not None:
            needed[places[0] if places else _existing(Path(task.workdir))] += bytes_of(amount)
    return [_Write(place, files[place], needed[place]) for place in {**files, **needed}]


def _lack(place: Path, needed: int, files: int) -> Iterator[str]:
    found = os.statvfs(place)
    free = found.f_bavail * found.f_frsize
    # Some file systems count no files, and say 0 of 0.
    free_files = found.f_favail if found.f_files else None
    quota = quota_at(place)
    for amount, room, words in (
        (needed, free, "the disk has"),
        (needed, quota.bytes, "your quota leaves"),
    ):
        if room is not None and (amount > room or room == 0):
            yield f"{place}: {words} {size(room)}, the outputs take up to {size(amount)} (disk: of the stages)"
    for room, words in ((free_files, "the disk has room for"), (quota.files, "your quota leaves")):
        if room is not None and files > room:
            yield f"{place}: {words} {room} files, the experiment makes {files} or more"


def _existing(path: Path) -> Path:
    """The nearest folder that is there."""
    return next(place for place in (path, *path.parents) if place.is_dir())


def bytes_of(amount: str) -> int:
    """Of 16G and the like; without a unit MiB, as Slurm has it."""
    unit = amount[-1].upper()
    return int(amount[:-1]) * _UNITS[unit] if unit in _UNITS else int(amount) * _UNITS["M"]


def size(count: int) -> str:
    """With a unit, for people."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
