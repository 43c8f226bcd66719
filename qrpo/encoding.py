"""Training rows to batches: tokens and quantiles of a row, padding and masks of a batch."""

from __future__ import annotations

import hashlib
import logging
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from datasets import Dataset, IterableDataset
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from qrpo.quantiles import all_equal, quantile_among
from qrpo.targets import Atoms, TargetRule
from qrpo.transforms import Array

log = logging.getLogger(__name__)

AnyDataset: TypeAlias = "Dataset | IterableDataset"

PREPARED = (
    "prompt_ids",
    "completion_ids",
    "length",
    "reward",
    "quantile",
    "tie_width",
    "num_refs",
    "ref_std",
    "draw",
    "weight",
    "beta",
)
"""Columns of a prepared row. Nothing here depends on the transform, the treatment of ties or the clipping."""
BATCHED = (*PREPARED[:2], *PREPARED[3:], "ref_logps")
"""Columns that reach the collator."""
_COPIED = ("reward", "quantile", "tie_width", "weight", "ref_logps")
"""Those that the batch has as they are."""


def prepare_dataset(
    dataset: AnyDataset,
    *,
    name: str,
    tokenizer: PreTrainedTokenizerBase,
    drop_all_equal: bool,
    max_length: int | None,
    num_proc: int | None,
    seed: int = 0,
) -> AnyDataset:
    """Prepared rows, and the column `ref_logps` where there is one.

    Args:
        dataset: see `QRPOTrainer`.
        name: for the log.
        tokenizer: used for rows without token ids.
        drop_all_equal: leave out rows of prompts whose rewards are all equal.
        max_length: leave out rows with more tokens; None: no limit.
        num_proc: processes to use.
        seed: of the draws that ties `random` makes.

    Raises:
        ValueError: a row cannot be used, or none is left.
    """
    # A stream has neither a size nor processes.
    workers = {"num_proc": num_proc} if isinstance(dataset, Dataset) else {}
    columns = list(next(iter(dataset)))
    sizes = [_size(dataset)]
    if drop_all_equal:
        dataset = dataset.filter(_says_something, **workers)
    sizes.append(_size(dataset))
    dataset = dataset.map(
        prepare_row,
        fn_kwargs={"tokenizer": tokenizer, "seed": seed},
        remove_columns=[column for column in columns if column != "ref_logps"],
        **workers,
    )
    if max_length is not None:
        dataset = dataset.filter(_fits, input_columns=["length"], fn_kwargs={"max_length": max_length}, **workers)
    sizes.append(_size(dataset))
    _report_sizes(name, sizes, max_length)
    return dataset


def prepare_row(row: Mapping[str, Any], *, tokenizer: PreTrainedTokenizerBase, seed: int = 0) -> dict[str, object]:
    """One prepared row.

    Args:
        row: see `QRPOTrainer`.
        tokenizer: used only where the row has no token ids.
        seed: of the row's draw, which depends on nothing else but its tokens: equal rows have equal targets.

    Raises:
        ValueError: a column is missing or unusable; says which.
    """
    prompt_ids, completion_ids = _token_ids(row, tokenizer)
    if not completion_ids:
        raise ValueError(f"a completion has no tokens; its prompt ends in {prompt_ids[-10:]}")
    if not prompt_ids:
        # The first token of a sequence is never predicted, so one completion token would be left out of its sum.
        raise ValueError("a prompt has no tokens; give at least the beginning-of-sequence token")
    _require(row, "reward", "ref_rewards")
    quantile = quantile_among(row["reward"], row["ref_rewards"])
    weight, beta = row.get("weight"), row.get("beta")
    if beta is not None and not beta > 0:
        raise ValueError(f"a row's beta must be positive, got {beta!r}")
    return {
        "prompt_ids": prompt_ids,
        "completion_ids": completion_ids,
        "length": len(prompt_ids) + len(completion_ids),
        "reward": float(row["reward"]),
        "quantile": quantile.value,
        "tie_width": quantile.tie_width,
        "num_refs": len(row["ref_rewards"]),
        "ref_std": statistics.stdev(row["ref_rewards"]) if len(row["ref_rewards"]) > 1 else 0.0,
        "draw": _draw(seed, prompt_ids, completion_ids),
        "weight": 1.0 if weight is None else float(weight),
        "beta": None if beta is None else float(beta),
    }


@dataclass(slots=True, kw_only=True)
class PointwiseCollator:
    """Prepared rows to a batch: tokens padded on the right, masks, targets and the rows' other scalars.

    Which tokens count is told by `completion_mask`, made from lengths and never from token ids: in many models the
    padding token is the end-of-sequence token, whose log-probability is part of the loss. Targets are made here, in
    double precision on the processor, so that no accelerator waits for them.
    """

    rule: TargetRule = field(default_factory=TargetRule)
    beta: float
    """KL weight of rows without one of their own, > 0."""
    normalize_beta_by_length: bool = False
    """Divide the KL weight of each row by its number of completion tokens."""
    mean_ref_std: float = 0.0
    """Mean over training rows of their `ref_std`; 0: all are 0, or nobody asks."""
    pad_to_multiple_of: int | None = None

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """`input_ids`, `attention_mask`, `completion_mask` [B, T] int64; scalars [B] float32.

        The scalars are `reward`, `quantile`, `tie_width`, `weight`, `beta`, `target`, and `ref_logps` if rows have it.
        """
        sizes = [(len(row["prompt_ids"]), len(row["completion_ids"])) for row in rows]
        sequences = {
            "input_ids": [torch.tensor([*row["prompt_ids"], *row["completion_ids"]]) for row in rows],
            "attention_mask": [torch.ones(prompt + completion, dtype=torch.int64) for prompt, completion in sizes],
            "completion_mask": [torch.tensor([0] * prompt + [1] * completion) for prompt, completion in sizes],
        }
        batch = {name: self._pad(tensors) for name, tensors in sequences.items()}
        for name in _COPIED:
            if name in rows[0]:
                batch[name] = torch.tensor([row[name] for row in rows], dtype=torch.float32)
        beta = self._betas(rows)
        batch["beta"] = torch.from_numpy(beta).float()
        batch["target"] = torch.from_numpy(self.rule.targets(self._atoms(rows), beta)).float()
        return batch

    def _betas(self, rows: Sequence[Mapping[str, Any]]) -> Array:
        given = np.array([self.beta if row["beta"] is None else row["beta"] for row in rows], dtype=np.float64)
        return given / [len(row["completion_ids"]) for row in rows] if self.normalize_beta_by_length else given

    def _atoms(self, rows: Sequence[Mapping[str, Any]]) -> Atoms:
        def column(name: str) -> Array:
            return np.array([row[name] for row in rows], dtype=np.float64)

        scale = column("ref_std") / self.mean_ref_std if self.mean_ref_std > 0 else np.zeros(len(rows))
        return Atoms(
            value=column("quantile"),
            tie_width=column("tie_width"),
            num_refs=column("num_refs"),
            scale=scale,
            draw=column("draw"),
        )

    def _pad(self, tensors: list[Tensor]) -> Tensor:
        # 0 is a token of every model, and masked here.
        padded = pad_sequence(tensors, batch_first=True)
        if self.pad_to_multiple_of is None:
            return padded
        return nn.functional.pad(padded, (0, -padded.shape[1] % self.pad_to_multiple_of))


def _draw(seed: int, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> float:
    """Uniform in [0, 1)."""
    digest = hashlib.sha256(repr((seed, list(prompt_ids), list(completion_ids))).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _token_ids(row: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    if row.get("prompt_ids") is not None and row.get("completion_ids") is not None:
        # As sampled. Text, decoded and encoded again, may be other tokens with other log-probabilities.
        return list(row["prompt_ids"]), list(row["completion_ids"])
    _require(row, "prompt", "completion")
    prompt, completion = row["prompt"], row["completion"]
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


def _require(row: Mapping[str, Any], *names: str) -> None:
    missing = [name for name in names if row.get(name) is None]
    if missing:
        raise ValueError(
            f"a row has no {' and no '.join(missing)}, only {sorted(row)}; it needs prompt_ids and completion_ids, or "
            f"prompt and completion, and reward and ref_rewards"
        )


def _says_something(row: Mapping[str, Any]) -> bool:
    _require(row, "reward", "ref_rewards")
    return not all_equal([row["reward"], *row["ref_rewards"]])


def _fits(length: int, max_length: int) -> bool:
    return length <= max_length


def _size(dataset: AnyDataset) -> int | None:
    return len(dataset) if isinstance(dataset, Dataset) else None


def _report_sizes(name: str, sizes: Sequence[int | None], max_length: int | None) -> None:
    """Says how many rows were left out, and why.

    Args:
        name: of the dataset.
        sizes: rows at first, after the filter of equal rewards, after that of long rows; None: a stream.
        max_length: the limit of the second filter.

    Raises:
        ValueError: no row is left.
    """
    start, informative, end = sizes
    if start is None or informative is None or end is None:
        return
    message = (
        f"{name}: {end} of {start} rows; left out {start - informative} of prompts whose rewards are all equal "
        f"(drop_all_equal) and {informative - end} longer than max_length={max_length} tokens"
    )
    if end == 0:
        raise ValueError(message)
    log.log(logging.WARNING if end < informative else logging.INFO, message)
