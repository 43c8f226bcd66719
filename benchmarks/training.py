"""A step of QRPO beside one of TRL's DPO on the same sequences: tokens per second and peak of memory.

    python benchmarks/training.py [--quick]

Both train random weights of the shape of SmolLM2-135M (49,152 words) on pairs of completions of one prompt, in batches
of as many pairs; QRPO takes the two as rows and knows their reference log-probabilities. The trainers take turns, each
time in a process of its own; a ratio is of the two of one round, and the median of the rounds. Without a GPU both
compute in float32, on a GPU in bfloat16 autocast. `*_over_dpo_precomputed` is beside DPO that knows its reference, too
(`precompute_ref_log_probs`). All run with MALLOC_MMAP_THRESHOLD_ set, so that a peak is of what is in use.

Prints one JSON object last. Exits with 1 where a bar is missed, and names it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

AT_LEAST = {"tokens_per_s_over_dpo": 1.8}
AT_MOST = {"peak_memory_over_dpo": 0.6}
STEP = Path(__file__).with_name("training_step.py")
OTHERS = ("dpo", "dpo_precomputed")
# What is freed can stay in holes of glibc's heap, more than a gigabyte of them here; this way it is given back.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}


def main() -> int:
    """Measure, print, and say whether every bar holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="in a round; the first is not counted")
    parser.add_argument("--pairs", type=int, default=4, help="in a step")
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--prompt-tokens", type=int, default=256)
    parser.add_argument("--completion-tokens", type=int, default=128, help="on average; half to one and a half of it")
    parser.add_argument("--checkpointing", action="store_true", help="of activations, which is TRL's default")
    parser.add_argument("--quick", action="store_true", help="small, and no bar: shows that it runs, not how fast")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.steps, options.pairs, options.layers = 1, 2, 2, 1
    shape = ["steps", "pairs", "layers", "prompt_tokens", "completion_tokens"]
    words = [word for name in shape for word in (f"--{name.replace('_', '-')}", str(getattr(options, name)))]
    words += ["--checkpointing"] * options.checkpointing
    rounds = [{name: measured(name, words) for name in ("qrpo", *OTHERS)} for _ in range(options.rounds)]
    report = {name: getattr(options, name) for name in [*shape, "checkpointing"]} | summary(rounds)
    missed = [f"{name} {report[name]} < {bar}" for name, bar in AT_LEAST.items() if report[name] < bar]
    missed += [f"{name} {report[name]} > {bar}" for name, bar in AT_MOST.items() if report[name] > bar]
    print(json.dumps(report))
    if missed and not options.quick:
        print(f"missed: {'; '.join(missed)}", file=sys.stderr)
        return 1
    return 0


def measured(trainer: str, words: list[str]) -> dict[str, Any]:
    """What `training_step.py` prints."""
    command, environment = [sys.executable, STEP, trainer, *words], {**os.environ, **ENVIRONMENT}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{trainer} exits with {done.returncode}:\n{done.stderr[-2000:]}")
    print(f"{trainer}: {done.stdout.splitlines()[-1]}", file=sys.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def summary(rounds: list[dict[str, dict[str, Any]]]) -> dict[str, float]:
    """Medians of the rounds."""

    def median(values: list[float]) -> float:
        return round(statistics.median(values), 3)

    def per_s(found: dict[str, Any]) -> float:
        return float(found["tokens"] / sum(found["steps_s"]))

    report = {
        "qrpo_tokens_per_s": median([per_s(found["qrpo"]) for found in rounds]),
        "qrpo_peak_mib": median([found["qrpo"]["peak_bytes"] / 2**20 for found in rounds]),
    }
    for other in OTHERS:
        report[f"tokens_per_s_over_{other}"] = median([per_s(found["qrpo"]) / per_s(found[other]) for found in rounds])
        report[f"peak_memory_over_{other}"] = median(
            [found["qrpo"]["peak_bytes"] / found[other]["peak_bytes"] for found in rounds]
        )
    return report


if __name__ == "__main__":
    sys.exit(main())
