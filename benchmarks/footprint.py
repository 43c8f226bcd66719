"""What a slot costs while it is there: memory, and the time of its start."""

from __future__ import annotations

import os
import statistics
import time

from baselines import PROGRAM
from submissions import KNOWN

from containers.host import HostRuntime
from sandbox import Sandbox, Verdict
from sandbox.checkup.family import family, launchers
from sandbox.pool import DEFAULT_PACKAGES
from sandbox.slot import Slot


def slot_bytes(runs: int) -> float:
    """Memory of a slot after as many runs and judgings: the shares (PSS) of its processes, mean over the slots."""
    right = [(known.problem, known.code) for known in KNOWN if known.verdict is Verdict.AC]
    with Sandbox() as box:
        box.run_batch([(PROGRAM, "")] * (runs // 2))
        box.judge_batch((right * runs)[: runs // 2])
        slots = launchers(os.getpid())
        return sum(process.memory_bytes() for slot in slots for process in family(slot)) / len(slots)


def slot_start_s(starts: int) -> float:
    """Median time from nothing to a slot whose guards have been measured, with the default packages."""
    times = []
    for _ in range(starts):
        started = time.perf_counter()
        slot = Slot(HostRuntime(packages=DEFAULT_PACKAGES))
        times.append(time.perf_counter() - started)
        slot.close()
    return statistics.median(times)
