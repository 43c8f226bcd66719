"""A fleet: what a container costs, what the client costs, and whether two servers do twice what one does.

    python benchmarks/fleet.py [--data DIR] [--image IMAGE]

What is judged are canonical completions, of LeetCode (v0.3.0-test) with --data, of the built-in problem set without,
but for those that take more than 0.1 s: what they compute is the same anywhere. --image is a folder, a SIF or a
squashfs with a Python, for Apptainer.

`apptainer_over_host`: the embedded sandbox with one slot in a container, over that under this host's own Python, on the
same core. The two Pythons are different builds: `python_over_host` is what a loop that only computes makes of that.

Nodes are simulated: 1, 2 and 4 processes of `qrpo-sandbox serve`, each with one slot and one core, and a client of the
folder where they are found, on the last core. Rounds alternate between the three fleets. On two cores, the second of
two servers shares its core with the client, which on a cluster it would not: `client_share` and `servers_share` say
what part of all cores each had, and `two_servers_scaling_net` is the scaling with the client's part taken out. More
servers than cores show only what sharing costs.

`client_us_per_submission` is CPU time of the client's process, user and system, where it never waits: it is answered at
once with what a server has said of the same completions, as if by a fleet of a hundred cores (`busy_client.py`).
`client_trickle_us` is the same beside the fleets, whose few slots give it one result at a time, so that it is woken for
each; that costs more for a result, and no more than a few hundredths of a core.

Prints one JSON object last; what cannot be measured is null, and said on stderr. Exits with 1 where a bar is missed, or
where an image is given and cannot be used.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import leetcode
from busy_client import busy_client_us
from cores import ALL, FIRST, pinned
from fleet_nodes import Fleet, Pass
from leetcode import Completion

from containers.choice import RuntimeName
from containers.runtime import ContainerError, Runtime
from rewards import load_builtin
from sandbox import InfrastructureError, Limits, Sandbox, UnsupportedHostError, Verdict
from sandbox.runtime_options import runtime_of

AT_LEAST = {"apptainer_over_host": 0.9, "two_servers_scaling": 1.7}
AT_MOST = {"client_us_per_submission": 150}
IN_CONTAINER = ("apptainer_over_host", "python_over_host")
COUNTS = (1, 2, 4)
QUICK_S = 0.1
_SPIN = "for _ in range(2_000_000): pass"


def main() -> int:
    """Measure, print, and say whether every bar holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the LeetCode data set (default: the built-in problems)")
    parser.add_argument("--image", help="folder, SIF or squashfs with a Python; without it its keys are null")
    parser.add_argument("--rounds", type=int, default=15, help="of each comparison; fewer are noisier (default: 15)")
    parser.add_argument("--quick", action="store_true", help="one round and no bar: shows that it runs, not how fast")
    options = parser.parse_args()
    completions = builtin() if options.data is None else leetcode.read(options.data)
    completions = quick_ones(leetcode.sample(completions, 20) if options.quick else completions)
    effort = 1 if options.quick else options.rounds
    report: dict[str, object] = {"cores": len(ALL), "submissions": len(completions)}
    figures, trouble = in_container(options.image, completions, effort)
    report |= figures
    report["client_us_per_submission"] = round(busy_client_us(completions, effort, 100 * effort), 1)
    report |= of_fleets(completions, effort)
    missed = [] if options.quick else broken_bars(report)
    for line in [*filter(None, [trouble]), *missed]:
        print(line, file=sys.stderr)
    print(json.dumps(report))
    return 1 if missed or (trouble and options.image) else 0


def broken_bars(report: dict[str, object]) -> list[str]:
    """What does not hold, in words; what was not measured breaks none."""
    known = {name: value for name, value in report.items() if isinstance(value, int | float)}
    missed = [f"missed: at most {bar}: {name}" for name, bar in AT_MOST.items() if known.get(name, bar) > bar]
    return missed + [f"missed: at least {bar}: {name}" for name, bar in AT_LEAST.items() if known.get(name, bar) < bar]


def builtin() -> list[Completion]:
    """The problem set of our own, with the same wide limits as the other."""
    limits = Limits(cpu_s=30)
    return [Completion(replace(entry.problem, limits=limits), entry.solution or "") for entry in load_builtin()]


def quick_ones(completions: Sequence[Completion]) -> list[Completion]:
    """Those that are judged within `QUICK_S` here."""
    with pinned(FIRST), Sandbox(workers=1) as box:
        return [one for one in completions if _judge_s(box, [one]) < QUICK_S]


def in_container(
    image: str | None, completions: Sequence[Completion], rounds: int
) -> tuple[dict[str, float | None], str]:
    """Completions a second in a container over those without; or nulls, and why."""
    try:
        if image is None:
            raise ContainerError("no --image was given")
        return beside_host(runtime_of(RuntimeName.APPTAINER, image), completions, rounds), ""
    except (ContainerError, UnsupportedHostError, InfrastructureError) as error:
        return dict.fromkeys(IN_CONTAINER), f"{' and '.join(IN_CONTAINER)} are not measured: {error}"


def beside_host(runtime: Runtime, completions: Sequence[Completion], rounds: int) -> dict[str, float | None]:
    """The host and another runtime in alternating rounds, which swap the order.

    Raises:
        ContainerError, UnsupportedHostError, InfrastructureError: see `Sandbox`.
        RuntimeError: a completion is not AC.
    """
    judged, computed = [], []
    with pinned(FIRST), Sandbox(workers=1) as host, Sandbox(workers=1, runtime=runtime) as inside:
        for box in (host, inside):
            _judge_s(box, completions)  # every problem has been seen then
        for number in range(rounds):
            order = (host, inside) if number % 2 else (inside, host)
            seconds = {box: (_judge_s(box, completions), box.run(_SPIN).cpu_s) for box in order}
            judged.append(seconds[host][0] / seconds[inside][0])
            computed.append(seconds[host][1] / seconds[inside][1])
    return dict(zip(IN_CONTAINER, (_rounded(judged), _rounded(computed)), strict=True))


def of_fleets(completions: Sequence[Completion], rounds: int) -> dict[str, object]:
    """The figures of servers and their client; medians over the rounds, which swap the order."""
    passes: dict[int, list[Pass]] = {count: [] for count in COUNTS}
    with ExitStack() as stack:
        fleets = [stack.enter_context(Fleet(count)) for count in COUNTS]
        for fleet in fleets:
            fleet.meet(completions)
        shuffled = list(completions)
        for number in range(rounds):
            random.Random(number).shuffle(shuffled)
            for fleet in fleets if number % 2 else reversed(fleets):
                passes[fleet.count].append(fleet.judge(shuffled))
    lists = [passes[count] for count in COUNTS]
    size = len(completions)
    return {
        "servers": list(COUNTS),
        "submissions_per_s": [_rounded((size / one.seconds for one in found), 1) for found in lists],
        "client_trickle_us": [_rounded((one.client_s * 1e6 / size for one in found), 0) for found in lists],
        "client_share": [_rounded(one.client_s / one.seconds / len(ALL) for one in found) for found in lists],
        "servers_share": [_rounded(one.servers_s / one.seconds / len(ALL) for one in found) for found in lists],
        **scaling(passes[1], passes[2], len(ALL)),
    }


def scaling(one: Sequence[Pass], two: Sequence[Pass], cores: int) -> dict[str, float | None]:
    """Of two servers, over one; null on a machine with one core."""
    if cores < 2:
        return {"two_servers_scaling": None, "two_servers_scaling_net": None}
    ratios = [single.seconds / double.seconds for single, double in zip(one, two, strict=True)]
    taken = [found.client_s / found.seconds if cores == 2 else 0.0 for found in two]  # of a server's core
    return {
        "two_servers_scaling": _rounded(ratios),
        "two_servers_scaling_net": _rounded(ratio * 2 / (2 - part) for ratio, part in zip(ratios, taken, strict=True)),
    }


def _judge_s(box: Sandbox, completions: Sequence[Completion]) -> float:
    """Seconds; raises RuntimeError where one is not AC."""
    started = time.perf_counter()
    results = box.judge_batch((one.problem, one.solution) for one in completions)
    seconds = time.perf_counter() - started
    for one, result in zip(completions, results, strict=True):
        if result.verdict is not Verdict.AC:
            raise RuntimeError(f"{one.problem.id} is {result.verdict}: {result.message}")
    return seconds


def _rounded(values: Iterable[float], digits: int = 3) -> float:
    """Their median."""
    return round(statistics.median(values), digits)


if __name__ == "__main__":
    sys.exit(main())
