"""Log-probabilities of given completions, token by token."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from qrpo.models import Policy


@torch.inference_mode()
def token_logps(
    policy: Policy, sequences: Sequence[tuple[Sequence[int], Sequence[int]]], temperature: float = 1.0
) -> list[list[float]]:
    """Log pi(token | prefix) of each token of each completion, nats.

    Args:
        policy: the model.
        sequences: token ids of prompt and completion, neither empty; all in one batch.
        temperature: logits are divided by it.
    """
    rows = [[*prompt, *completion] for prompt, completion in sequences]
    longest = max(map(len, rows))
    # Padded on the left, so that the completions stand at the end and the model computes logits for them alone.
    ids = torch.tensor([[policy.pad_id] * (longest - len(row)) + row for row in rows], device=policy.device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=policy.device)
    logits = policy.model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
        use_cache=False,
        logits_to_keep=max(len(completion) for _, completion in sequences) + 1,
    ).logits
    # Row by row: a float32 copy of the whole batch's logits can be gigabytes.
    return [
        _gather(logits[row, -len(completion) - 1 : -1], completion, temperature)
        for row, (_, completion) in enumerate(sequences)
    ]


def _gather(logits: torch.Tensor, tokens: Sequence[int], temperature: float) -> list[float]:
    """Log-probabilities of the tokens, from the logits that predict them, [tokens, vocabulary]."""
    logits = logits.float() / temperature
    wanted = torch.tensor(list(tokens), device=logits.device)
    logps: list[float] = (logits.gather(1, wanted[:, None]).squeeze(1) - logits.logsumexp(1)).tolist()
    return logps
