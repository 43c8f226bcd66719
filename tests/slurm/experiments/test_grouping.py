"""Which tasks one sbatch submits, and what it waits for."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm.experiments.description import Resources, Stopping
from slurm.experiments.grouping import Group, groups_of, index_list, stages_of
from slurm.experiments.task import Task


def task(stage: str, number: int, needs: Sequence[str] = (), **resources: int) -> Task:
    return Task(
        stage=stage,
        version=1,
        parameters={"n": number},
        script="true",
        environment={},
        workdir="/w",
        inputs=(),
        outputs=(),
        content={},
        needs=tuple(needs),
        resources=Resources(**resources),  # type: ignore[arg-type]
        stopping=Stopping(),
    )


def grouped(
    tasks: Sequence[Task], jobs: Mapping[str, str], arrays: Mapping[str, int] | None = None, largest: int = 1001
) -> list[Group]:
    whole = {base: frozenset(f"{base}_{index}" for index in range(size)) for base, size in (arrays or {}).items()}
    return list(groups_of(tasks, jobs, whole, largest))


SHARDS = {f"generate/n={number}": f"7_{number}" for number in range(4)}


def test_tasks_that_wait_for_nothing_are_one_array() -> None:
    (group,) = grouped([task("generate", number) for number in range(4)], {})
    assert (group.indices, group.dependency) == ((0, 1, 2, 3), "")


def test_a_single_task_is_no_array() -> None:
    (group,) = grouped([task("generate", 0)], {})
    assert group.indices == ()


def test_an_array_has_no_more_jobs_than_slurm_allows() -> None:
    groups = grouped([task("generate", number) for number in range(25)], {}, largest=10)
    assert [len(group.indices) for group in groups] == [10, 10, 5]
    assert all(max(group.indices) < 10 for group in groups)


def test_what_has_succeeded_is_not_waited_for() -> None:
    (group,) = grouped([task("train", 0, ["generate/n=0", "generate/n=9"])], SHARDS)
    assert group.dependency == "afterok:7_0"


def test_a_whole_array_is_waited_for_by_its_number() -> None:
    tasks = [task("train", number, list(SHARDS)) for number in range(2)]
    (group,) = grouped(tasks, SHARDS, {"7": 4})
    assert (group.indices, group.dependency) == ((0, 1), "afterok:7")


def test_a_part_of_an_array_is_waited_for_job_by_job() -> None:
    (group,) = grouped([task("train", 0, list(SHARDS)[:2])], SHARDS, {"7": 4})
    assert group.dependency == "afterok:7_0:7_1"


def test_arrays_go_pairwise_where_each_task_needs_one_of_the_other() -> None:
    tasks = [task("score", number, [f"generate/n={number}"]) for number in range(4)]
    (group,) = grouped(tasks, SHARDS, {"7": 4})
    assert (group.indices, group.dependency) == ((0, 1, 2, 3), "aftercorr:7")


def test_pairs_are_found_where_some_of_the_other_have_succeeded() -> None:
    tasks = [task("score", number, [f"generate/n={number}"]) for number in (3, 1)]
    (group,) = grouped(tasks, SHARDS)
    assert [item.parameters["n"] for item in group.tasks] == [1, 3]
    assert (group.indices, group.dependency) == ((1, 3), "aftercorr:7")


def test_several_that_need_the_same_job_are_in_different_arrays() -> None:
    tasks = [task("eval", 10 * number + part, [f"generate/n={number}"]) for number in range(4) for part in range(2)]
    groups = grouped(tasks, SHARDS)
    assert [(group.indices, group.dependency) for group in groups] == [((0, 1, 2, 3), "aftercorr:7")] * 2


def test_what_all_need_is_waited_for_beside_the_pairs() -> None:
    jobs = {**SHARDS, "model": "6"}
    tasks = [task("score", number, [f"generate/n={number}", "model"]) for number in range(4)]
    (group,) = grouped(tasks, jobs)
    assert group.dependency == "aftercorr:7,afterok:6"


def test_tasks_that_need_different_sets_are_grouped_by_these() -> None:
    tasks = [task("train", number, list(SHARDS)[2 * (number % 2) :][:2]) for number in range(4)]
    groups = grouped(tasks, SHARDS)
    assert [(group.indices, group.dependency) for group in groups] == [
        ((0, 1), "afterok:7_0:7_1"),
        ((0, 1), "afterok:7_2:7_3"),
    ]


def test_tasks_that_ask_for_different_resources_are_different_stages() -> None:
    tasks = [task("a", 0), task("a", 1, nodes=2), task("a", 2), task("b", 0)]
    assert [[item.id for item in stage] for stage in stages_of(tasks)] == [["a/n=0", "a/n=2"], ["a/n=1"], ["b/n=0"]]


@given(
    st.lists(st.sets(st.sampled_from([f"g/n={number}" for number in range(6)]), max_size=3), min_size=1, max_size=12),
    st.dictionaries(
        st.sampled_from([f"g/n={number}" for number in range(6)]),
        st.tuples(st.sampled_from(["5", "7"]), st.integers(0, 5)).map(lambda pair: f"{pair[0]}_{pair[1]}"),
    ),
)
def test_each_task_waits_for_all_that_it_needs(needs: list[set[str]], jobs: dict[str, str]) -> None:
    tasks = [task("t", number, sorted(need)) for number, need in enumerate(needs)]
    groups = grouped(tasks, jobs, {"5": 6})
    assert sorted(item.id for group in groups for item in group.tasks) == sorted(item.id for item in tasks)
    for group in groups:
        for place, item in enumerate(group.tasks):
            needed = {jobs[need] for need in item.needs if need in jobs}
            assert needed <= waited_for(group, place)


def waited_for(group: Group, place: int) -> set[str]:
    """Jobs that Slurm holds a task of a group back for; source: sbatch(1), --dependency."""
    found: set[str] = set()
    for part in filter(None, group.dependency.split(",")):
        word, *names = part.split(":")
        for name in names:
            if word == "aftercorr":
                found.add(f"{name}_{group.indices[place]}")
            elif "_" in name:
                found.add(name)
            else:
                found |= {f"{name}_{index}" for index in range(6)}
    return found


@pytest.mark.parametrize(
    ("indices", "text"), [((0,), "0"), ((0, 1, 2), "0-2"), ((0, 2, 3, 7), "0,2-3,7"), ((4, 5), "4-5")]
)
def test_indices_are_written_as_sbatch_takes_them(indices: Sequence[int], text: str) -> None:
    assert index_list(indices) == text
