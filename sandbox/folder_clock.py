"""The clock by which the files of a folder are dated: where a file server keeps them, not this node's."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from pathlib import Path

log = logging.getLogger(__name__)

_CREDIBLE_S = (0.0, 30.0)
"""Ages for which nobody need look at the other clock."""
_MEASURED_FOR_S = 300.0
_STEP_S = 1.0
"""By so much this node's clock is ahead of its steady one, or behind, at once, when somebody sets it."""


class FolderClock:
    """Says how old files of a folder are, whatever this node's clock says.

    Args:
        folder: a file of no length is made there, and removed, when the two clocks seem to differ.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ahead_s = 0.0
        self._measured_s = float("-inf")
        self._offset_s = 0.0

    def age_s(self, found: os.stat_result) -> float:
        """Since it was last written or touched, s."""
        age_s = self._age_s(found)
        if not _CREDIBLE_S[0] <= age_s <= _CREDIBLE_S[1] and self._is_measurement_old():
            self._measured_s, self._offset_s = time.monotonic(), _offset_s()
            self._measure()
            age_s = self._age_s(found)
        return max(age_s, 0.0)

    def _age_s(self, found: os.stat_result) -> float:
        return time.time() + self._ahead_s - found.st_mtime

    def _is_measurement_old(self) -> bool:
        was_set = abs(_offset_s() - self._offset_s) > _STEP_S
        return was_set or time.monotonic() - self._measured_s > _MEASURED_FOR_S

    def _measure(self) -> None:
        try:
            with tempfile.TemporaryFile(dir=self._folder, prefix=".clock-") as probe:
                os.utime(probe.fileno())
                self._ahead_s = os.fstat(probe.fileno()).st_mtime - time.time()
        except OSError as error:
            log.debug("the clock of %s cannot be read (%s): taking this node's", self._folder, error)


def _offset_s() -> float:
    return time.time() - time.monotonic()
