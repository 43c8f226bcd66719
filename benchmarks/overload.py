"""Whether a server stands twice what it can do: nothing lost, no memory gained, and a small client hardly slowed down.

    python benchmarks/overload.py [--seconds 300] [--clients 200]

What the server can do is measured first; then clients ask for twice that, at random times whatever it answers (see
`Load.run`), in batches of 1 to 32 programs and submissions of which every answer is compared. Meanwhile a small client
asks for one program at a time, in all for half of its fair share of the slots; `small_` is its latency then over that
on the idle server. `unnamed_` is the same for a fifth of the time when no client says who it is, so that all are one to
the server; null where the small one was turned away. `ten_beside_backlog` is the latency of ten programs while another
client has 50,000 queued, over that of ten on the idle server. Memory is the server's process (RSS), each tenth of the
time. Prints one JSON object last; exits with 1 where a bar is missed, and names it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import sys
import time
from collections.abc import Awaitable, Sequence

from baselines import PROGRAM
from http_load import Connection
from offered_load import Load, single_s
from server_process import ServerProcess

from sandbox.checkup.family import family, launchers

QUEUED = 2000
"""Of the server: so that its queue is full after seconds, or on a very busy machine after a minute."""
GROWTH = 1.05
"""In the second half of the time: the queue must have been full before, which takes longer on a slow machine."""
SLOWEST = 10.0
_BACKLOG = 50_000


def main() -> int:
    """Measure, print, and say whether every bar holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--clients", type=int, default=200)
    options = parser.parse_args()
    with ServerProcess("--queue", str(QUEUED)) as server:
        report = asyncio.run(overload(server, options.clients, options.seconds))
    with ServerProcess() as server:
        report |= asyncio.run(beside_backlog(server))
    missed = broken_bars(report)
    for bar in missed:
        print(f"missed: {bar}", file=sys.stderr)
    print(json.dumps(report))
    return 1 if missed else 0


def broken_bars(report: dict[str, object]) -> list[str]:
    """What does not hold, in words."""
    bars = [f"{name} must be 0" for name in ("lost", "doubled", "wrong") if report[name]]
    bars += ["there must be no error but 429"] if report["errors"] else []
    bars += ["some must be accepted"] if not report["accepted"] else []
    for name, most in (("memory_growth", GROWTH), ("small_median", SLOWEST), ("small_p95", SLOWEST)):
        value = report[name]
        if not isinstance(value, float) or not value < most:
            bars.append(f"{name} must be less than {most:g}")
    return bars


async def overload(server: ServerProcess, clients: int, seconds: float) -> dict[str, object]:
    """All figures but those of the backlog."""
    load, unnamed = Load(server, named=True), Load(server, named=False)
    await load.prepare()
    await unnamed.prepare()
    capacity_per_s = await load.capacity_per_s(seconds / 10)
    idle = await single_s(load, "small", seconds / 10, every_s=0.1)
    every_s = 2 * clients / capacity_per_s
    slots_before = slots_mb(server)
    memory, small = await _beside(server, load.run(clients, 2 * capacity_per_s, seconds), load, seconds, every_s)
    began = time.monotonic()
    running = unnamed.run(clients, 2 * capacity_per_s, seconds / 5)
    _, small_unnamed = await _beside(server, running, unnamed, seconds / 5, every_s)
    drained_s = time.monotonic() - began
    await asyncio.sleep(1)
    tally = load.tally
    return {
        "capacity_per_s": round(capacity_per_s),
        "offered": tally.offered,
        "held_back_requests": tally.held_back,
        "turned_away_requests": tally.turned_away,
        "accepted": tally.accepted,
        "lost": tally.lost + unnamed.tally.lost,
        "doubled": tally.doubled + unnamed.tally.doubled,
        "wrong": tally.wrong + unnamed.tally.wrong,
        "errors": dict(tally.errors + unnamed.tally.errors),
        "memory_mb": memory,
        "memory_growth": round(statistics.mean(memory[-3:]) / statistics.mean(memory[4:7]), 3),
        "memory_after_mb": megabytes(server.rss_bytes()),
        "slots_before_mb": slots_before,
        "slots_after_mb": slots_mb(server),
        "small_idle_ms": _ms(statistics.median(idle)),
        "small_ms": _ms(statistics.median(small)),
        "small_median": _ratio(statistics.median(small), statistics.median(idle)),
        "small_p95": _ratio(p95(small), p95(idle)),
        "small_turned_away": small.count(math.inf),
        "unnamed_median": _ratio(statistics.median(small_unnamed), statistics.median(idle)),
        "unnamed_p95": _ratio(p95(small_unnamed), p95(idle)),
        "unnamed_turned_away": small_unnamed.count(math.inf),
        "unnamed_small": len(small_unnamed),
        "unnamed_s": round(drained_s, 1),
    }


async def _beside(
    server: ServerProcess, running: Awaitable[None], load: Load, seconds: float, every_s: float
) -> tuple[list[float], list[float]]:
    """Memory in MB from the start on, each tenth of the time, and latencies of the small client, while a load runs."""

    async def watch() -> list[float]:
        found = []
        for _ in range(11):
            found.append(megabytes(server.rss_bytes()))
            await asyncio.sleep(seconds / 10)
        return found

    memory, small, _ = await asyncio.gather(watch(), single_s(load, "small", seconds, every_s), running)
    return memory, small


async def beside_backlog(server: ServerProcess) -> dict[str, object]:
    """Ten programs of one client while another waits for 50,000."""
    load = Load(server, named=True)
    async with load.connection("small") as small:
        idle = [await ten_s(small) for _ in range(20)]
        empty = server.rss_bytes()
        async with load.connection("large") as large:
            body = json.dumps({"programs": [{"code": PROGRAM}] * _BACKLOG}).encode()
            waiting = asyncio.create_task(large.post("/v1/run", body))
            await asyncio.sleep(3)
            loaded = [await ten_s(small) for _ in range(100)]
            full = server.rss_bytes()
            if waiting.done():
                raise RuntimeError(f"the backlog was not there for long enough: {waiting.result().status}")
            waiting.cancel()
        await asyncio.sleep(1)
    return {
        "ten_beside_backlog": _ratio(statistics.median(loaded), statistics.median(idle)),
        "ten_beside_backlog_p95": _ratio(p95(loaded), p95(idle)),
        "ten_idle_ms": _ms(statistics.median(idle)),
        "backlog_mb": [megabytes(empty), megabytes(full), megabytes(server.rss_bytes())],
    }


async def ten_s(connection: Connection) -> float:
    """Latency of a batch of ten."""
    began = time.perf_counter()
    rows = (await connection.post("/v1/run", json.dumps({"programs": [{"code": PROGRAM}] * 10}).encode())).rows()
    if len(rows) != 10:
        raise RuntimeError(f"{len(rows)} rows came for 10 programs")
    return time.perf_counter() - began


def slots_mb(server: ServerProcess) -> float:
    """Memory of all slots' processes (PSS)."""
    slots = launchers(server.pid)
    return megabytes(sum(process.memory_bytes() for slot in slots for process in family(slot)))


def p95(values: Sequence[float]) -> float:
    """Their 95th percentile."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def megabytes(size: float) -> float:
    """In MB."""
    return round(size / 1e6, 1)


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 2)


def _ratio(value: float, base: float) -> float | None:
    """None where there is no number for it."""
    return round(value / base, 2) if math.isfinite(value) else None


if __name__ == "__main__":
    sys.exit(main())
