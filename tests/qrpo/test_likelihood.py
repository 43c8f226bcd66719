from collections.abc import Callable

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from qrpo.likelihood import token_logps
from qrpo.models import Policy


def test_a_padded_batch_gives_what_each_sequence_gives_alone(
    make_model: Callable[..., LlamaForCausalLM], tokenizer: PreTrainedTokenizerFast
) -> None:
    model = make_model().eval()
    policy = Policy(model=model, tokenizer=tokenizer, end_ids=frozenset({0}))
    sequences = [([1, 3, 4, 5], [6, 0]), ([1], [3, 4, 5, 6, 7]), ([1, 8, 8], [0])]
    found = token_logps(policy, sequences)
    for (prompt, completion), logps in zip(sequences, found, strict=True):
        with torch.no_grad():
            table = model(input_ids=torch.tensor([[*prompt, *completion]])).logits[0].log_softmax(-1)
        naive = [table[len(prompt) - 1 + place, token].item() for place, token in enumerate(completion)]
        assert logps == pytest.approx(naive, abs=1e-5)
