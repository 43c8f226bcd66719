"""Tasks that would write over each other."""

from collections.abc import Callable

import pytest

from slurm.errors import DescriptionError
from slurm.experiments.experiment import Experiment
from slurm.experiments.inputs import missing_inputs

TWO = "  a: {command: c, outputs: [%s]}\n  b: {command: c, outputs: [%s]}"


@pytest.mark.parametrize("other", ["./x", "d/../x", "./d//../x", "x/."])
def test_one_file_by_two_ways_is_one_file(written: Callable[..., Experiment], other: str) -> None:
    with pytest.raises(DescriptionError, match=r"a and b both make .*/x$"):
        written(TWO % ("x", other))


def test_what_is_made_within_another_task_s_folder_is_refused(written: Callable[..., Experiment]) -> None:
    for one, other in (("d", "d/e/x"), ("d/e/x", "./d")):
        with pytest.raises(DescriptionError, match=r"[ab] makes .*/d, and [ab] makes .*/d/e/x in it: give one another"):
            written(TWO % (one, other))


def test_a_task_may_fill_its_own_folder_and_that_of_one_that_it_waits_for(written: Callable[..., Experiment]) -> None:
    stages = """
  train: {command: c, grid: {x: [1, 2]}, outputs: ["run{{ x }}", "run{{ x }}/log"]}
  evaluate: {command: c, after: [train], grid: {x: [1, 2]}}
  judge: {command: c, after: [evaluate], grid: {x: [1, 2]}, outputs: ["run{{ x }}/scores"]}
"""
    assert len(written(stages).tasks) == 6
    with pytest.raises(DescriptionError, match=r"train/x=2 makes .*/run2, and judge/x=1 makes .*/run2/scores in it"):
        written(stages.replace('"run{{ x }}/scores"', '"run{{ 3 - x }}/scores"'))


def test_an_input_that_a_task_makes_is_known_however_it_is_written(written: Callable[..., Experiment]) -> None:
    experiment = written(
        "  a: {command: c, outputs: [./o/p]}\n  b: {command: c, after: [a], inputs: [d/../o/p/x, o/q]}"
    )
    assert [path.name for _, path in missing_inputs(list(experiment.tasks.values()))] == ["q"]
