"""Speed and size of the sandbox, beside other ways to do the same, in one run.

    python benchmarks/throughput.py [--data DIR] [--image FOLDER]

Whatever is compared is measured in alternating rounds, so that a ratio holds while the machine's speed drifts; all but
`two_core_scaling` and `latency_added_p99_ms` on one core. What each figure means stands in the files that measure them:
runs.py, leetcode.py, footprint.py. With --data, LeetCode completions (v0.3.0-test) are judged too; --image is a folder
with a root file system that has a python3, for `apptainer` and `podman`. What cannot be measured is null. Prints one
JSON object last; exits with 1 where a bar is missed, and names it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import footprint
import leetcode
import runs

AT_MOST = {
    "isolated_over_bare": 2.5,
    "latency_added_p99_ms": 10,
    "leetcode_over_shared_fork": 1.5,
    "slot_mb": 60,
    "slot_start_ms": 150,
}
AT_LEAST = {
    "two_core_scaling": 1.7,
    "over_bwrap": 8,
    "over_apptainer": 40,
    "over_podman": 40,
    "leetcode_over_authors": 30,
    "leetcode_over_authors_100": 50,
}
LEETCODE_KEYS = (
    "leetcode_median_ms",
    "leetcode_over_shared_fork",
    "leetcode_over_shared_fork_median",
    "leetcode_over_authors",
    "leetcode_over_authors_total",
    "leetcode_over_authors_100",
)


def main() -> int:
    """Measure, print, and say whether every bar holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the LeetCode data set; without it those keys are null")
    parser.add_argument("--image", type=Path, help="folder with a root file system, for apptainer and podman")
    parser.add_argument("--quick", action="store_true", help="few rounds and no bar: shows that it runs, not how fast")
    options = parser.parse_args()
    effort = 1 if options.quick else 15
    report: dict[str, float | None] = {
        **of_runs(effort),
        **rounded(runs.over_others(options.image, rounds=effort)),
        **of_leetcode(options.data, shared=8 * effort, authors=2 * effort),
        "slot_mb": round(footprint.slot_bytes(runs=200) / 1e6, 1),
        "slot_start_ms": round(footprint.slot_start_s(starts=effort) * 1e3),
    }
    known = {name: value for name, value in report.items() if value is not None}
    missed = [f"at most {bar}: {name}" for name, bar in AT_MOST.items() if known.get(name, bar) > bar]
    missed += [f"at least {bar}: {name}" for name, bar in AT_LEAST.items() if known.get(name, bar) < bar]
    for bar in missed:
        print(f"missed: {bar}", file=sys.stderr)
    print(json.dumps(report))
    return 1 if missed and not options.quick else 0


def of_runs(effort: int) -> dict[str, float | None]:
    """The figures of single runs."""
    found = runs.isolated_over_bare(rounds=effort, runs=60)
    scaling = runs.two_core_scaling(rounds=effort, runs=100)
    return {
        "bare_ms": round(found.bare_s * 1e3, 3),
        "isolated_ms": round(found.isolated_s * 1e3, 3),
        "isolated_over_bare": round(found.ratio, 2),
        "runs_per_s_core": round(1 / found.isolated_s),
        "two_core_scaling": None if scaling is None else round(scaling.slots, 2),
        "two_core_scaling_bare": None if scaling is None else round(scaling.bare, 2),
        "latency_added_p99_ms": round(runs.added_latency_s(runs=40 * effort) * 1e3, 2),
    }


def of_leetcode(data: Path | None, shared: int, authors: int) -> dict[str, float | None]:
    """The figures of judging; null without the data set.

    Args:
        shared: completions to judge beside one unprotected fork.
        authors: completions to judge beside the authors' loop, which takes most of a second for each.
    """
    if data is None:
        return dict.fromkeys(LEETCODE_KEYS)
    completions = leetcode.read(data)
    beside_fork = leetcode.beside_shared_fork(leetcode.sample(completions, shared))
    beside_loop = leetcode.beside_authors(leetcode.sample(completions, authors))
    many = leetcode.beside_authors(leetcode.with_many_tests(completions))
    values = (
        statistics.median(pair.ours_s for pair in beside_fork) * 1e3,
        leetcode.total_ratio(beside_fork),
        leetcode.median_ratio(beside_fork),
        1 / leetcode.median_ratio(beside_loop),
        1 / leetcode.total_ratio(beside_loop),
        1 / leetcode.median_ratio(many),
    )
    return rounded(dict(zip(LEETCODE_KEYS, values, strict=True)))


def rounded(values: dict[str, float | None]) -> dict[str, float | None]:
    """To two digits after the point."""
    return {name: None if value is None else round(value, 2) for name, value in values.items()}


if __name__ == "__main__":
    sys.exit(main())
