"""Training rows to batches: tokens and quantiles of a row, padding and masks of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from qrpo.quantiles import quantile_among

PREPARED = ("prompt_ids", "completion_ids", "length", "reward", "quantile", "tie_width", "num_refs", "weight")
"""Columns of a prepared row. Nothing here depends on beta, the transform or the clipping."""
BATCHED = ("prompt_ids", "completion_ids", "reward", "quantile", "tie_width", "num_refs", "weight", "ref_logps")
"""Columns that reach the collator."""


def prepare_row(row: Mapping[str, Any], *, tokenizer: PreTrainedTokenizerBase) -> dict[str, object]:
    """One prepared row.

    Args:
        row: see `QRPOTrainer`.
        tokenizer: used only where the row has no token ids.

    Raises:
        ValueError: a column is missing or unusable; says which.
    """
    prompt_ids, completion_ids = _token_ids(row, tokenizer)
    if not completion_ids:
        raise ValueError(f"a completion has no tokens; its prompt ends in {prompt_ids[-10:]}")
    if not prompt_ids:
        # The first token of a sequence is never predicted, so one completion token would be left out of its sum.
        raise ValueError("a prompt has no tokens; give at least the beginning-of-sequence token")
    for name in ("reward", "ref_rewards"):
        if row.get(name) is None:
            raise ValueError(f"a row has no {name!r}; its columns are {sorted(row)}")
    quantile = quantile_among(row["reward"], row["ref_rewards"])
    weight = row.get("weight")
    return {
        "prompt_ids": prompt_ids,
        "completion_ids": completion_ids,
        "length": len(prompt_ids) + len(completion_ids),
        "reward": float(row["reward"]),
        "quantile": quantile.value,
        "tie_width": quantile.tie_width,
        "num_refs": len(row["ref_rewards"]),
        "weight": 1.0 if weight is None else float(weight),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class PointwiseCollator:
    """Prepared rows to a batch: tokens padded on the right, masks, and the rows' scalars.

    Which tokens count is told by `completion_mask`, made from lengths and never from token ids: in many models the
    padding token is the end-of-sequence token, whose log-probability is part of the loss.
    """

    pad_to_multiple_of: int | None = None

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """`input_ids`, `attention_mask`, `completion_mask` [B, T] int64; scalars [B] float32."""
        sizes = [(len(row["prompt_ids"]), len(row["completion_ids"])) for row in rows]
        sequences = {
            "input_ids": [torch.tensor([*row["prompt_ids"], *row["completion_ids"]]) for row in rows],
            "attention_mask": [torch.ones(prompt + completion, dtype=torch.int64) for prompt, completion in sizes],
            "completion_mask": [torch.tensor([0] * prompt + [1] * completion) for prompt, completion in sizes],
        }
        batch = {name: self._pad(tensors) for name, tensors in sequences.items()}
        for name in BATCHED[2:]:
            if name in rows[0]:
                batch[name] = torch.tensor([row[name] for row in rows], dtype=torch.float32)
        return batch

    def _pad(self, tensors: list[Tensor]) -> Tensor:
        # 0 is a token of every model, and masked here.
        padded = pad_sequence(tensors, batch_first=True)
        if self.pad_to_multiple_of is None:
            return padded
        return nn.functional.pad(padded, (0, -padded.shape[1] % self.pad_to_multiple_of))


def _token_ids(row: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    if row.get("prompt_ids") is not None and row.get("completion_ids") is not None:
        # As sampled. Text, decoded and encoded again, may be other tokens with other log-probabilities.
        return list(row["prompt_ids"]), list(row["completion_ids"])
    prompt, completion = row.get("prompt"), row.get("completion")
    if prompt is None or completion is None:
        raise ValueError(
            f"a row needs prompt_ids and completion_ids, or prompt and completion; its columns are {sorted(row)}"
        )
    if isinstance(prompt, str):
        prompt_ids = tokenizer(prompt)["input_ids"]
    else:
        prompt_ids = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)
    # What the model itself would have produced after the prompt: the answer's tokens, and then the end of its turn.
    # Rendering the whole conversation instead adds what templates put after that end, which is no choice of the model.
    completion_ids = tokenizer(_completion_text(completion), add_special_tokens=False)["input_ids"]
    end = tokenizer.eos_token_id
    if not row.get("truncated") and end is not None and completion_ids[-1:] != [end]:
        completion_ids = [*completion_ids, end]
    return list(prompt_ids), list(completion_ids)


def _completion_text(completion: Any) -> str:
    if isinstance(completion, str):
        return completion
    if len(completion) == 1 and isinstance(completion[0].get("content"), str):
        text: str = completion[0]["content"]
        return text
    raise ValueError(f"a completion must be a text or one message with a text; got {completion!r}")
