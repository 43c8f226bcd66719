"""The order of training rows in which those of a prompt follow each other, so that a batch has few prompts."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import groupby

import numpy as np
from torch.utils.data import Sampler

log = logging.getLogger(__name__)


def check_company(prompts: Sequence[Hashable], *, is_grouped: bool) -> None:
    """Tells of rows that no other of their prompt comes with, which a profiled log Z fits whatever they say.

    Args:
        prompts: of the rows.
        is_grouped: the order is `PromptSampler`'s, and not the rows' own.

    Raises:
        ValueError: all are such.
    """
    groups = Counter(prompts).values() if is_grouped else [sum(1 for _ in group) for _, group in groupby(prompts)]
    alone = sum(size == 1 for size in groups)
    if alone == len(prompts):
        raise ValueError(
            f"log_z is 'profiled', which learns from the differences between a prompt's rows, but each of the {alone} "
            "training rows is alone; give more completions of a prompt, one after another where the order is "
            "sequential, or log_z closed_form"
        )
    if alone:
        log.warning("%d of %d training rows are the only ones of their prompt: they teach nothing", alone, len(prompts))


class PromptSampler(Sampler[int]):
    """Prompts in a random order, and the rows of each, another order in each epoch.

    Args:
        prompts: of the rows.
        seed: of the orders; they are the same on all processes, and in a run that goes on.
        epoch: tells whose order is next. (accelerate's `set_epoch` does not reach samplers of a run that goes on.)
    """

    def __init__(self, prompts: Sequence[Hashable], seed: int, epoch: Callable[[], int]) -> None:
        rows: dict[Hashable, list[int]] = {}
        for number, prompt in enumerate(prompts):
            rows.setdefault(prompt, []).append(number)
        self._groups = [np.array(numbers) for numbers in rows.values()]
        self._seed = seed
        self._epoch = epoch
        self._size = len(prompts)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng((self._seed, self._epoch()))
        for group in random.permutation(len(self._groups)):
            yield from random.permutation(self._groups[group]).tolist()
