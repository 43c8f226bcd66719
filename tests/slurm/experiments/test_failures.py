"""Failures put together."""

from collections.abc import Callable

from slurm.experiments.experiment import Experiment
from slurm.experiments.failures import grouped
from slurm.experiments.state import Cause, Kind, State


def failed(task: str, experiment: Experiment, cause: Cause, detail: str) -> State:
    return State(task=experiment.tasks[task], kind=Kind.FAILED, cause=cause, detail=detail)


def test_failures_that_differ_in_names_and_numbers_are_one(written: Callable[..., Experiment]) -> None:
    experiment = written("  a: {command: c, outputs: ['out/{{ x }}.json'], grid: {x: [dpo, qrpo, rebel]}}")
    states = [
        failed(f"a/x={name}", experiment, Cause.OUTPUT, f"out/{name}.json: is cut after {count} lines")
        for name, count in (("dpo", 1), ("qrpo", 22), ("rebel", 3))
    ]
    [group] = grouped(states)
    assert len(group.states) == 3
    assert group.what == "missing or invalid output: out/dpo.json: is cut after 1 lines"


def test_failures_of_another_kind_or_words_are_others(written: Callable[..., Experiment]) -> None:
    experiment = written("  a: {command: c, grid: {x: {range: 6}}}")
    details = [
        (Cause.PYTHON_ERROR, "KeyError: 'a'"),
        (Cause.PYTHON_ERROR, "KeyError: 'b'"),
        (Cause.OUT_OF_MEMORY, ""),
        (Cause.OUT_OF_MEMORY, ""),
        (Cause.EXIT_CODE, "exit code 3"),
    ]
    states = [failed(f"a/x={place}", experiment, cause, words) for place, (cause, words) in enumerate(details)]
    states.append(State(task=experiment.tasks["a/x=5"], kind=Kind.SUCCEEDED))
    found = [(len(group.states), group.what) for group in grouped(states)]
    assert found == [
        (2, "out of memory"),
        (1, "Python error: KeyError: 'a'"),
        (1, "Python error: KeyError: 'b'"),
        (1, "exit code: exit code 3"),
    ]


def test_what_has_failed_comes_before_what_waits_for_it(written: Callable[..., Experiment]) -> None:
    experiment = written("  a: {command: c, grid: {x: {range: 3}}}")
    kinds = [Kind.BLOCKED, Kind.BLOCKED, Kind.FAILED]
    states = [State(task=task, kind=kind) for task, kind in zip(experiment.tasks.values(), kinds, strict=True)]
    assert [group.first.kind for group in grouped(states)] == [Kind.FAILED, Kind.BLOCKED]
