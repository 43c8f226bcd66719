"""What the way over HTTP costs: `qrpo-sandbox serve` beside the embedded sandbox and beside the paper's authors' loop.

    python benchmarks/server.py [--data DIR]

Server, client and embedded sandbox share the same cores; one is idle while the other works, and they alternate in one
run, so that a ratio holds while the machine's speed drifts. `http_` is through SandboxClient, as users call it, `raw_`
a client that does next to nothing. With --data, LeetCode completions (v0.3.0-test) are judged by the authors' route and
by their loop. Prints one JSON object last; exits with 1 where a bar is missed, and names it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import leetcode
from baselines import EXPECTED, PROGRAM, authors_loop_s
from cores import ALL
from http_load import Connection
from server_process import ServerProcess

from sandbox import Sandbox
from sandbox.client import SandboxClient
from sandbox.wire import NDJSON

AT_LEAST = {
    "http_over_embedded_256": 0.8,
    "http_over_embedded_16": 0.6,
    "batch_route_over_authors": 50,
    "run_code_per_s": 300,
}
AT_MOST = {"added_latency_ms": 3}
_CONNECTIONS = 32
_PROBLEMS = 4
"""In a request to the authors' route."""
_COMPLETIONS = 8
"""Of each; a trainer has more, which share what a problem costs once."""
_RUN_CODE = {
    "compile_timeout": 10,
    "run_timeout": 10,
    "code": PROGRAM,
    "stdin": "",
    "memory_limit_MB": 1024,
    "language": "python",
    "files": {},
    "fetch_files": [],
}
"""What verl sends for one test."""


def main() -> int:
    """Measure, print, and say whether every bar holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the LeetCode data set; without it those keys are null")
    parser.add_argument("--quick", action="store_true", help="few rounds and no bar: shows that it runs, not how fast")
    options = parser.parse_args()
    effort = 1 if options.quick else 15
    report: dict[str, float | None] = {}
    with ServerProcess() as server, Sandbox() as box:
        with SandboxClient(server.url, token=server.token) as client, Raw(server) as raw:
            report |= throughput(box, client, raw, size=256, rounds=effort)
            report |= throughput(box, client, raw, size=16, rounds=effort)
            report |= latency(box, client, raw, runs=40 * effort)
        with Raw(server) as raw:  # anew: the server closes connections that have been idle for long
            report |= run_code(box, raw, rounds=effort)
        with Raw(server) as raw:
            report |= batch_route(raw, options.data, rounds=effort)
    known = {name: value for name, value in report.items() if value is not None}
    missed = [f"at most {bar}: {name}" for name, bar in AT_MOST.items() if known.get(name, bar) > bar]
    missed += [f"at least {bar}: {name}" for name, bar in AT_LEAST.items() if known.get(name, bar) < bar]
    for bar in missed:
        print(f"missed: {bar}", file=sys.stderr)
    print(json.dumps(report))
    return 1 if missed and not options.quick else 0


class Raw:
    """Connections to a server, used by a caller that is not asynchronous. A context manager."""

    def __init__(self, server: ServerProcess) -> None:
        self._runner = asyncio.Runner()
        self._open = [Connection(server.url, {**server.headers, "accept": NDJSON}) for _ in range(_CONNECTIONS)]

    def __enter__(self) -> Self:
        for connection in self._open:
            self._runner.run(connection.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._open:
            self._runner.run(connection.__aexit__())
        self._runner.close()

    def post(self, path: str, content: object) -> Any:
        """One request: what came back, as an object."""
        return self._runner.run(self._open[0].post(path, json.dumps(content).encode())).json()

    def run_batch(self, programs: Sequence[tuple[str, str]]) -> None:
        """One request of the native route; answers are checked."""
        body = json.dumps({"programs": [{"code": code, "stdin": stdin} for code, stdin in programs]}).encode()
        rows = self._runner.run(self._open[0].post("/v1/run", body)).rows()
        if [row["result"]["stdout"] for row in rows] != [EXPECTED.decode()] * len(programs):
            raise RuntimeError(f"a run printed something else: {rows[:3]}")

    def run_code(self, count: int) -> None:
        """So many requests of one test each, over all connections; answers are checked."""
        body = json.dumps(_RUN_CODE).encode()
        left = iter(range(count))

        async def one(connection: Connection) -> None:
            for _ in left:
                answer = (await connection.post("/run_code", body)).json()
                if answer["status"] != "Success" or answer["run_result"]["stdout"] != EXPECTED.decode():
                    raise RuntimeError(f"a run ended otherwise: {answer}")

        async def every() -> None:
            await asyncio.gather(*map(one, self._open))

        self._runner.run(every())


def throughput(box: Sandbox, client: SandboxClient, raw: Raw, size: int, rounds: int) -> dict[str, float | None]:
    """Trivial programs a second in batches of a size; the ratios are medians of the rounds'."""
    programs = [(PROGRAM, "")] * size
    batches = max(1, 256 // size)
    ways: tuple[Callable[[], object], ...] = (
        lambda: box.run_batch(programs),
        lambda: client.run_batch(programs),
        lambda: raw.run_batch(programs),
    )
    seconds = _rounds(ways, rounds, batches)
    return {
        f"embedded_per_s_{size}": _rounded(statistics.median(batches * size / embedded for embedded, _, _ in seconds)),
        f"http_over_embedded_{size}": _rounded(statistics.median(embedded / http for embedded, http, _ in seconds)),
        f"raw_over_embedded_{size}": _rounded(statistics.median(embedded / bare for embedded, _, bare in seconds)),
    }


def latency(box: Sandbox, client: SandboxClient, raw: Raw, runs: int) -> dict[str, float | None]:
    """Median time of a single request less that of the embedded call, ms."""
    one = [(PROGRAM, "")]
    ways: tuple[Callable[[], object], ...] = (
        lambda: box.run(PROGRAM),
        lambda: client.run(PROGRAM),
        lambda: raw.run_batch(one),
    )
    embedded, http, bare = (statistics.median(times) * 1e3 for times in zip(*_rounds(ways, runs, 1), strict=True))
    return {
        "single_embedded_ms": _rounded(embedded),
        "added_latency_ms": _rounded(http - embedded),
        "added_latency_raw_ms": _rounded(bare - embedded),
    }


def run_code(box: Sandbox, raw: Raw, rounds: int) -> dict[str, float | None]:
    """Requests of one trivial program each, 32 at a time, by the route that verl uses."""
    count = 256
    seconds = _rounds((lambda: box.run_batch([(PROGRAM, "")] * count), lambda: raw.run_code(count)), rounds, 1)
    return {
        "run_code_per_s": _rounded(statistics.median(count / http for _, http in seconds)),
        "run_code_over_embedded": _rounded(statistics.median(embedded / http for embedded, http in seconds)),
    }


def batch_route(raw: Raw, data: Path | None, rounds: int) -> dict[str, float | None]:
    """Canonical completions by the authors' route, over their loop; null without the data set.

    A round is one request, with problems that the server has not seen. The loop judges one completion after the other,
    as in throughput.py; `_per_core` has as many loops at once as the server has slots.
    """
    keys = ("batch_route_over_authors", "batch_route_over_authors_total", "batch_route_over_authors_per_core")
    if data is None:
        return dict.fromkeys(keys)
    completions = leetcode.sample(leetcode.read(data), _PROBLEMS * rounds)
    seconds = []
    for first in range(0, len(completions), _PROBLEMS):
        part = completions[first : first + _PROBLEMS]
        seconds.append((_route_s(raw, part), _loops_s(part, 1), _loops_s(part, len(ALL))))
    return {
        "batch_route_over_authors": _rounded(statistics.median(loop / route for route, loop, _ in seconds)),
        "batch_route_over_authors_total": _rounded(
            sum(loop for _, loop, _ in seconds) / sum(route for route, _, _ in seconds)
        ),
        "batch_route_over_authors_per_core": _rounded(statistics.median(loops / route for route, _, loops in seconds)),
    }


def _route_s(raw: Raw, part: Sequence[leetcode.Completion]) -> float:
    body = {
        "pre_code": "",
        "batch_ref_model_completions": [
            [f"```python\n{one.problem.prelude}\n{one.solution}\n```"] * _COMPLETIONS for one in part
        ],
        "batch_entrypoints": [one.problem.entry_point for one in part],
        "batch_tests": ["\n".join(map(str, one.problem.tests)) for one in part],
        "config": {"cpu_limit": 1, "time_limit": 30, "memory_limit_mb_per_cpu": 1024, "max_tests": 1000},
    }
    started = time.perf_counter()
    answer = raw.post("/execute_batch_code/", body)
    seconds = time.perf_counter() - started
    if any(reward != 1 for rewards in answer["results"] for reward in rewards):
        raise RuntimeError(f"canonical completions of {[one.problem.id for one in part]} got {answer['results']}")
    return seconds


def _loops_s(part: Sequence[leetcode.Completion], at_once: int) -> float:
    """The loop on the same completions; each is judged once, and its time taken for all that are the same."""
    started = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda one: authors_loop_s(*one), part))
    return (time.perf_counter() - started) * _COMPLETIONS


def _rounds(ways: Sequence[Callable[[], object]], rounds: int, calls: int) -> list[list[float]]:
    """Seconds of so many calls of each way, per round; one round before is for warming up."""
    found = []
    for _ in range(rounds + 1):
        times = []
        for way in ways:
            started = time.perf_counter()
            for _ in range(calls):
                way()
            times.append(time.perf_counter() - started)
        found.append(times)
    return found[1:]


def _rounded(value: float) -> float:
    return round(value, 2)


if __name__ == "__main__":
    sys.exit(main())
