"""What a run costs: beside a bare fork, beside other sandboxes, on two cores, and on top of the program under load."""

from __future__ import annotations

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from baselines import EXPECTED, PROGRAM, Bare, apptainer, bubblewrap, command_s, podman
from cores import ALL, FIRST, pinned

from sandbox import Sandbox

_SPIN_S = 0.02
_SPIN = f"""
import time
started = time.monotonic_ns()
while time.process_time() < {_SPIN_S}: pass
print(started, time.monotonic_ns())
"""


class IsolatedOverBare(NamedTuple):
    """Medians over the rounds; the ratio is that of each round."""

    bare_s: float
    isolated_s: float
    ratio: float


def isolated_over_bare(rounds: int, runs: int) -> IsolatedOverBare:
    """An isolated run beside a bare one: see `bare_fork.py`."""
    with pinned(FIRST):
        bare = Bare(runs)
        with Sandbox(workers=1) as box:
            isolated_s(box, runs)
            bare.round_s()
            pairs = [(bare.round_s(), isolated_s(box, runs)) for _ in range(rounds)]
        bare.close()
    return IsolatedOverBare(
        statistics.median(plain for plain, _ in pairs),
        statistics.median(isolated for _, isolated in pairs),
        statistics.median(isolated / plain for plain, isolated in pairs),
    )


def isolated_s(box: Sandbox, runs: int) -> float:
    """Seconds of one isolated run of the trivial program, mean of a round."""
    started = time.perf_counter()
    for _ in range(runs):
        if box.run(PROGRAM).stdout != EXPECTED:
            raise RuntimeError("an isolated run printed something else")
    return (time.perf_counter() - started) / runs


class Scaling(NamedTuple):
    """Runs per second of two on two cores over those of one on one core."""

    slots: float
    bare: float
    """Of bare forks, each from an interpreter of its own: what the machine gives."""


def two_core_scaling(rounds: int, runs: int) -> Scaling | None:
    """Medians over the rounds; None on a machine with one core."""
    if len(ALL) < 2:
        return None
    one, two = FIRST, frozenset(sorted(ALL)[:2])
    with pinned(one):
        single, bare = Sandbox(workers=1), Bare(runs)
    with pinned(two):
        double = Sandbox(workers=2)
    with pinned(two - one):
        other_bare = Bare(runs)
    slots, bares = [], []
    with single, double, ThreadPoolExecutor() as pool:
        for _ in range(rounds + 1):
            with pinned(one):
                alone_s = _batch_s(single, runs)
            with pinned(two):
                slots.append(2 * alone_s / _batch_s(double, 2 * runs))
            alone_s = bare.round_s()
            bares.append(2 * alone_s / max(pool.map(Bare.round_s, (bare, other_bare))))
    for process in (bare, other_bare):
        process.close()
    return Scaling(statistics.median(slots[1:]), statistics.median(bares[1:]))


def _batch_s(box: Sandbox, runs: int) -> float:
    """Seconds of a batch of the trivial program."""
    started = time.perf_counter()
    results = box.run_batch([(PROGRAM, "")] * runs)
    seconds = time.perf_counter() - started
    if any(result.stdout != EXPECTED for result in results):
        raise RuntimeError("an isolated run printed something else")
    return seconds


def over_others(image: Path | None, rounds: int) -> dict[str, float | None]:
    """How many times faster than each of the others' ways the trivial program is run; None for what is not there."""
    commands = {"over_bwrap": bubblewrap(), "over_apptainer": apptainer(image), "over_podman": podman(image)}
    found: dict[str, float | None] = {}
    with pinned(FIRST), Sandbox(workers=1) as box:
        isolated_s(box, 20)
        for name, command in commands.items():
            ratios = [command_s(command, 3) / isolated_s(box, 20) for _ in range(rounds)] if command else []
            found[name] = statistics.median(ratios) if ratios else None
    return found


def added_latency_s(runs: int) -> float:
    """What a run pays on top of the program itself while every core is busy: the 99th percentile.

    There are as many slots as cores and as many callers as slots, so that no run waits for a slot; each program spins
    for 20 ms of CPU time. Of the time from the call to its return, all counts but that from the program's first
    statement to its last: so the making of its place, its compilation, its end and the way of the result, with what
    each had to wait for a core. What else the machine does meanwhile counts, too.
    """
    added: list[float] = []

    def call(box: Sandbox) -> None:
        for _ in range(runs):
            called_ns = time.monotonic_ns()
            result = box.run(_SPIN)
            returned_ns = time.monotonic_ns()
            first_ns, last_ns = map(int, result.stdout.split())
            added.append((returned_ns - called_ns - (last_ns - first_ns)) / 1e9)

    with Sandbox() as box:
        threads = [threading.Thread(target=call, args=(box,)) for _ in range(box.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return statistics.quantiles(added, n=100)[98]
