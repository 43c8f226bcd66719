"""Rows that requests with an idempotency key have had, so that a repeated request runs only what is missing."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any
from weakref import ReferenceType

from sandbox.server.dispatch import Request
from sandbox.server.errors import ConflictError, InvalidError

_MOST_KEY_LENGTH = 200
_ENTRY_BYTES = 1000
"""Of one without rows."""
_ROW_BYTES = 150
"""Of a row, beside its text."""


@dataclass(slots=True, eq=False, kw_only=True)
class Kept:
    """What the requests with one key have had so far."""

    key: str
    digest: bytes
    rows: dict[int, bytes] = field(default_factory=dict)
    """By place."""
    size: int = 0
    used_s: float = 0.0
    claims: int = 0
    newest: ReferenceType[Request[Any]] | None = None
    """Does what was missing when the last one came. Weak: it holds all programs."""

    @property
    def request(self) -> Request[Any] | None:
        """It, as long as something of it waits or runs."""
        request = None if self.newest is None else self.newest()
        return None if request is None or request.is_done else request


class Retained:
    """By key, within a bound; what was used longest ago goes first. Lives in one event loop.

    Args:
        capacity: bytes.
        seconds: how long after its last use one is kept.
    """

    def __init__(self, capacity: int, seconds: float) -> None:
        self._capacity = capacity
        self._seconds = seconds
        self._held: OrderedDict[str, Kept] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._size

    async def claim(self, key: str, digest: bytes) -> Kept:
        """What the requests with this key have had, from now on the caller's alone.

        A request that is still being answered is given up, for its client has most likely lost the connection; what it
        has in slots is waited for, so that nothing runs twice.

        Args:
            digest: of all that the answer depends on.

        Raises:
            ConflictError: the key belongs to another request, or came once more while this waited.
            InvalidError: it is no key.
        """
        if not 0 < len(key) <= _MOST_KEY_LENGTH:
            raise InvalidError(f"an Idempotency-Key has from 1 to {_MOST_KEY_LENGTH} characters, not {len(key)}")
        self._forget_old()
        kept = self._held.setdefault(key, Kept(key=key, digest=digest))
        if kept.digest != digest:
            raise ConflictError(key, "was used with another body; use a new one for each request")
        self._add(kept, 0 if kept.claims else _ENTRY_BYTES)
        kept.claims += 1
        mine = kept.claims
        if (request := kept.request) is not None:
            request.give_up()
            await request.settled()
        if kept.claims != mine:
            raise ConflictError(key, "came once more meanwhile, and that request is the one answered")
        return kept

    def keep(self, kept: Kept, place: int, row: bytes) -> None:
        """A row has come; not kept where the whole has been forgotten for want of room."""
        if self._held.get(kept.key) is kept and place not in kept.rows:
            kept.rows[place] = row
            self._add(kept, len(row) + _ROW_BYTES)

    def _add(self, kept: Kept, amount: int) -> None:
        kept.size += amount
        self._size += amount
        kept.used_s = time.monotonic()
        self._held.move_to_end(kept.key)
        while self._size > self._capacity:
            self._forget(next(iter(self._held)))

    def _forget_old(self) -> None:
        due_s = time.monotonic() - self._seconds
        # What was used last comes last: with single submissions there are hundreds of thousands.
        old = [key for key, _ in takewhile(lambda item: item[1].used_s < due_s, self._held.items())]
        for key in old:
            if self._held[key].request is None:
                self._forget(key)

    def _forget(self, key: str) -> None:
        kept = self._held.pop(key)
        self._size -= kept.size
        kept.rows.clear()
