"""Rows of one completion each, for QRPO and for fine-tuning on correct solutions."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from qrpo.encoding import Row, Tokens, check_ref_logps, number, padded, require, scalars, sequence_of, weight_of
from qrpo.quantiles import all_equal, quantile_among
from qrpo.targets import Atoms, TargetRule
from qrpo.transforms import Array


class PointwiseForm:
    """A completion, its reward, and those of the reference's completions of the same prompt."""

    columns = (
        *("prompt_ids", "completion_ids", "length", "reward", "weight", "beta"),
        *("quantile", "tie_width", "num_refs", "ref_std", "draw"),
    )
    """Nothing here depends on the transform, the treatment of ties or the clipping."""
    sequences = 1

    def says_something(self, row: Row) -> bool:
        """See `RowForm`: the rewards of the row's prompt differ."""
        reward, refs = _rewards(row)
        return not all_equal([reward, *refs])

    def prepare(self, row: Row, tokenizer: PreTrainedTokenizerBase, seed: int) -> dict[str, object]:
        """See `RowForm`."""
        tokens = sequence_of(row, tokenizer)
        reward, refs = _rewards(row)
        quantile = quantile_among(reward, refs)
        beta = None if row.get("beta") is None else number(row, "beta")
        if beta is not None and not beta > 0:
            raise ValueError(f"a row's beta must be positive, got {beta!r}")
        check_ref_logps(row, self.sequences)
        return {
            "prompt_ids": tokens.prompt_ids,
            "completion_ids": tokens.completion_ids,
            "length": len(tokens.prompt_ids) + len(tokens.completion_ids),
            "reward": reward,
            "weight": weight_of(row),
            "beta": beta,
            "quantile": quantile.value,
            "tie_width": quantile.tie_width,
            "num_refs": len(refs),
            "ref_std": statistics.stdev(refs) if len(refs) > 1 else 0.0,
            "draw": _draw(seed, tokens),
        }

    def tokens(self, prepared: Row) -> list[Tokens]:
        """See `RowForm`."""
        return [Tokens(prepared["prompt_ids"], prepared["completion_ids"])]


@dataclass(slots=True, kw_only=True)
class PointwiseCollator:
    """Prepared rows to a batch: tokens, masks, targets and the rows' other scalars.

    Targets are made here, in double precision on the processor, so that no accelerator waits for them.
    """

    rule: TargetRule = field(default_factory=TargetRule)
    beta: float
    """KL weight of rows without one of their own, > 0."""
    normalize_beta_by_length: bool = False
    """Divide the KL weight of each row by its number of completion tokens."""
    mean_ref_std: float = 0.0
    """Mean over training rows of their `ref_std`; 0: all are 0, or nobody asks."""
    pad_to_multiple_of: int | None = None

    def __call__(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """What `qrpo.encoding.padded` gives, [B, T]; and scalars [B] float32.

        These are `reward`, `weight`, `beta`, `quantile`, `tie_width`, `target`, and `ref_logps` if rows have it.
        `prompt` [B] int64 numbers the prompts of the batch.
        """
        batch = padded([Tokens(row["prompt_ids"], row["completion_ids"]) for row in rows], self.pad_to_multiple_of)
        for name in ("reward", "weight", "quantile", "tie_width", "ref_logps"):
            if name in rows[0]:
                batch[name] = scalars(rows, name)
        numbers: dict[tuple[int, ...], int] = {}
        batch["prompt"] = torch.tensor([numbers.setdefault(tuple(row["prompt_ids"]), len(numbers)) for row in rows])
        beta = self._betas(rows)
        batch["beta"] = torch.from_numpy(beta).float()
        batch["target"] = torch.from_numpy(self.rule.targets(self._atoms(rows), beta)).float()
        return batch

    def _betas(self, rows: Sequence[Row]) -> Array:
        given = np.array([self.beta if row["beta"] is None else row["beta"] for row in rows], dtype=np.float64)
        return given / [len(row["completion_ids"]) for row in rows] if self.normalize_beta_by_length else given

    def _atoms(self, rows: Sequence[Row]) -> Atoms:
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


def _rewards(row: Row) -> tuple[float, list[float]]:
    """The row's reward and those of the references, all finite; at least one of these."""
    require(row, "reward", "ref_rewards")
    refs = row["ref_rewards"]
    if not isinstance(refs, list) or not refs:
        raise ValueError(f"a row's ref_rewards must be a list of at least one reward, got {refs!r}")
    return number(row, "reward"), [number({"ref_rewards": ref}, "ref_rewards") for ref in refs]


def _draw(seed: int, tokens: Tokens) -> float:
    """Uniform in [0, 1). Equal completions have equal draws, or their targets would contradict each other."""
    digest = hashlib.sha256(repr((seed, *tokens)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
