"""The order of training rows in which those of a prompt follow each other, so that a batch has few prompts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler


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
