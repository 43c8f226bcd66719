"""Which tasks one call of sbatch submits, and what it waits for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from slurm.experiments.task import Task


@dataclass(frozen=True, slots=True)
class Group:
    """An array, or a single job."""

    tasks: Sequence[Task]
    indices: Sequence[int]
    """Of the tasks in the array; of a single job empty."""
    dependency: str
    """As sbatch's --dependency; empty: none."""

    def halves(self) -> tuple[Group, Group]:
        """Of an array of two or more."""
        middle = len(self.tasks) // 2
        first, second = slice(None, middle), slice(middle, None)
        return (
            Group(self.tasks[first], self.indices[first], self.dependency),
            Group(self.tasks[second], self.indices[second], self.dependency),
        )


def stages_of(tasks: Iterable[Task]) -> list[list[Task]]:
    """Tasks that ask Slurm for the same, in their order: none needs another of its stage."""
    found: dict[str, list[Task]] = {}
    for task in tasks:
        key = "\n".join(
            (f"{task.stage}@{task.version}", task.resources.model_dump_json(), task.stopping.model_dump_json())
        )
        found.setdefault(key, []).append(task)
    return list(found.values())


def groups_of(
    tasks: Sequence[Task], jobs: Mapping[str, str], arrays: Mapping[str, frozenset[str]], largest: int
) -> Iterator[Group]:
    """Splits the tasks of a stage into as few submissions as can be.

    Tasks that wait for the same make an array. So do those that wait for one each of another array: Slurm pairs them
    by their indices (aftercorr).

    Args:
        tasks: of one stage.
        jobs: those that tasks wait for, by the id of what is needed; what is not there has succeeded.
        arrays: all jobs of each array whose jobs are all known.
        largest: size of an array, at most; indices end below it.
    """
    waits = {task.id: frozenset(jobs[need] for need in task.needs if need in jobs) for task in tasks}
    common = frozenset.intersection(*waits.values()) if len(set(waits.values())) > 1 else frozenset[str]()
    rests = {name: wait - common for name, wait in waits.items()}
    pairs = {name: _pair(rest) for name, rest in rests.items()}
    if len(tasks) > 1 and all(pair is not None for pair in pairs.values()):
        yield from _paired(tasks, {name: pair for name, pair in pairs.items() if pair is not None}, common, arrays)
        return
    alike: dict[frozenset[str], list[Task]] = defaultdict(list)
    for task in tasks:
        alike[waits[task.id]].append(task)
    for wait, members in alike.items():
        for first in range(0, len(members), largest):
            chunk = members[first : first + largest]
            yield _group(chunk, range(len(chunk)), _after_all(wait, arrays))


def _pair(rest: frozenset[str]) -> tuple[tuple[str, ...], int] | None:
    """Arrays that a task waits for one job each of, and the index that these have in common; None: it is otherwise."""
    parts = sorted(job.partition("_") for job in rest)
    bases = tuple(base for base, _, _ in parts)
    indices = {index for _, _, index in parts}
    if len(indices) != 1 or "" in indices:
        return None
    return bases, int(indices.pop())


def _paired(
    tasks: Sequence[Task],
    pairs: Mapping[str, tuple[tuple[str, ...], int]],
    common: frozenset[str],
    arrays: Mapping[str, frozenset[str]],
) -> Iterator[Group]:
    """An index can be in an array once: of several tasks that wait for the same job each is in another array."""
    layers: dict[tuple[tuple[str, ...], int], list[tuple[int, Task]]] = defaultdict(list)
    depths: dict[tuple[tuple[str, ...], int], int] = defaultdict(int)
    for task in tasks:
        pair = pairs[task.id]
        layers[pair[0], depths[pair]].append((pair[1], task))
        depths[pair] += 1
    for (bases, _), members in layers.items():
        members.sort(key=lambda member: member[0])
        if len(members) == 1:
            index, task = members[0]
            wait = common | {f"{base}_{index}" for base in bases}
            yield _group([task], [], _after_all(wait, arrays))
            continue
        after = ",".join(filter(None, [*(f"aftercorr:{base}" for base in bases), _after_all(common, arrays)]))
        yield _group([task for _, task in members], [index for index, _ in members], after)


def _group(tasks: Sequence[Task], indices: Sequence[int], dependency: str) -> Group:
    return Group(tuple(tasks), tuple(indices) if len(tasks) > 1 else (), dependency)


def _after_all(jobs: frozenset[str], arrays: Mapping[str, frozenset[str]]) -> str:
    """All of them have succeeded; of an array that is waited for as a whole its number says it."""
    left, names = set(jobs), []
    for base in sorted({job.partition("_")[0] for job in jobs if "_" in job}):
        if base in arrays and arrays[base] <= left:
            left -= arrays[base]
            names.append(base)
    names += sorted(left)
    return f"afterok:{':'.join(names)}" if names else ""


def index_list(indices: Sequence[int]) -> str:
    """As sbatch's --array: 0-7,9."""
    parts: list[list[int]] = []
    for index in indices:
        if parts and index == parts[-1][1] + 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
