"""What a submission would do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from slurm.errors import ExperimentError
from slurm.experiments.experiment import Experiment
from slurm.experiments.preflight import check
from slurm.experiments.preparation import Preparation, prepared
from slurm.experiments.standing import Standing
from slurm.experiments.state import Kind, State
from slurm.experiments.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """All tasks, and what of them would be submitted how."""

    found: Preparation
    problem: str
    """Why nothing would be submitted; empty where it would."""

    @property
    def standing(self) -> Standing:
        """Of all tasks."""
        return self.found.standing


def dry_run(experiment: Experiment, *, is_local: bool) -> DryRun:
    """Makes nothing."""
    found = prepared(experiment, lambda _: (), is_local=is_local)
    try:
        check(found.preflight)
    except ExperimentError as error:
        return DryRun(found=found, problem=str(error).replace("nothing was", "nothing would be", 1))
    return DryRun(found=found, problem="")


def dry_run_data(found: DryRun) -> dict[str, object]:
    """What `--json` prints."""
    return {
        "dir": str(found.standing.experiment.folder.path),
        "problem": found.problem or None,
        "jobs": [
            {
                "id": state.task.id,
                "state": str(state.kind),
                "is": _fate(found, state),
                "command": state.task.script,
                "environment": dict(state.task.environment),
                "workdir": state.task.workdir,
                "inputs": list(state.task.inputs),
                "outputs": [output.path for output in state.task.outputs],
                "resources": state.task.resources.model_dump(exclude_none=True, exclude_defaults=True)
                | {"time": state.task.resources.time},
                "needs": list(state.task.needs),
            }
            for state in found.standing.states
        ],
        "sbatch": [{"ids": [task.id for task in tasks], "script": text} for tasks, text in found.found.scripts],
    }


def print_dry_run(console: Console, found: DryRun) -> None:
    """Every job with what it does, then every script for sbatch."""
    for state in found.standing.states:
        console.print(Text(f"{state.task.id}: {_fate(found, state)}", style="bold"))
        for line in _lines(state.task):
            console.print(Text(f"    {line}"))
    for tasks, text in found.found.scripts:
        console.print(Text(f"sbatch, for {len(tasks)}: {', '.join(task.id for task in tasks)}", style="bold"))
        for line in text.rstrip().splitlines():
            console.print(Text(f"    {line}"))
    planned, states = found.found.planned, found.standing.states
    done = sum(state.kind is Kind.SUCCEEDED for state in states)
    console.print(
        Text(
            f"{len(planned.todo)} of {len(states)} would be submitted, {len(planned.held)} later; "
            f"{done} have succeeded; "
            f"{found.standing.experiment.folder.path}"
        )
    )


def _fate(found: DryRun, state: State) -> str:
    for word, tasks in (
        ("would be submitted", found.found.planned.todo),
        ("would be submitted later, as limits.queued has it", found.found.planned.held),
    ):
        if any(state.task is task for task in tasks):  # equality would compare all that they do
            return word
    return str(state.kind) if state.kind is not Kind.NOT_SUBMITTED else "needs what has failed"


def _lines(task: Task) -> list[str]:
    asked = task.resources.model_dump(exclude_none=True)
    options = asked.pop("sbatch")
    resources = ", ".join(f"{name}={value}" for name, value in {**asked, **options}.items())
    needs = [f"after {len(task.needs)}: {', '.join(task.needs)}"] if task.needs else []
    made = [f"makes {Path(output.path)}" for output in task.outputs]
    return [*task.script.splitlines()[1:], resources, *needs, *made]
