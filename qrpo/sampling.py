"""Sampling from a causal language model, exactly and reproducibly.

- The distribution is the model's own at the given temperature and top_p: nothing of its `generation_config` (top-k 50,
  for one) takes part, since quantile rewards are uniform only under the policy that the loss names as the reference.
- The prompt runs through the model once for all of its completions, and completions that have ended leave the batch.
- Each completion draws from a stream of uniform numbers of its own, found from the seed, the problem and its index.
  So a batch that is made again gives the same completions, and before and after training the same numbers are used.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import nn
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from qrpo.inversion import pick
from qrpo.models import Policy
from qrpo.records import Completion, FinishReason
from qrpo.vocabulary import Vocabulary

StopAfter = Literal["end", "block", "function"]
_CLOSED_BLOCK = re.compile(r"```[^`\n]*\n(?:.*\n)?[ \t]*```\Z", re.DOTALL)
_UNINDENTED = re.compile(r"(?<=\n)\S")
_COMPACT_BELOW = 0.85
"""Copying the cache of the completions still running pays off once this share of the batch is left (measured)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingOptions:
    """How completions are drawn.

    Raises:
        ValueError: a number is out of range.
    """

    max_new_tokens: int
    """Completions are cut there, with finish reason `length`."""
    temperature: float = 1.0
    """> 0; the reference completions need 1."""
    top_p: float = 1.0
    """In (0, 1]: tokens come from the smallest set whose probability reaches it. The reference completions need 1."""
    stop_after: StopAfter = "end"
    """Where a completion ends, with finish reason `stop`. `end`: by the model's own end token only. `block`: also where
    its first fenced code block closes. `function`: also where the function that the answer was begun with ends, at the
    first line that is not indented; the text then ends before that line. As `block` where no answer was begun."""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {self.max_new_tokens}; it must be at least 1")
        if self.stop_after not in get_args(StopAfter):
            raise ValueError(f"stop_after is {self.stop_after!r}; it must be {', '.join(get_args(StopAfter))}")
        if not self.temperature > 0:
            raise ValueError(f"temperature is {self.temperature}; it must be greater than 0")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}; it must be greater than 0 and at most 1")


@dataclass(slots=True, kw_only=True)
class _Row:
    """One completion in the making."""

    uniforms: torch.Tensor
    """Draws in [0, 1), [max_new_tokens], float64."""
    start: str
    """Text that the answer begins with; its tokens are the prompt's last."""
    token_ids: list[int] = field(default_factory=list)
    finish_reason: FinishReason | None = None


def uniforms(seed: int, stream: str, problem_id: str, index: int, count: int) -> torch.Tensor:
    """The draws of one completion, [count], float64 in [0, 1).

    Args:
        seed: of the run.
        stream: what the completion is for, so that evaluation never meets the draws of the training data.
        problem_id: which prompt.
        index: which of the prompt's completions.
        count: how many.
    """
    digest = hashlib.sha256(f"{seed}\0{stream}\0{problem_id}\0{index}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
    return torch.rand(count, generator=generator, dtype=torch.float64)


@torch.inference_mode()
def sample(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    draws: Sequence[Sequence[torch.Tensor]],
    options: SamplingOptions,
    starts: Sequence[str] | None = None,
) -> list[list[Completion]]:
    """Completions of a batch of prompts.

    Args:
        policy: the model.
        prompts: token ids, one list per prompt.
        draws: for each prompt, one tensor from `uniforms` per completion, at least `max_new_tokens` long; as many
            completions for each prompt.
        options: how to sample.
        starts: for each prompt, the text at its end that belongs to the answer; None: no answer is begun.

    Returns:
        For each prompt, its completions in the order of `draws`.
    """
    repeats = len(draws[0])
    starts = starts or [""] * len(prompts)
    rows = [_Row(uniforms=draw, start=start) for start, group in zip(starts, draws, strict=True) for draw in group]
    vocabulary = policy.vocabulary
    batch = _Batch(policy, prompts, repeats)
    alive = list(range(len(rows)))
    for step in range(options.max_new_tokens):
        draw = torch.stack([rows[index].uniforms[step] for index in alive])
        tokens = pick(batch.logits, draw, temperature=options.temperature, top_p=options.top_p)
        for index, token in zip(alive, tokens.tolist(), strict=True):
            if rows[index].finish_reason is None:
                _extend(rows[index], token, vocabulary, options)
        keep = [place for place, index in enumerate(alive) if rows[index].finish_reason is None]
        if not keep:
            break
        if len(keep) <= _COMPACT_BELOW * len(alive):
            alive = [alive[place] for place in keep]
            tokens = batch.keep(torch.tensor(keep, device=policy.device), tokens)
        batch.advance(tokens)
    done = [_completion(row, vocabulary, options) for row in rows]
    return [done[start : start + repeats] for start in range(0, len(done), repeats)]


class _Batch:
    """The model's state for a batch of completions, one row each.

    Attributes:
        logits: of the next token, [rows, vocabulary], float32.
    """

    def __init__(self, policy: Policy, prompts: Sequence[Sequence[int]], repeats: int) -> None:
        self._model = policy.model
        longest = max(map(len, prompts))
        device = policy.device
        # Padded on the left, so that the next token of every row stands at the same place of the cache.
        ids = torch.tensor([[policy.pad_id] * (longest - len(ids)) + list(ids) for ids in prompts], device=device)
        mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts], device=device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        self._cache = _growing_cache(policy.model)
        out = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache.batch_repeat_interleave(repeats)
        self._mask = mask.repeat_interleave(repeats, 0)
        self._positions = positions[:, -1:].repeat_interleave(repeats, 0)
        self.logits = out.logits[:, -1].float().repeat_interleave(repeats, 0)

    def keep(self, places: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Drops all other rows; returns the tokens of those kept."""
        self._cache.batch_select_indices(places)
        self._mask = self._mask[places]
        self._positions = self._positions[places]
        return tokens[places]

    def advance(self, tokens: torch.Tensor) -> None:
        """Appends one token, [rows], to each row."""
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(self._mask), 1)], dim=1)
        self._positions = self._positions + 1
        out = self._model(
            input_ids=tokens[:, None],
            attention_mask=self._mask,
            position_ids=self._positions,
            past_key_values=self._cache,
            use_cache=True,
        )
        self.logits = out.logits[:, -1].float()


class _RoomyLayer(DynamicLayer):
    """A layer's keys and values with room to grow.

    The base class copies all of them for each new token, a quarter of the time of a step (measured).
    """

    _ROOM = 32

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._buffers: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends keys and values, [rows, heads, tokens, size]; returns all of them."""
        if self.keys is None or self.values is None or self.keys.numel() == 0:
            return super().update(key_states, value_states, *args, **kwargs)
        length = self.keys.shape[-2]
        end = length + key_states.shape[-2]
        if self._buffers is None or end > self._buffers[0].shape[-2] or not self._in_buffers(self.keys):
            room = (0, 0, 0, end - length + self._ROOM)
            self._buffers = (nn.functional.pad(self.keys, room), nn.functional.pad(self.values, room))
        keys, values = self._buffers
        keys[..., length:end, :] = key_states
        values[..., length:end, :] = value_states
        self.keys, self.values = keys[..., :end, :], values[..., :end, :]
        return self.keys, self.values

    def _in_buffers(self, keys: torch.Tensor) -> bool:
        """Whether the keys lie in the buffer: selecting or repeating rows has made a copy."""
        return self._buffers is not None and keys.data_ptr() == self._buffers[0].data_ptr()


def _growing_cache(model: PreTrainedModel) -> Cache:
    """An empty cache of the kinds of layers that the model needs; plain ones are given room to grow."""
    cache = DynamicCache(config=model.config)
    cache.layers = [_RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def replay(token_ids: Sequence[int], start: str, vocabulary: Vocabulary, options: SamplingOptions) -> Completion | None:
    """What `sample` makes of tokens that another program has drawn from the same distribution.

    It ends at the first token at which `sample` would have ended, and what was drawn after that is dropped: the tokens
    kept have the distribution that they have where nothing more is drawn.

    Args:
        token_ids: up to an end token, or to the limit.
        start: text that the answer begins with.
        vocabulary: of the model.
        options: how they were drawn.

    Returns:
        None if `sample` would have gone on after the last of them.
    """
    row = _Row(uniforms=torch.empty(0), start=start)
    for token in token_ids:
        _extend(row, token, vocabulary, options)
        if row.finish_reason is not None:
            return _completion(row, vocabulary, options)
    return None


def _extend(row: _Row, token: int, vocabulary: Vocabulary, options: SamplingOptions) -> None:
    """Adds a token and notes whether the completion has ended."""
    row.token_ids.append(token)
    if token in vocabulary.end_ids or _ends_code(row, token, vocabulary, options.stop_after):
        row.finish_reason = "stop"
    elif len(row.token_ids) == options.max_new_tokens:
        row.finish_reason = "length"


def _ends_code(row: _Row, token: int, vocabulary: Vocabulary, stop_after: StopAfter) -> bool:
    """Whether the last token ended what matters of the answer."""
    if stop_after == "end":
        return False
    if stop_after == "function" and row.start:
        return end_of_function(vocabulary.decode(row.token_ids)) is not None
    return "`" in vocabulary.decode([token]) and closes_block(row.start + vocabulary.decode(row.token_ids))


def end_of_function(body: str) -> int | None:
    """Where a text that goes on after `def f(x):` leaves the function: before its first line without indentation."""
    match = _UNINDENTED.search(body)
    return None if match is None else match.start()


def closes_block(text: str) -> bool:
    """Whether a fenced code block closes at the very end of a text in which none closed before."""
    return _CLOSED_BLOCK.search(text) is not None


def _completion(row: _Row, vocabulary: Vocabulary, options: SamplingOptions) -> Completion:
    assert row.finish_reason is not None
    text = vocabulary.decode(row.token_ids)
    if options.stop_after == "function" and row.start:
        text = text[: end_of_function(text)]
    return Completion(text=row.start + text, token_ids=tuple(row.token_ids), finish_reason=row.finish_reason)
