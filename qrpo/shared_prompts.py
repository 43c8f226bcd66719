"""A batch in which a prompt that several rows have is computed once.

Rows of one prompt become one line: the prompt without its last token, then for each row that token and the row's
completion. A token sees the line's prompt and what is before it in its own row, at the positions that it has in the
row: the log-probabilities are those of the rows, up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

MODEL_TYPES = frozenset({"gemma", "granite", "llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3", "smollm3"})
"""Those that take a mask of four dimensions and positions as they are given; a test compares each with its rows."""
_WORTH = 0.9
"""Of the cost of the rows, padding included: what lines must save."""


class Lines(NamedTuple):
    """A batch of G lines of L tokens, in place of B rows of T."""

    input_ids: Tensor
    """[G, L] int64."""
    position_ids: Tensor
    """[G, L] int64."""
    labels: Tensor
    """[G, L] int64; -100 where nothing is predicted."""
    segments: Tensor
    """[G, L] int64: 0 in the prompt, 1 + the row's number in a row, -1 in padding."""
    places: Tensor
    """[N] int64, of the N completion tokens: where the prediction stands in the flat [G, L - 1]."""
    rows: Tensor
    """[N] int64: and in the flat [B, T - 1]."""

    def attention_mask(self) -> Tensor:
        """[G, 1, L, L] bool: which token sees which. Each sees itself, so that no softmax is empty."""
        length = self.segments.shape[1]
        before = torch.ones(length, length, dtype=torch.bool, device=self.segments.device).tril()
        seen, sees = self.segments[:, None, :], self.segments[:, :, None]
        return (before & ((seen == 0) | (seen == sees)))[:, None]

    def spread(self, values: Tensor, shape: torch.Size) -> Tensor:
        """Values of predictions, [G, L - 1], to where rows have them, [B, T - 1]; 0 elsewhere."""
        flat = values.new_zeros(shape.numel())
        return flat.index_put((self.rows,), values.flatten()[self.places]).view(shape)


class Cost(NamedTuple):
    """What a line costs: attention is quadratic in its length, and computed for what is masked, too."""

    width: int
    """Of the model; tokens of a line of about twice as many cost as much by attention as by everything else."""

    def __call__(self, length: int) -> float:
        """In tokens without attention."""
        return length * (1 + length / max(1024, 2 * self.width))


def lines_of(input_ids: Tensor, labels: Tensor, cost: Cost) -> Lines | None:
    """The lines of a batch; None: they would save too little, or a row has no prompt or no completion.

    Args:
        input_ids: [B, T], padded on the right.
        labels: [B, T]: -100 in the prompt and in padding, the ids themselves in the completion.
        cost: of the model.
    """
    rows = _split(input_ids, labels)
    if not all(row.prompt and row.completion for row in rows):
        return None
    lines = list(_lines(rows, cost))
    longest = max(map(_length, lines))
    if len(lines) * cost(longest) > _WORTH * len(rows) * cost(input_ids.shape[1]):
        return None
    tokens = [token for number, line in enumerate(lines) for token in _tokens(number, line)]
    numbers, places, ids, positions, wanted, segments = torch.tensor(tokens).T
    found = torch.zeros(4, len(lines), longest, dtype=torch.int64)
    found[2], found[3] = -100, -1
    found[:, numbers, places] = torch.stack([ids, positions, wanted, segments])
    is_predicted = wanted != -100
    # TRL's head puts the result for a token where its predecessor stands: one to the left.
    in_lines = (numbers * (longest - 1) + places - 1)[is_predicted]
    in_rows = ((segments - 1) * (input_ids.shape[1] - 1) + positions - 1)[is_predicted]
    found, in_lines, in_rows = (tensor.to(input_ids.device) for tensor in (found, in_lines, in_rows))
    return Lines(found[0], found[1], found[2], found[3], in_lines, in_rows)


def _tokens(number: int, line: Sequence[_Row]) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Of each token of a line: the line, the place in it, id, position, label and segment."""
    prompt = line[0].prompt
    for place, token in enumerate(prompt[:-1]):
        yield number, place, token, place, -100, 0
    place = len(prompt) - 1
    for row in line:
        for offset, token in enumerate([prompt[-1], *row.completion]):
            yield number, place, token, len(prompt) - 1 + offset, token if offset else -100, 1 + row.number
            place += 1


class _Row(NamedTuple):
    number: int
    prompt: tuple[int, ...]
    completion: list[int]


def _split(input_ids: Tensor, labels: Tensor) -> list[_Row]:
    is_predicted = labels != -100
    starts, sizes = is_predicted.int().argmax(1).tolist(), is_predicted.sum(1).tolist()
    return [
        _Row(number, tuple(ids[:start]), ids[start : start + size])
        for number, (ids, start, size) in enumerate(zip(input_ids.tolist(), starts, sizes, strict=True))
    ]


def _lines(rows: Sequence[_Row], cost: Cost) -> Iterator[list[_Row]]:
    """Rows of one prompt together, as many as are cheaper in one line than by themselves."""
    open_lines: dict[tuple[int, ...], list[_Row]] = {}
    for row in rows:
        line = open_lines.setdefault(row.prompt, [])
        if line and cost(_length([*line, row])) > cost(_length(line)) + cost(_length([row])):
            yield line
            line = open_lines[row.prompt] = []
        line.append(row)
    yield from open_lines.values()


def _length(line: Sequence[_Row]) -> int:
    return len(line[0].prompt) - 1 + sum(1 + len(row.completion) for row in line)
