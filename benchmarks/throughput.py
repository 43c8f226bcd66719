"""Speed of the sandbox beside a bare fork of a warm interpreter, in one run on one core.

    python benchmarks/throughput.py [--data DIR]

`bare`: fork a warm interpreter, execute the compiled trivial program, collect its output over a pipe, wait.
`isolated`: `Sandbox.run` of the same program. Both pinned to one core, in alternating rounds, so that the ratio
holds while the machine's speed drifts. With --data, LeetCode completions (v0.3.0-test) are judged too. Prints
one JSON object last; exits with 1 where the bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from rewards import load_problems
from sandbox import Limits, Sandbox, Verdict
from sandbox.worker.main import PRELOADED

PROGRAM = "print(sum(range(10)))"
EXPECTED = b"45\n"
ROUNDS, RUNS = 15, 60
BAR = 4.0
"""Largest ratio of an isolated run to a bare one."""
LEETCODE = "LeetCodeDataset-v0.3.0-test.jsonl.gz"
LEETCODE_COUNT = 60


class Bare:
    """`bare_fork.py` in an interpreter of its own, as warm as the sandbox's and with nothing else loaded."""

    def __init__(self) -> None:
        script = str(Path(__file__).with_name("bare_fork.py"))
        modules = ",".join(PRELOADED)
        self._process = subprocess.Popen(
            [sys.executable, "-S", script, modules, PROGRAM, str(RUNS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def round_s(self) -> float:
        """Seconds of one bare run, mean of a round."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the bare runner has no pipes")
        self._process.stdin.write("round\n")
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def isolated_round_s(box: Sandbox) -> float:
    """Seconds of one isolated run, mean of a round."""
    started = time.perf_counter()
    for _ in range(RUNS):
        if box.run(PROGRAM).stdout != EXPECTED:
            raise RuntimeError("an isolated run printed something else")
    return (time.perf_counter() - started) / RUNS


def leetcode_median_ms(data: Path) -> float:
    """Median wall time of judging one canonical completion with all its tests, ms; one worker."""
    entries = load_problems(data / LEETCODE)
    entries = entries[:: max(1, len(entries) // LEETCODE_COUNT)]
    times = []
    with Sandbox(workers=1) as box:
        for entry in entries:
            problem = replace(entry.problem, limits=Limits(cpu_s=30))
            box.judge(problem, "")  # the problem is sent and compiled once for all its completions
            started = time.perf_counter()
            result = box.judge(problem, entry.solution)
            times.append((time.perf_counter() - started) * 1e3)
            if result.verdict is not Verdict.AC:
                raise RuntimeError(f"{problem.id} is {result.verdict}: {result.message}")
    return statistics.median(times)


def main() -> int:
    """Measure, print, and say whether the bar holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the LeetCode data set; without it that key is null")
    data: Path | None = parser.parse_args().data
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    bare = Bare()
    with Sandbox(workers=1) as box:
        isolated_round_s(box)
        bare.round_s()
        pairs = [(bare.round_s(), isolated_round_s(box)) for _ in range(ROUNDS)]
    bare.close()
    ratio = statistics.median(isolated / plain for plain, isolated in pairs)
    isolated_s = statistics.median(isolated for _, isolated in pairs)
    report = {
        "bare_ms": round(statistics.median(plain for plain, _ in pairs) * 1e3, 3),
        "isolated_ms": round(isolated_s * 1e3, 3),
        "isolated_over_bare": round(ratio, 2),
        "runs_per_s_core": round(1 / isolated_s),
        "leetcode_median_ms": None if data is None else round(leetcode_median_ms(data), 1),
    }
    print(json.dumps(report))
    return 0 if ratio <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
