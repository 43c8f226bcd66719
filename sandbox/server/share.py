"""How much of something limited each client may hold."""

from __future__ import annotations

from collections import Counter

_MOST_OVER = 4
"""Clients of many names can hold so many times the capacity, where it is only known afterwards what they hold."""


class Share:
    """A capacity that clients share: each may hold as much as it leaves free, so that there is always room for another.

    One client alone gets at most half, of two each a third, of n each 1 / (n + 1). Source: Choudhury and Hahne, Dynamic
    queue length thresholds for shared-memory packet switches, 1998, with alpha = 1.

    Args:
        capacity: in any unit.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._held: Counter[str] = Counter()
        self._total = 0

    @property
    def total(self) -> int:
        """What all clients hold together."""
        return self._total

    def could_ever_fit(self, amount: int) -> bool:
        """Whether a client that holds nothing would get it while nobody else holds anything."""
        return 2 * amount <= self.capacity

    def take(self, client: str, amount: int) -> bool:
        """Gives the client so much more, or nothing and says False."""
        if self._held[client] + amount > self.capacity - self._total - amount:
            return False
        self._held[client] += amount
        self._total += amount
        return True

    def put(self, client: str, amount: int) -> None:
        """The client holds so much more, whether there is room for it or not."""
        self._held[client] += amount
        self._total += amount

    def is_full_for(self, client: str) -> bool:
        """Whether the client holds more than what it leaves free.

        One that holds nothing is stopped by others only when they have `put` several times as much as there is.
        """
        return self._held[client] > max(0, self.capacity - self._total) or self._total > _MOST_OVER * self.capacity

    def give_back(self, client: str, amount: int) -> None:
        """The client no longer holds it."""
        self._held[client] -= amount
        self._total -= amount
        if not self._held[client]:
            del self._held[client]
