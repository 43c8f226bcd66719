"""Where an experiment stands, for people."""

import io
from collections.abc import Callable

from rich.console import Console

from slurm.experiments.experiment import Experiment
from slurm.experiments.standing import Standing
from slurm.experiments.state import Cause, Kind, State
from slurm.experiments.status_table import Listing, Summary, as_data, duration


def shown(experiment: Experiment, states: list[State]) -> str:
    out = io.StringIO()
    console = Console(file=out, width=100)
    Summary(Standing(experiment=experiment, states=states, left=[])).print_to(console)
    return out.getvalue()


def thousand(experiment: Experiment) -> list[State]:
    """Most have succeeded, 37 were out of memory, and some wait."""
    states = []
    for place, task in enumerate(experiment.tasks.values()):
        if place < 37:
            detail, words = f"node n{place} has {place} GiB", "Killed\nslurmstepd: oom"
            state = State(
                task=task,
                kind=Kind.FAILED,
                cause=Cause.OUT_OF_MEMORY,
                detail=detail,
                log=f"logs/1_{place}.log",
                last_words=words,
            )
        elif place < 900:
            state = State(task=task, kind=Kind.SUCCEEDED)
        else:
            state = State(task=task, kind=Kind.QUEUED, detail="waits for free nodes")
        states.append(state)
    return states


def test_a_thousand_tasks_are_read_at_a_glance(written: Callable[..., Experiment]) -> None:
    experiment = written("  a: {command: c, grid: {x: {range: 1000}}}")
    lines = shown(experiment, thousand(experiment)).splitlines()
    assert [line.split() for line in lines[1:3]] == [
        ["stage", "tasks", "queued", "succeeded", "failed"],
        ["a", "1000", "100", "863", "37"],
    ]
    assert lines[3:] == [
        "a: 100 wait: waits for free nodes",
        "a: 37 x out of memory: node n0 has 0 GiB",
        "    x=0, x=1, x=2, x=3 and 33 more",
        "    logs/1_0.log ends with:",
        "      Killed",
        "      slurmstepd: oom",
    ]


def test_what_a_log_holds_is_no_markup(written: Callable[..., Experiment]) -> None:
    experiment = written("  a: {command: c}")
    state = State(task=experiment.tasks["a"], kind=Kind.FAILED, detail="[bold]x[/nothing]", last_words="[/red] \x1b[2J")
    said = shown(experiment, [state])
    assert "failed: [bold]x[/nothing]" in said
    assert "[/red]" in said
    assert "\x1b" not in said


def test_data_count_all_states_and_tell_every_task(written: Callable[..., Experiment]) -> None:
    experiment = written("  a: {command: c, grid: {x: {range: 1000}}}")
    data = as_data(Standing(experiment=experiment, states=thousand(experiment), left=[]))
    assert data["counts"] == {
        "not submitted": 0,
        "queued": 100,
        "running": 0,
        "succeeded": 863,
        "failed": 37,
        "blocked": 0,
        "cancelled": 0,
    }
    assert data["succeeded"] is False
    assert isinstance(data["tasks"], list)
    assert len(data["tasks"]) == 1000


def test_a_listing_has_a_row_for_each_task(written: Callable[..., Experiment]) -> None:
    experiment = written("  a: {command: c, grid: {x: {range: 3}}}")
    out = io.StringIO()
    states = [
        State(task=task, kind=Kind.RUNNING, attempt=2, job="7", node="n1", elapsed_s=65, requeues=1)
        for task in experiment.tasks.values()
    ]
    Console(file=out, width=120).print(Listing(states))
    assert out.getvalue().splitlines()[1].split() == (
        ["a/x=0", "running", "(attempt", "2)", "(requeued", "1", "x)", "7", "n1", "1:05", "min"]
    )


def test_durations_are_said_for_people() -> None:
    said = [duration(seconds) for seconds in (None, 3.4, 65, 3600, 90061)]
    assert said == [
        "",
        "3 s",
        "1:05 min",
        "1:00:00",
        "25:01:01",
    ]
