"""Where an experiment stands: the states of its tasks, and what cannot be known of them here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from slurm.experiments.diagnosis import states_of
from slurm.experiments.events import Submitted
from slurm.experiments.experiment import Experiment
from slurm.experiments.plan import LIVE
from slurm.experiments.selection import shortened
from slurm.experiments.state import Kind, State

LOCAL = "local-"
"""How the ids of jobs begin that run on this machine, and not in Slurm."""
_LOOK_S, _SLOWER, _SLOWEST_S = 2.0, 1.2, 15.0


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
    def all_states(self) -> Sequence[State]:
        """First of today's tasks."""
        return [*self.states, *self.left]

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
        experiment=experiment,
        states=found[:count],
        left=found[count:],
        notes=[*_unknown(found), *_outdated(experiment, found[:count])],
    )


def pauses() -> Iterator[float]:
    """How long to wait between looks at Slurm, s: what takes hours is asked for less often."""
    pause_s = _LOOK_S
    while True:
        yield pause_s
        pause_s = min(pause_s * _SLOWER, _SLOWEST_S)


def _unknown(states: Sequence[State]) -> list[str]:
    in_slurm = [state for state in states if state.kind in LIVE and not state.job.startswith(LOCAL)]
    if in_slurm and shutil.which("squeue") is None:
        words = f"of {len(in_slurm)} jobs only what they have written themselves is known, and why they wait is not"
        return [f"Slurm is not on this machine: {words}"]
    return []


def _outdated(experiment: Experiment, states: Sequence[State]) -> list[str]:
    """Tasks that have succeeded with other results of what they need than there are, or will be.

    Told by the order of submissions: it is that of one clock, mostly.
    """
    kinds = {state.task.id: state.kind for state in states}
    needed = {need for state in states for need in state.task.needs}
    times = {
        state.task.id: _submitted_s(experiment, state)
        for state in states
        if state.kind is Kind.SUCCEEDED and (state.task.needs or state.task.id in needed)
    }
    found = [
        name
        for name, time_s in times.items()
        if time_s is not None and any(_is_later(need, time_s, kinds, times) for need in experiment.tasks[name].needs)
    ]
    if not found:
        return []
    which = f"{shortened(found)}: made before what {'it needs' if len(found) == 1 else 'they need'} today"
    return [f"{which}; once that is there, `resubmit --again TASK` makes it anew"]


def _is_later(need: str, time_s: float, kinds: Mapping[str, Kind], times: Mapping[str, float | None]) -> bool:
    if kinds.get(need) is not Kind.SUCCEEDED:
        return True
    other_s = times[need]
    return other_s is not None and other_s > time_s


def _submitted_s(experiment: Experiment, state: State) -> float | None:
    events = experiment.folder.attempt(state.task, state.attempt).events()
    return next((event.time for event in events if isinstance(event, Submitted)), None)
