"""Which tasks are submitted."""

from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm.experiments.description import Resources, Stopping
from slurm.experiments.experiment import Experiment
from slurm.experiments.plan import LIVE, obstacle, plan, with_dependents
from slurm.experiments.state import Kind, State
from slurm.experiments.task import Task

CHAIN = "  a: {command: c}\n  b: {command: c, after: [a]}\n  c: {command: c, after: [b]}"


def standing(tasks: Sequence[Task], kinds: Sequence[Kind]) -> dict[str, State]:
    return {task.id: State(task=task, kind=kind) for task, kind in zip(tasks, kinds, strict=True)}


def ids(tasks: Sequence[Task]) -> str:
    return "".join(task.id for task in tasks)


@pytest.mark.parametrize(
    ("kinds", "chosen", "todo", "stuck"),
    [
        ("NOT_SUBMITTED NOT_SUBMITTED NOT_SUBMITTED", "", "abc", ""),
        ("SUCCEEDED RUNNING NOT_SUBMITTED", "", "c", ""),
        ("QUEUED QUEUED QUEUED", "", "", ""),
        ("FAILED BLOCKED NOT_SUBMITTED", "", "", "c"),
        ("FAILED BLOCKED BLOCKED", "a", "a", ""),
        ("FAILED BLOCKED BLOCKED", "abc", "abc", ""),
        ("FAILED BLOCKED BLOCKED", "bc", "", "bc"),
        ("SUCCEEDED SUCCEEDED CANCELLED", "c", "c", ""),
        ("SUCCEEDED SUCCEEDED SUCCEEDED", "a", "a", ""),
        ("FAILED SUCCEEDED NOT_SUBMITTED", "b", "", "bc"),
    ],
)
def test_what_is_new_or_chosen_is_submitted_where_what_it_needs_can_succeed(
    written: Callable[..., Experiment], kinds: str, chosen: str, todo: str, stuck: str
) -> None:
    tasks = list(written(CHAIN).tasks.values())
    found = plan(tasks, standing(tasks, [Kind[name] for name in kinds.split()]), chosen)
    assert (ids(found.todo), ids(found.stuck)) == (todo, stuck)


def test_what_could_not_run_goes_along_with_what_it_waited_for(written: Callable[..., Experiment]) -> None:
    tasks = list(written(CHAIN).tasks.values())
    states = standing(tasks, [Kind.FAILED, Kind.BLOCKED, Kind.BLOCKED])
    assert with_dependents(tasks, states, {"a"}) == {"a", "b", "c"}
    states = standing(tasks, [Kind.FAILED, Kind.CANCELLED, Kind.SUCCEEDED])
    assert with_dependents(tasks, states, {"a"}) == {"a", "b"}
    states["b"] = State(task=tasks[1], kind=Kind.CANCELLED, elapsed_s=3.0)  # somebody has ended it while it ran
    assert with_dependents(tasks, states, {"a"}) == {"a"}


def test_what_a_task_waits_for_in_vain_is_what_has_failed_or_was_cancelled_itself(
    written: Callable[..., Experiment],
) -> None:
    tasks = written(CHAIN).tasks
    kinds = {"a": Kind.FAILED, "b": Kind.BLOCKED, "c": Kind.BLOCKED}
    states = {name: State(task=tasks[name], kind=kind) for name, kind in kinds.items()}
    assert [obstacle(tasks[name], states, ()) for name in "abc"] == [None, states["a"], states["a"]]
    assert obstacle(tasks["b"], states, {"a"}) is None
    for kind in (Kind.CANCELLED, Kind.BLOCKED):
        states["b"] = State(task=tasks["b"], kind=kind)
        assert obstacle(tasks["c"], states, {"a"}) == states["b"]


def task(number: int, needs: Sequence[int]) -> Task:
    return Task(
        stage=f"s{number}",
        version=1,
        parameters={},
        script="true",
        environment={},
        workdir="/",
        inputs=(),
        outputs=(),
        content={},
        needs=tuple(f"s{need}" for need in needs),
        resources=Resources(),
        stopping=Stopping(),
    )


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Task], Mapping[str, State], set[str], int | None]:
    count = draw(st.integers(1, 8))
    tasks = [task(n, draw(st.lists(st.integers(0, n - 1), unique=True, max_size=3)) if n else []) for n in range(count)]
    kinds = draw(st.lists(st.sampled_from(Kind), min_size=count, max_size=count))
    chosen = draw(st.sets(st.sampled_from([item.id for item in tasks])))
    states = standing(tasks, kinds)
    chosen = {name for name in chosen if states[name].kind not in LIVE}
    return tasks, states, chosen, draw(st.none() | st.integers(0, 6))


@given(situations())
def test_a_task_is_submitted_after_what_it_needs_and_the_queue_holds_no_more_than_its_limit(
    situation: tuple[list[Task], Mapping[str, State], set[str], int | None],
) -> None:
    tasks, states, chosen, queued = situation
    found = plan(tasks, states, chosen, queued)
    live = sum(state.kind in LIVE for state in states.values())
    assert queued is None or not found.todo or live + len(found.todo) <= queued
    there = {name for name, state in states.items() if state.kind in LIVE | {Kind.SUCCEEDED} and name not in chosen}
    for item in (*found.todo, *found.held):
        assert there.issuperset(item.needs)
        there.add(item.id)
    assert {item.id for item in found.stuck} == {
        item.id for item in (*found.todo, *found.held, *found.stuck) if obstacle(item, states, chosen) is not None
    }
    wanted = {name for name, state in states.items() if state.kind is Kind.NOT_SUBMITTED} | chosen
    assert {item.id for item in (*found.todo, *found.held, *found.stuck)} == wanted
    assert all(not there.issuperset(item.needs) for item in found.stuck)
