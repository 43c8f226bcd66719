"""Tokens from logits and uniform numbers, by inversion of the distribution function."""

from __future__ import annotations

import torch

_LIKELY = 256
"""The nucleus is looked for among so many tokens first: on a CPU that takes a tenth of sorting 49,152 (measured)."""


def pick(logits: torch.Tensor, draw: torch.Tensor, *, temperature: float, top_p: float = 1.0) -> torch.Tensor:
    """Tokens by inversion of the distribution function, [rows].

    Args:
        logits: [rows, vocabulary], float32.
        draw: [rows], uniform in [0, 1).
        temperature: > 0.
        top_p: in (0, 1]; below 1 only the nucleus is drawn from, see `nucleus`.
    """
    # One number per row; torch.multinomial draws one per token of the vocabulary and takes longer than the model.
    probabilities = torch.softmax(logits / temperature, dim=-1, dtype=torch.float32)
    if top_p < 1:
        probabilities = nucleus(probabilities, top_p)
    cumulative = probabilities.cumsum(-1, dtype=torch.float32)
    # Scaled by the last entry, which is 1 up to rounding without a nucleus, and kept below it; `right` skips tokens of
    # probability 0.
    below_one = draw.to(logits.device, torch.float32).clamp(max=1 - 2**-23)
    return torch.searchsorted(cumulative, below_one[:, None] * cumulative[:, -1:], right=True).squeeze(1)


def nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """The same with 0 outside of the smallest set of tokens whose probability reaches `top_p`, [rows, vocabulary].

    Among tokens of equal probability the first belong to it. Source: arXiv 1904.09751, section 3.1.

    Args:
        probabilities: [rows, vocabulary], >= 0.
        top_p: in (0, 1).
    """
    goal = top_p * probabilities.sum(-1, keepdim=True, dtype=torch.float64)
    ranked = probabilities.topk(min(_LIKELY, probabilities.shape[-1])).values
    if (ranked.sum(-1, keepdim=True, dtype=torch.float64) < goal).any():
        ranked = probabilities.sort(dim=-1, descending=True).values
    short = ranked.cumsum(-1, dtype=torch.float64) < goal
    last = short.sum(-1, keepdim=True).clamp(max=ranked.shape[-1] - 1)  # sums in another order can fall short of all
    least = ranked.gather(-1, last)
    above, equal = probabilities > least, probabilities == least
    # Equals are told apart by their place, never by the sorting, which may order them by what else is in the batch.
    room = last + 1 - above.sum(-1, keepdim=True)
    return probabilities.where(above | (equal & (equal.cumsum(-1) <= room)), 0.0)
