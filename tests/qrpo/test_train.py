"""From rows to what the trainer is given."""

from pathlib import Path

import pytest
from datasets import Dataset
from transformers import TrainerState

from qrpo.data import PointwiseRow
from qrpo.train import as_dataset, last_checkpoint


def row(number: int) -> PointwiseRow:
    return PointwiseRow(
        problem_id=f"p{number}",
        prompt_ids=[1, 2],
        completion_ids=list(range(number + 1)),
        reward=1.0,
        ref_rewards=[0.0, 1.0],
        truncated=number % 2 == 0,
    )


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_data_set_made_in_parts_is_that_of_all_rows(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    whole = Dataset.from_list([dict(row(number)) for number in range(count)])
    convert = Dataset.from_list

    def counted(rows: list[dict[str, object]]) -> Dataset:
        sizes.append(len(rows))
        return convert(rows)

    monkeypatch.setattr("qrpo.train._PART", 2)
    monkeypatch.setattr(Dataset, "from_list", counted)
    made = as_dataset([row(number) for number in range(count)])
    assert made.to_list() == whole.to_list()
    assert made.features == whole.features
    assert max(sizes) <= 2  # all at once would be copies of all at once


def test_of_checkpoints_the_newest_whole_one_is_last_and_those_that_were_being_written_go(tmp_path: Path) -> None:
    for step in (2, 10, 12):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (2, 10):
        TrainerState(global_step=step).save_to_json(str(tmp_path / f"checkpoint-{step}" / "trainer_state.json"))
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-2", "checkpoint-10"}
