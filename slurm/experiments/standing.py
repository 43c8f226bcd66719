"""Where an experiment stands: the states of its tasks, and what cannot be known of them here."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slurm.experiments.diagnosis import states_of
from slurm.experiments.experiment import Experiment
from slurm.experiments.plan import LIVE
from slurm.experiments.state import Kind, State

LOCAL = "local-"
"""How the ids of jobs begin that run on this machine, and not in Slurm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The tasks of an experiment at one moment."""

    experiment: Experiment
    states: Sequence[State]
    """Of today's tasks, in their order."""
    left: Sequence[State]
    """Of those that have left the description."""
    notes: Sequence[str] = ()
    """What else is worth a line."""

    @property
    def by_id(self) -> Mapping[str, State]:
        """Of today's tasks."""
        return {state.task.id: state for state in self.states}

    @property
    def has_succeeded(self) -> bool:
        """All of today's tasks have."""
        return all(state.kind is Kind.SUCCEEDED for state in self.states)

    @property
    def is_live(self) -> bool:
        """Something waits in the queue, or runs."""
        return any(state.kind in LIVE for state in self.states)


def look(experiment: Experiment) -> Standing:
    """Reads all sources."""
    found = states_of(experiment.folder, experiment.all_tasks)
    count = len(experiment.tasks)
    return Standing(
        experiment=experiment, states=found[:count], left=found[count:], notes=[*_unknown(found), *_outdated(found)]
    )


def _unknown(states: Sequence[State]) -> list[str]:
    in_slurm = [state for state in states if state.kind in LIVE and not state.job.startswith(LOCAL)]
    if in_slurm and shutil.which("squeue") is None:
        words = f"of {len(in_slurm)} jobs only what they have written themselves is known, and why they wait is not"
        return [f"Slurm is not on this machine: {words}"]
    return []


def _outdated(states: Sequence[State]) -> list[str]:
    """Results of a stage that have not seen what its grid, or that of a stage before, has gained."""
    kinds = {state.task.id: state.kind for state in states}
    found = [
        state.task.id
        for state in states
        if state.kind is Kind.SUCCEEDED
        and any(kinds.get(need, Kind.SUCCEEDED) is not Kind.SUCCEEDED for need in state.task.needs)
    ]
    return [
        f"{name} has succeeded without what it needs today; once that is there, `resubmit --again {name}` makes it anew"
        for name in found[:3]
    ]
