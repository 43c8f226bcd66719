"""What tasks have used, from their events."""

import os
from collections.abc import Callable, Sequence

import pytest

from slurm.experiments.events import Ended, Event, Requeued, Started, Stopped, Submitted, append
from slurm.experiments.experiment import Experiment
from slurm.experiments.state import Kind, State
from slurm.experiments.usage import Outcome, Run, runs_of, usage_of, wasted

HOUR = 3600.0
NOW = 100 * HOUR


def submitted(hour: float) -> Submitted:
    return Submitted(time=hour * HOUR, job="7", log="log")


def started(hour: float) -> Started:
    return Started(time=hour * HOUR, job="7", host="n1", pid=1)


def ended(hour: float, code: int = 0) -> Ended:
    return Ended(time=hour * HOUR, code=code)


def runs(experiment: Experiment, attempts: dict[str, Sequence[Sequence[Event]]], kind: Kind = Kind.FAILED) -> list[Run]:
    for name, found in attempts.items():
        for number, events in enumerate(found, start=1):
            attempt = experiment.folder.attempt(experiment.tasks[name], number)
            attempt.path.mkdir(parents=True)
            for event in events:
                append(attempt.events_path, event)
    states = [State(task=task, kind=kind) for task in experiment.tasks.values()]
    return runs_of(experiment.folder, states, NOW)


ONE = "  a: {command: c, resources: {nodes: 2, cpus_per_task: 8, gpus_per_node: 4}}"


def test_hours_are_those_of_all_nodes_cores_and_gpus(written: Callable[..., Experiment]) -> None:
    found = runs(written(ONE), {"a": [[submitted(0), started(1), ended(4)]]})
    [run] = found
    assert (run.outcome, run.queued_s, run.host) == (Outcome.SUCCEEDED, HOUR, "n1")
    used = usage_of(found)
    assert (used.runs, used.node_hours, used.core_hours, used.gpu_hours) == (1, 6, 48, 24)
    assert wasted(found) == []


def test_a_job_that_was_queued_again_has_two_runs_and_waits_twice(written: Callable[..., Experiment]) -> None:
    stop = Stopped(time=2 * HOUR, why="limit")
    events = [submitted(0), started(1), stop, Requeued(time=3 * HOUR), started(5), ended(6)]
    found = runs(written(ONE), {"a": [events]})
    assert [(run.outcome, run.hours, run.queued_s / HOUR) for run in found] == [
        (Outcome.REQUEUED, 2, 1),
        (Outcome.SUCCEEDED, 1, 2),
    ]
    assert wasted(found) == []


def test_what_came_to_nothing_is_wasted_with_what_was_done_before_a_requeue(
    written: Callable[..., Experiment],
) -> None:
    first = [submitted(0), started(1), Requeued(time=3 * HOUR), started(4), ended(5, code=1)]
    found = runs(written(ONE), {"a": [first, [submitted(6), started(7), ended(8)]]})
    assert [(run.attempt, run.hours) for run in wasted(found)] == [(1, 2), (1, 1)]


def test_waiting_begins_when_all_that_a_task_needs_has_succeeded(written: Callable[..., Experiment]) -> None:
    experiment = written("  a: {command: c}\n  b: {command: c, after: [a]}")
    found = runs(
        experiment, {"a": [[submitted(0), started(1), ended(4)]], "b": [[submitted(0), started(4.5), ended(5)]]}
    )
    assert [run.queued_s for run in found] == [HOUR, HOUR / 2]


def test_a_run_ends_now_where_it_still_runs_and_with_its_last_sign_of_life_where_it_is_lost(
    written: Callable[..., Experiment],
) -> None:
    experiment = written("  a: {command: c}")
    attempt = experiment.folder.attempt(experiment.tasks["a"], 1)
    [run] = runs(experiment, {"a": [[submitted(0), started(1)]]}, Kind.RUNNING)
    assert (run.outcome, run.end) == (Outcome.RUNNING, NOW)
    attempt.heartbeat.touch()
    os.utime(attempt.heartbeat, (3 * HOUR, 3 * HOUR))
    [run] = runs_of(experiment.folder, [State(task=experiment.tasks["a"], kind=Kind.FAILED)], NOW)
    assert (run.outcome, run.end) == (Outcome.LOST, 3 * HOUR)
    append(attempt.events_path, started(4))
    append(attempt.events_path, ended(5))
    found = runs_of(experiment.folder, [State(task=experiment.tasks["a"], kind=Kind.SUCCEEDED)], NOW)
    assert [(item.outcome, item.hours) for item in found] == [(Outcome.LOST, 0), (Outcome.SUCCEEDED, 1)]


@pytest.mark.parametrize(("why", "outcome"), [("cancelled", Outcome.CANCELLED), ("limit", Outcome.FAILED)])
def test_what_somebody_has_ended_is_told_from_what_has_failed(
    written: Callable[..., Experiment], why: str, outcome: Outcome
) -> None:
    stop = Stopped.model_validate({"time": HOUR, "why": why})
    [run] = runs(written(ONE), {"a": [[submitted(0), started(0), stop, ended(2, code=-15)]]})
    assert run.outcome is outcome


def test_cores_are_not_known_where_a_task_does_not_say(written: Callable[..., Experiment]) -> None:
    used = usage_of(runs(written("  a: {command: c}"), {"a": [[submitted(0), started(0), ended(1)]]}))
    assert (used.node_hours, used.core_hours, used.gpu_hours) == (1, None, 0)
