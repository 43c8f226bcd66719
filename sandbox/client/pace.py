"""How fast a server answers, and how much it is given at a time for that."""

from __future__ import annotations

import math

_HORIZON_S = 1.0
"""A server is given what it does in about this time: enough that none of its slots waits for the network, and not so
much that another server could have done it sooner."""
_MEMORY_S = 5.0
_PER_WORKER = 4
_LEAST, _MOST = 32, 512


class Pace:
    """Rows per second of a server while it has something to do, over the last seconds. No clock of its own."""

    def __init__(self) -> None:
        self._rows = self._busy_s = 0.0
        self._since_s = 0.0

    def began(self, now_s: float) -> None:
        """The server had nothing to do until now."""
        self._since_s = now_s

    def came(self, rows: int, now_s: float) -> None:
        """So many rows came at once."""
        passed_s = max(now_s - self._since_s, 0.0)
        kept = math.exp(-passed_s / _MEMORY_S)
        self._rows = self._rows * kept + rows
        self._busy_s = self._busy_s * kept + passed_s
        self._since_s = now_s

    def window(self, workers: int) -> int:
        """Submissions that a batch may have there at a time.

        Args:
            workers: slots of the server.
        """
        least = _PER_WORKER * workers
        if not self._busy_s:
            return max(_LEAST, least)
        return max(min(round(self._rows / self._busy_s * _HORIZON_S), _MOST), least)
