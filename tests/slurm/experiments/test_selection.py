"""Which tasks words name."""

from collections.abc import Callable

import pytest

from slurm.errors import ExperimentError
from slurm.experiments.experiment import Experiment
from slurm.experiments.selection import selected, shortened

STAGES = """
  make: {command: c, grid: {shard: {range: 12}}}
  make-more: {command: c, grid: {shard: 1, loss: [dpo, QRPO]}}
"""


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("make/shard=1", 1),
        ("make", 12),
        ("make/shard=1?", 2),
        ("*shard=1*", 5),
        ("loss=dpo", 1),
        ("QRPO", 1),
        ("*", 14),
    ],
)
def test_a_word_is_an_id_a_stage_a_pattern_or_a_part(written: Callable[..., Experiment], word: str, count: int) -> None:
    assert len(selected(written(STAGES).tasks.values(), [word])) == count


def test_an_id_is_no_pattern(written: Callable[..., Experiment]) -> None:
    tasks = written("  a: {command: c, grid: {x: ['[bc]', b, c]}}").tasks
    assert [task.id for task in selected(tasks.values(), ["a/x=[bc]"])] == ["a/x=[bc]"]


def test_several_words_name_each_task_once_and_in_order(written: Callable[..., Experiment]) -> None:
    tasks = written(STAGES).tasks
    assert [task.id for task in selected(tasks.values(), ["loss=QRPO", "make", "make/shard=3"])] == [
        *list(tasks)[:12],
        "make-more/shard=1,loss=QRPO",
    ]


@pytest.mark.parametrize(
    ("word", "words"), [("nothing", "no task is named 'nothing'"), ("shard=1,", "write '*shard=1,*' for all")]
)
def test_what_names_none_or_is_a_part_of_several_is_refused(
    written: Callable[..., Experiment], word: str, words: str
) -> None:
    with pytest.raises(ExperimentError) as caught:
        selected(written(STAGES).tasks.values(), [word])
    assert words in str(caught.value)


def test_of_many_the_first_are_named_and_the_others_counted() -> None:
    assert shortened(list("abcd")) == "a, b, c, d"
    assert shortened(list("abcdefg")) == "a, b, c, d and 3 more"
