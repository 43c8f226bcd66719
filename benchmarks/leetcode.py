"""What judging costs: canonical LeetCode completions, beside two ways that protect nothing."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from baselines import SharedFork, asserts, authors_loop_s
from cores import FIRST, pinned
from rich.progress import track

from rewards import load_problems
from sandbox import Limits, Problem, Sandbox, Verdict

FILE = "LeetCodeDataset-v0.3.0-test.jsonl.gz"
_MANY = 100
"""Tests from which on a completion has many."""


class Completion(NamedTuple):
    """A problem and its canonical solution."""

    problem: Problem
    solution: str


class Pair(NamedTuple):
    """Seconds of judging one completion: ours, and in another way."""

    ours_s: float
    other_s: float


def read(data: Path) -> list[Completion]:
    """The data set, with limits that no canonical solution comes near."""
    limits = Limits(cpu_s=30)
    return [
        Completion(replace(entry.problem, limits=limits), entry.solution or "") for entry in load_problems(data / FILE)
    ]


def sample(completions: Sequence[Completion], count: int) -> Sequence[Completion]:
    """About so many, evenly spread."""
    return completions[:: max(1, len(completions) // count)]


def with_many_tests(completions: Sequence[Completion]) -> list[Completion]:
    """Those with at least 100 tests."""
    return [completion for completion in completions if len(asserts(completion.problem)) >= _MANY]


def beside_shared_fork(completions: Sequence[Completion]) -> list[Pair]:
    """Ours beside one unprotected fork per completion: see `shared_fork.py`."""
    with pinned(FIRST):
        shared = SharedFork()
        pairs = _beside(completions, lambda one: shared.judge_s(*one), "shared fork")
        shared.close()
    return pairs


def beside_authors(completions: Sequence[Completion]) -> list[Pair]:
    """Ours beside the loop of the paper's authors: see `authors_loop.py`."""
    with pinned(FIRST):
        return _beside(completions, lambda one: authors_loop_s(*one), "authors' loop")


def total_ratio(pairs: Sequence[Pair]) -> float:
    """Total time of ours over that of the other way."""
    return sum(pair.ours_s for pair in pairs) / sum(pair.other_s for pair in pairs)


def median_ratio(pairs: Sequence[Pair]) -> float:
    """Median over the completions of the same ratio."""
    return statistics.median(pair.ours_s / pair.other_s for pair in pairs)


def _beside(completions: Sequence[Completion], judge_s: Callable[[Completion], float], label: str) -> list[Pair]:
    """Ours and the other, completion by completion; the time in which we first compile a problem does not count."""
    pairs = []
    with Sandbox(workers=1) as box:
        for completion in track(completions, description=label, transient=True):
            box.judge(completion.problem, "")
            ours_s = _judge_s(box, completion)
            pairs.append(Pair(ours_s, judge_s(completion)))
    return pairs


def _judge_s(box: Sandbox, completion: Completion) -> float:
    started = time.perf_counter()
    result = box.judge(completion.problem, completion.solution)
    seconds = time.perf_counter() - started
    if result.verdict is not Verdict.AC:
        raise RuntimeError(f"{completion.problem.id} is {result.verdict}: {result.message}")
    return seconds
