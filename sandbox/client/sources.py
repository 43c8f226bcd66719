"""The input of a batch: read as it is needed, and not waited for when it is slow."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

_MOST = 256
_QUICK_S = 0.001
_PATIENCE_S = 0.005

Source = TypeVar("Source")


class Part(NamedTuple, Generic[Source]):
    """What was read at once."""

    sources: Sequence[Source]
    are_last: bool
    """None follow."""


class Sources(Generic[Source]):
    """Reads an iterable in parts.

    Attributes:
        total: how many there are; None where that is not known.
        may_block: reading can take time.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        self.may_block = not isinstance(sources, list | tuple)
        self.total = len(sources) if isinstance(sources, list | tuple) else None
        self._rest = iter(sources)
        self._read = 0

    def read(self, most: int) -> Part[Source]:
        """Reads on: no more than `most`, and of a slow iterable one at a time, so that it can be sent meanwhile."""
        part: list[Source] = []
        began_s = before_s = time.monotonic()
        while len(part) < min(most, _MOST):
            try:
                part.append(next(self._rest))
            except StopIteration:
                return Part(part, are_last=True)
            if self.may_block:
                now_s = time.monotonic()
                if now_s - before_s >= _QUICK_S or now_s - began_s >= _PATIENCE_S:
                    break
                before_s = now_s
        self._read += len(part)
        return Part(part, are_last=self._read == self.total)
