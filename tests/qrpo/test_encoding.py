"""Batches made of prepared rows."""

from qrpo.encoding import PointwiseCollator

ROWS = [
    {"prompt_ids": [5, 6], "completion_ids": [7, 0], "reward": 1.0, "quantile": 0.5},
    {"prompt_ids": [5], "completion_ids": [0], "reward": 0.0, "quantile": 0.25},
]


def test_masks_come_from_lengths_not_from_token_ids() -> None:
    batch = PointwiseCollator()(ROWS)  # 0 ends both completions, and fills the rest of the second row
    assert {name: value.tolist() for name, value in batch.items()} == {
        "input_ids": [[5, 6, 7, 0], [5, 0, 0, 0]],
        "attention_mask": [[1, 1, 1, 1], [1, 1, 0, 0]],
        "completion_mask": [[0, 0, 1, 1], [0, 1, 0, 0]],
        "reward": [1.0, 0.0],
        "quantile": [0.5, 0.25],
    }


def test_sequences_are_padded_to_a_multiple() -> None:
    batch = PointwiseCollator(pad_to_multiple_of=3)(ROWS)
    assert {name: tuple(batch[name].shape) for name in ("input_ids", "attention_mask", "completion_mask")} == {
        "input_ids": (2, 6),
        "attention_mask": (2, 6),
        "completion_mask": (2, 6),
    }
    assert batch["attention_mask"].sum().item() == 6
