"""The order in which what waits for a slot gets one."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, NamedTuple, TypeVar

Job = TypeVar("Job")

_PATIENCE_S = 2.0
"""How long one that must be alone waits for the slots to be idle before they are made to be."""
_MOST_ALONE_S = 10.0
"""How long it stays alone: a program could stretch its time by sleeping a little."""


class Turn(NamedTuple, Generic[Job]):
    """A slot's to run."""

    job: Job
    is_alone: bool
    """Nothing else runs until it is done."""


class Load(NamedTuple):
    """How many jobs there are."""

    running: int
    waiting: int


class Schedule(Generic[Job]):
    """A bounded queue, and beside it what must run while nothing else does. Thread-safe.

    Those that must be alone take turns together, so that the slots are emptied seldom, and get at most half of the time
    while others wait: one program that asks for it again and again must not keep all others waiting.

    Args:
        size: how many may wait, those apart not counted.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[Job] = deque()
        self._apart: deque[tuple[float, Job]] = deque()
        self._running = 0
        self._alone_since: float | None = None
        self._next_alone_s = 0.0
        self._is_closed = False
        self._changed = threading.Condition()

    def put(self, job: Job) -> bool:
        """Waits until there is room; False where the schedule is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(self._waiting) < self._size)
            if not self._is_closed:
                self._waiting.append(job)
                self._changed.notify_all()
            return not self._is_closed

    def withdraw(self, job: Job) -> None:
        """It need not be done any more; one that does not wait is left as it is."""
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)
                self._changed.notify_all()  # there is room

    def put_alone(self, job: Job) -> bool:
        """To be run while nothing else is; False where the schedule is closed."""
        with self._changed:
            if not self._is_closed:
                self._apart.append((time.monotonic(), job))
                self._changed.notify_all()
            return not self._is_closed

    def take(self) -> Turn[Job] | None:
        """Waits for a turn, to be given back by `done`; None where the schedule is closed."""
        with self._changed:
            while not self._is_closed:
                if not self._is_someone_alone():
                    is_urgent = self._alone_since is None and self._is_urgent()
                    if self._apart and self._running == 0 and (is_urgent or not self._waiting):
                        self._running = 1
                        self._alone_since = time.monotonic()
                        return Turn(self._apart.popleft()[1], is_alone=True)
                    if self._waiting and not is_urgent:
                        self._running += 1
                        self._changed.notify_all()  # there is room
                        return Turn(self._waiting.popleft(), is_alone=False)
                self._changed.wait(self._until_change_s())
            return None

    def done(self, turn: Turn[Job]) -> None:
        """A turn is over."""
        with self._changed:
            self._running -= 1
            if turn.is_alone and self._alone_since is not None:
                now = time.monotonic()
                self._next_alone_s = now + (now - self._alone_since)
                self._alone_since = None
            self._changed.notify_all()

    def load(self) -> Load:
        """As of now."""
        with self._changed:
            return Load(self._running, len(self._waiting) + len(self._apart))

    def close(self) -> list[Job]:
        """No turn is given any more; what waited."""
        with self._changed:
            self._is_closed = True
            left = [*self._waiting, *(job for _, job in self._apart)]
            self._waiting.clear()
            self._apart.clear()
            self._changed.notify_all()
            return left

    def _is_someone_alone(self) -> bool:
        return self._alone_since is not None and time.monotonic() - self._alone_since < _MOST_ALONE_S

    def _until_change_s(self) -> float | None:
        """Until there may be a turn though none has ended; None where only an end can bring one."""
        if self._alone_since is not None:
            left_s = self._alone_since + _MOST_ALONE_S - time.monotonic()
        elif self._apart:
            left_s = self._until_urgent_s()
        else:
            return None
        return left_s if left_s > 0 else None

    def _is_urgent(self) -> bool:
        return bool(self._apart) and self._until_urgent_s() <= 0

    def _until_urgent_s(self) -> float:
        return max(self._apart[0][0] + _PATIENCE_S, self._next_alone_s) - time.monotonic()
