"""From a description to its tasks."""

from __future__ import annotations

import itertools
import math
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from slurm.errors import DescriptionError
from slurm.experiments.description import MOST_TASKS, Block, Description, Output, Scalar, Stage
from slurm.experiments.made_paths import check_outputs
from slurm.experiments.task import Expected, Task, task_id
from slurm.experiments.templates import Fill, Parameters, Templates


def tasks_of(description: Description, workdir: Path) -> list[Task]:
    """All tasks, those that others wait for first; stages in the order of the file where that leaves a choice.

    Args:
        description: what to expand.
        workdir: where commands run, and what relative paths are relative to.

    Raises:
        DescriptionError: stages wait for each other, or for one that is not there; a template cannot be filled in; two
            tasks are one, or make the same file; see `check_outputs`.
    """
    order = _ordered(description)
    _check_number(description)
    combinations = _Combinations({name: list(_combinations(name, description.stages[name])) for name in order})
    _check_after(description, combinations)
    templates = Templates(description.variables)
    tasks: list[Task] = []
    for name in order:
        for parameters in combinations.of(name):
            fill = templates.filler(name, description.stages[name].version, parameters)
            tasks.append(_task(description, name, parameters, combinations, fill, workdir))
    _check(tasks)
    check_outputs(tasks)
    return tasks


def _ordered(description: Description) -> list[str]:
    stages = description.stages
    for name, stage in stages.items():
        for other in stage.after:
            if other not in stages:
                raise DescriptionError(
                    f"stages.{name}.after: there is no stage {other!r}; there are {', '.join(stages)}"
                )
    sorter = TopologicalSorter({name: stage.after for name, stage in stages.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        raise DescriptionError(f"stages wait for each other: {' after '.join(error.args[1])}") from None
    places = list(stages)
    order: list[str] = []
    ready: list[str] = []
    while sorter:
        ready = sorted([*ready, *sorter.get_ready()], key=places.index)
        order.append(ready.pop(0))
        sorter.done(order[-1])
    return order


def _check_number(description: Description) -> None:
    """Before there are any: a slip in a grid can be more than the memory holds."""
    count = 0
    for name, stage in description.stages.items():
        count += sum(math.prod(map(len, block.values())) for block in _blocks(stage))
        if count > MOST_TASKS:
            raise DescriptionError(f"stages.{name}.grid: with it there are {count} tasks; {MOST_TASKS} are allowed")


def _blocks(stage: Stage) -> Sequence[Block]:
    return stage.grid if isinstance(stage.grid, list) else [stage.grid]


def _combinations(name: str, stage: Stage) -> Iterator[Parameters]:
    blocks = _blocks(stage)
    if not blocks:
        raise DescriptionError(f"stages.{name}.grid: it is an empty list")
    seen: set[str] = set()
    for block in blocks:
        if block.keys() != blocks[0].keys():
            one, other = ", ".join(blocks[0]) or "nothing", ", ".join(block) or "nothing"
            raise DescriptionError(
                f"stages.{name}.grid: one block has {one}, another {other}; give all blocks the same"
            )
        names = list(blocks[0])
        for values in itertools.product(*(block[key] for key in names)):
            parameters = dict(zip(names, values, strict=True))
            found = task_id(name, stage.version, parameters)
            if found in seen:
                raise DescriptionError(f"stages.{name}.grid: {found} is there twice")
            seen.add(found)
            yield parameters


def _task(
    description: Description,
    name: str,
    parameters: Parameters,
    combinations: _Combinations,
    fill: Fill,
    workdir: Path,
) -> Task:
    stage = description.stages[name]
    command = stage.command if isinstance(stage.command, str) else shlex.join(stage.command)
    environment = {**description.environment, **stage.environment}
    setup = fill(description.setup).strip()
    return Task(
        stage=name,
        version=stage.version,
        parameters=parameters,
        script=_after(setup, fill(command)),
        environment={key: fill(value) for key, value in environment.items()},
        workdir=str(workdir),
        inputs=tuple(fill(text) for text in stage.inputs),
        outputs=tuple(_expected(name, output, fill, setup) for output in stage.outputs),
        content={},
        needs=tuple(_needs(description, name, parameters, combinations)),
        resources=description.resources_of(name),
        stopping=stage.stopping,
    )


def _after(setup: str, command: str) -> str:
    return "\n".join(["set -euo pipefail", *filter(None, [setup]), command.strip()])


def _expected(name: str, output: str | Output, fill: Fill, setup: str) -> Expected:
    if isinstance(output, str):
        return Expected(path=fill(output))
    lines = None if output.lines is None else fill(str(output.lines)).strip()
    if lines is not None and not lines.isdecimal():
        raise DescriptionError(f"stages.{name}.outputs: lines is {lines!r}, which is no number")
    if lines is not None and output.format != "jsonl":
        raise DescriptionError(f"stages.{name}.outputs: lines are counted with format: jsonl")
    check = None if output.check is None else _after(setup, fill(output.check))
    return Expected(
        path=fill(output.path), format=output.format, lines=None if lines is None else int(lines), check=check
    )


class _Combinations:
    """Of all stages, found by the values of some parameters."""

    def __init__(self, stages: Mapping[str, Sequence[Parameters]]) -> None:
        self._stages = stages
        self._found: dict[tuple[str, tuple[str, ...]], dict[tuple[Scalar, ...], list[Parameters]]] = {}

    def of(self, name: str) -> Sequence[Parameters]:
        """A stage's."""
        return self._stages[name]

    def matching(self, name: str, parameters: Parameters) -> Sequence[Parameters]:
        """Those of a stage that have the same values of the parameters that both have."""
        keys = tuple(key for key in self._stages[name][0] if key in parameters)
        if (name, keys) not in self._found:
            by_values = self._found[name, keys] = defaultdict(list)
            for theirs in self._stages[name]:  # all have the same parameters
                by_values[tuple(theirs[key] for key in keys)].append(theirs)
        return self._found[name, keys].get(tuple(parameters[key] for key in keys), ())


def _needs(description: Description, name: str, parameters: Parameters, combinations: _Combinations) -> Iterator[str]:
    for earlier in description.stages[name].after:
        version = description.stages[earlier].version
        yield from (task_id(earlier, version, theirs) for theirs in combinations.matching(earlier, parameters))


def _check_after(description: Description, combinations: _Combinations) -> None:
    """Some jobs of a stage may wait for nothing of another: of two models one is fine-tuned first. All is a mistake."""
    for name, stage in description.stages.items():
        for earlier in stage.after:
            if not any(combinations.matching(earlier, mine) for mine in combinations.of(name)):
                raise DescriptionError(f"stages.{name}.after: no job of {earlier} has the parameters of one of {name}")


def _check(tasks: Sequence[Task]) -> None:
    folders: dict[str, str] = {}
    for task in tasks:
        if task.folder_name.lower() in folders:
            raise DescriptionError(f"{folders[task.folder_name.lower()]} and {task.id} differ by case alone")
        folders[task.folder_name.lower()] = task.id
