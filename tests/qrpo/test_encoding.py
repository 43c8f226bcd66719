"""Batches made of sequences of token ids."""

import copy

from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from qrpo.encoding import Tokens, padded, sequence_of

SEQUENCES = [Tokens([5, 6], [7, 0]), Tokens([5], [0])]


def test_masks_come_from_lengths_not_from_token_ids() -> None:
    batch = padded(SEQUENCES, None)  # 0 ends both completions, and fills the rest of the second row
    assert {name: value.tolist() for name, value in batch.items()} == {
        "input_ids": [[5, 6, 7, 0], [5, 0, 0, 0]],
        "attention_mask": [[1, 1, 1, 1], [1, 1, 0, 0]],
        "completion_mask": [[0, 0, 1, 1], [0, 1, 0, 0]],
    }


def test_a_completion_gets_no_token_that_begins_a_text(tokenizer: PreTrainedTokenizerFast) -> None:
    """Many tokenizers put one in front of every text, which belongs in front of the prompt alone."""
    begins = copy.deepcopy(tokenizer)
    begins.backend_tokenizer.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    found = sequence_of({"prompt": "a", "completion": "b"}, begins)
    assert found == Tokens([1, 3], [4, 0])


def test_sequences_are_padded_to_a_multiple() -> None:
    batch = padded(SEQUENCES, 3)
    assert {name: tuple(value.shape) for name, value in batch.items()} == {
        "input_ids": (2, 6),
        "attention_mask": (2, 6),
        "completion_mask": (2, 6),
    }
    assert batch["attention_mask"].sum().item() == 6
