"""From rows to what the trainer is given."""

import pytest
from datasets import Dataset

from qrpo.data import PointwiseRow
from qrpo.train import as_dataset


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
