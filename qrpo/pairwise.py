"""Rows of two completions each, for the objectives that compare them: DPO, REBEL, SimPO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from qrpo.encoding import Row, Tokens, check_ref_logps, number, padded, require, scalars, sequence_of, weight_of


class PairForm:
    """A better and a worse completion of a prompt, and their rewards."""

    columns = ("prompt_ids", "chosen_ids", "rejected_ids", "length", "reward", "weight")
    """`reward` is [2]: of the chosen completion and of the rejected one."""
    sequences = 2

    def says_something(self, row: Row) -> bool:
        """See `RowForm`: the two rewards differ."""
        chosen, rejected = _rewards(row)
        return chosen != rejected

    def prepare(self, row: Row, tokenizer: PreTrainedTokenizerBase, seed: int) -> dict[str, object]:  # noqa: ARG002
        """See `RowForm`; nothing is random here."""
        chosen, rejected = (sequence_of(row, tokenizer, answer) for answer in ("chosen", "rejected"))
        rewards = _rewards(row)
        if rewards[0] < rewards[1]:
            raise ValueError(
                f"the chosen completion has reward {rewards[0]}, which is below that of the rejected one, "
                f"{rewards[1]}: exchange them"
            )
        check_ref_logps(row, self.sequences)
        return {
            "prompt_ids": chosen.prompt_ids,
            "chosen_ids": chosen.completion_ids,
            "rejected_ids": rejected.completion_ids,
            "length": sum(map(len, (*chosen, *rejected))),
            "reward": rewards,
            "weight": weight_of(row),
        }

    def tokens(self, prepared: Row) -> list[Tokens]:
        """See `RowForm`."""
        return [Tokens(prepared["prompt_ids"], prepared[name]) for name in ("chosen_ids", "rejected_ids")]


def _rewards(row: Row) -> list[float]:
    require(row, "chosen_reward", "rejected_reward")
    return [number(row, "chosen_reward"), number(row, "rejected_reward")]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCollator:
    """Prepared pairs to a batch in which a pair's completions follow each other, the chosen one first."""

    pad_to_multiple_of: int | None = None

    def __call__(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """What `qrpo.encoding.padded` gives, [2 B, T]; `weight` [B]; `reward`, and `ref_logps` if known, [B, 2]."""
        form = PairForm()
        batch = padded([tokens for row in rows for tokens in form.tokens(row)], self.pad_to_multiple_of)
        for name in ("weight", "reward", "ref_logps"):
            if name in rows[0]:
                batch[name] = scalars(rows, name)
        return batch
