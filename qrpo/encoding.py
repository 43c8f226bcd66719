"""Training rows to token ids, and token ids to padded batches; what a row holds beside them is its form's."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from datasets import Dataset, IterableDataset
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

AnyDataset: TypeAlias = "Dataset | IterableDataset"
Row: TypeAlias = Mapping[str, Any]
_ROUNDING = 1e-3
"""By so much a sum of log-probabilities may be above 0, nats."""


class Tokens(NamedTuple):
    """A prompt and one of its completions, as the model sees them."""

    prompt_ids: list[int]
    completion_ids: list[int]


class RowForm(Protocol):
    """What rows are made of."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Of a prepared row, `length` in tokens among them."""

    @property
    def sequences(self) -> int:
        """Completions in a row."""

    def says_something(self, row: Row) -> bool:
        """Whether an unprepared row is of any use."""

    def prepare(self, row: Row, tokenizer: PreTrainedTokenizerBase, seed: int) -> dict[str, object]:
        """A prepared row.

        Args:
            tokenizer: used only where the row has no token ids.
            seed: of what is random about a row, which then depends on nothing else but its tokens.

        Raises:
            ValueError: a column is missing or unusable; says which.
        """

    def tokens(self, prepared: Row) -> list[Tokens]:
        """Of a prepared row, one for each completion."""


def prepare_dataset(  # noqa: PLR0913  # the trainer's options
    dataset: AnyDataset,
    form: RowForm,
    *,
    name: str,
    tokenizer: PreTrainedTokenizerBase,
    drop_uninformative: bool,
    max_length: int | None,
    num_proc: int | None,
    seed: int,
) -> AnyDataset:
    """Prepared rows, and the column `ref_logps` where there is one.

    Args:
        dataset: see `QRPOTrainer`.
        form: what its rows are.
        name: for the log.
        tokenizer: see `RowForm.prepare`, as for `seed`.
        drop_uninformative: leave out rows that say nothing.
        max_length: leave out rows with a completion that has more tokens, its prompt's counted; None: no limit.
        num_proc: processes to use.

    Raises:
        ValueError: a row cannot be used, or none is left.
    """
    dataset = dataset.with_format(None)  # Python's own numbers and lists, whatever the user's format
    # A stream has neither a size nor processes.
    workers = {"num_proc": num_proc} if isinstance(dataset, Dataset) else {}
    given = list(next(iter(dataset)))
    sizes = [_size(dataset)]
    if drop_uninformative:
        dataset = dataset.filter(form.says_something, **workers)
    sizes.append(_size(dataset))
    dataset = dataset.map(
        partial(form.prepare, tokenizer=tokenizer, seed=seed),
        remove_columns=[column for column in given if column != "ref_logps"],
        **workers,
    )
    if max_length is not None:
        dataset = dataset.filter(partial(_fits, form=form, max_length=max_length), **workers)
    sizes.append(_size(dataset))
    _report_sizes(name, sizes, max_length)
    return dataset


def sequence_of(row: Row, tokenizer: PreTrainedTokenizerBase, answer: str = "completion") -> Tokens:
    """The tokens of a row's prompt and of one of its answers.

    Args:
        row: has `prompt_ids` and `ANSWER_ids`, or `prompt` and `ANSWER`, texts or lists of messages.
        answer: the column's name.

    Raises:
        ValueError: a column is missing, or has no tokens.
    """
    found = _token_ids(row, tokenizer, answer)
    if not found.completion_ids:
        raise ValueError(f"a {answer} has no tokens; its prompt ends in {found.prompt_ids[-10:]}")
    if not found.prompt_ids:
        # The first token of a sequence is never predicted, so one completion token would be left out of its sum.
        raise ValueError("a prompt has no tokens; give at least the beginning-of-sequence token")
    return found


def require(row: Row, *names: str) -> None:
    """Raises ValueError where a column is missing."""
    missing = [name for name in names if row.get(name) is None]
    if missing:
        raise ValueError(f"a row has no {' and no '.join(missing)}, only {sorted(row)}")


def number(row: Row, name: str) -> float:
    """The number in a column.

    Raises:
        ValueError: it is none, or not finite: one row with nan would turn every weight of the model into nan, and a log
            that leaves nan out would not tell.
    """
    return _finite(row[name], name)


def weight_of(row: Row) -> float:
    """The factor on a row's loss; 1 where none is given.

    Raises:
        ValueError: it is not a finite number of at least 0.
    """
    weight = 1.0 if row.get("weight") is None else number(row, "weight")
    if weight < 0:
        raise ValueError(f"a row's weight must be at least 0, got {weight!r}")
    return weight


def check_ref_logps(row: Row, count: int) -> None:
    """Looks at what a row says of the reference, if it says anything.

    Args:
        count: completions of the row.

    Raises:
        ValueError: there are not so many finite log-probabilities; says what there is.
    """
    given = row.get("ref_logps")
    if given is None:
        return
    if isinstance(given, list) == (count == 1) or (count > 1 and len(given) != count):
        wanted = (
            "one number" if count == 1 else f"a list of {count} numbers, of the chosen completion and the rejected one"
        )
        raise ValueError(f"a row's ref_logps must be {wanted}, got {given!r}")
    for value in given if count > 1 else [given]:
        if _finite(value, "ref_logps") > _ROUNDING:
            raise ValueError(f"a row's ref_logps must be log-probabilities, which are not above 0, got {given!r}")


def padded(sequences: Sequence[Tokens], multiple: int | None) -> dict[str, Tensor]:
    """`input_ids`, `attention_mask`, `completion_mask`, [B, T] int64, padded on the right.

    Which tokens count is told by `completion_mask`, made from lengths and never from token ids: in many models the
    padding token is the end-of-sequence token, whose log-probability is part of the loss.

    Args:
        multiple: T is one of it; None: that of the longest sequence.
    """
    sizes = [(len(prompt), len(completion)) for prompt, completion in sequences]
    parts = {
        "input_ids": [torch.tensor([*prompt, *completion]) for prompt, completion in sequences],
        "attention_mask": [torch.ones(prompt + completion, dtype=torch.int64) for prompt, completion in sizes],
        "completion_mask": [torch.tensor([0] * prompt + [1] * completion) for prompt, completion in sizes],
    }
    # 0 is a token of every model, and masked here.
    batch = {name: pad_sequence(tensors, batch_first=True) for name, tensors in parts.items()}
    if multiple is None:
        return batch
    return {name: nn.functional.pad(tensor, (0, -tensor.shape[1] % multiple)) for name, tensor in batch.items()}


def scalars(rows: Sequence[Row], name: str) -> Tensor:
    """A column of numbers, or of lists of them, as float32, [B] or [B, S].

    Raises:
        ValueError: a row has none, though others have.
    """
    if any(row[name] is None for row in rows):
        raise ValueError(f"some rows have no {name}, and others have; give it for all rows, or leave out the column")
    return torch.tensor([row[name] for row in rows], dtype=torch.float32)


def _finite(value: object, name: str) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"a row's {name} must be finite numbers, got {value!r}")
    return float(value)


def _token_ids(row: Row, tokenizer: PreTrainedTokenizerBase, answer: str) -> Tokens:
    if row.get("prompt_ids") is not None and row.get(f"{answer}_ids") is not None:
        # As sampled. Text, decoded and encoded again, may be other tokens with other log-probabilities.
        return Tokens(list(row["prompt_ids"]), list(row[f"{answer}_ids"]))
    require(row, "prompt", answer)
    prompt, completion = row["prompt"], row[answer]
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
    return Tokens(list(prompt_ids), list(completion_ids))


def _completion_text(completion: Any) -> str:
    if isinstance(completion, str):
        return completion
    if len(completion) == 1 and isinstance(completion[0].get("content"), str):
        text: str = completion[0]["content"]
        return text
    raise ValueError(f"a completion must be a text or one message with a text; got {completion!r}")


def _fits(row: Row, *, form: RowForm, max_length: int) -> bool:
    return all(len(prompt) + len(completion) <= max_length for prompt, completion in form.tokens(row))


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
