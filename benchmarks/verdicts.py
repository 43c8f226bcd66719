"""Verdict fidelity on public problem sets: every canonical solution AC, every empty one not, under load too.

    python benchmarks/verdicts.py --data DIR

DIR holds HumanEval.jsonl.gz, mbpp.jsonl, LeetCodeDataset-v0.3.0-test.jsonl.gz and
LeetCodeDataset-v0.2.0-train.jsonl.gz. Prints one JSON object last; exits with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.progress import track

from rewards import load_problems
from sandbox import JudgeResult, Limits, Problem, Sandbox, Verdict

SETS = {
    "humaneval": ("HumanEval.jsonl.gz", 164),
    "mbpp": ("mbpp.jsonl", 974),
    "leetcode_v030_test": ("LeetCodeDataset-v0.3.0-test.jsonl.gz", 386),
    "leetcode_v020_train": ("LeetCodeDataset-v0.2.0-train.jsonl.gz", 1889),
}
LIMITS = Limits(cpu_s=60, total_cpu_s=240, idle_s=30, memory_bytes=4 << 30)
"""Wide: some canonical solutions need over 20 s, and fidelity is measured here, not speed."""
Submission = tuple[Problem, str]


def read_set(path: Path) -> list[Submission]:
    """Problems with their canonical solutions."""
    entries = load_problems(path)
    return [(replace(entry.problem, limits=LIMITS), entry.solution or "") for entry in entries]


def emptied(source: str) -> str:
    """The program with every function's body replaced by `return None`."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [ast.Return(value=ast.Constant(value=None))]
    return ast.unparse(ast.fix_missing_locations(tree))


def judge(submissions: Sequence[Submission], workers: int, label: str) -> list[JudgeResult]:
    """Results in input order, with a progress bar."""
    with Sandbox(workers=workers) as box:
        finished = box.judge_as_completed(submissions)
        results = dict(track(finished, description=label, total=len(submissions), transient=True))
    return [results[index] for index in range(len(submissions))]


def main() -> int:
    """Measure, print, and say whether every bar holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the problem sets")
    data: Path = parser.parse_args().data
    cores = len(os.sched_getaffinity(0))
    report: dict[str, object] = {}
    met = True
    changed = 0
    for name, (file, bar) in SETS.items():
        submissions = read_set(data / file)
        alone = judge(submissions, cores, name)
        crowded = judge(submissions, 4 * cores, f"{name}, 4 workers a core")
        accepted = sum(result.verdict is Verdict.AC for result in alone)
        for (problem, _), calm, busy in zip(submissions, alone, crowded, strict=True):
            if calm.verdict is not Verdict.AC or busy.verdict is not calm.verdict:
                print(f"{problem.id}: {calm.verdict} ({calm.message}); under load {busy.verdict}", file=sys.stderr)
            changed += busy.verdict is not calm.verdict
        report[name] = {"ac": accepted, "total": len(submissions)}
        met = met and accepted >= bar
    empty = [(problem, emptied(code)) for problem, code in read_set(data / SETS["humaneval"][0])]
    negative = sum(result.verdict is Verdict.AC for result in judge(empty, cores, "return None"))
    print(json.dumps({**report, "negative_ac": negative, "changed_under_load": changed}))
    return 0 if met and negative == 0 and changed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
