"""What a submission would do, worked out before it is done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from slurm.errors import ExperimentError
from slurm.experiments.experiment import Experiment, attempts_for, jobs_in_queue
from slurm.experiments.plan import Plan, plan
from slurm.experiments.preflight import Preflight
from slurm.experiments.slurm_jobs import SlurmJobs
from slurm.experiments.standing import Standing, look
from slurm.experiments.task import Task

Choose: TypeAlias = Callable[[Standing], Collection[str]]
"""Gives the ids of tasks to submit whatever their state."""
Script: TypeAlias = tuple[Sequence[Task], str]
"""What sbatch would be given, and for which tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """Of one submission."""

    standing: Standing
    planned: Plan
    scripts: Sequence[Script]
    preflight: Preflight


def prepared(experiment: Experiment, choose: Choose, *, is_local: bool) -> Preparation:
    """Makes nothing.

    Args:
        experiment: as it is now.
        choose: see there.
        is_local: nothing goes to Slurm, whose limits are not asked for.
    """
    standing = look(experiment)
    planned = planned_for(standing, choose(standing), is_local=is_local)
    scripts: Sequence[Script] = ()
    refused = ""
    if not is_local:
        try:
            scripts = _scripts(standing, planned.todo)
            _scripts(standing, [*planned.todo, *planned.held])
        except ExperimentError as error:
            refused = str(error)
    return Preparation(
        standing=standing, planned=planned, scripts=scripts, preflight=_preflight(experiment, planned, refused)
    )


def planned_for(standing: Standing, chosen: Collection[str], *, is_local: bool) -> Plan:
    """See `plan`."""
    experiment = standing.experiment
    limit = None if is_local else experiment.manifest.limits.queued
    return plan(list(experiment.tasks.values()), standing.by_id, chosen, limit)


def _scripts(standing: Standing, todo: Sequence[Task]) -> list[Script]:
    experiment = standing.experiment
    numbers = {name: attempt.number for name, attempt in attempts_for(experiment, todo).items()}
    jobs = jobs_in_queue(experiment, standing.by_id, numbers)
    return list(SlurmJobs(experiment.folder, experiment.manifest.limits).scripts(todo, numbers, jobs))


def _preflight(experiment: Experiment, planned: Plan, refused: str) -> Preflight:
    todo = [*planned.todo, *planned.held]
    ids = {task.id for task in todo}
    return Preflight(
        folder=experiment.folder.path,
        todo=todo,
        others=[task for task in experiment.tasks.values() if task.id not in ids],
        left=list(experiment.left.values()),
        first=frozenset(task.id for task in todo if not experiment.folder.attempts(task)),
        disk=experiment.manifest.disk,
        refused=refused,
    )
