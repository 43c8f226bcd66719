"""What judged samples say: pass@k with intervals, by group of problems, and why samples failed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rewards.bootstrap import bootstrap_interval
from rewards.pass_at_k import pass_at_k
from sandbox.problem import Problem
from sandbox.records import ResultRecord
from sandbox.verdict import Verdict

RESAMPLINGS: Final = 10_000
SEED: Final = 0
METHOD: Final = (
    f"pass@k is the unbiased estimate of arXiv 2107.03374, section 2.1, averaged over problems. Intervals: 95%, "
    f"percentile bootstrap over problems, {RESAMPLINGS} resamplings, seed {SEED}."
)
_GROUPED_BY: Final = ("difficulty", "topic")
_MESSAGE_LENGTH = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The samples of one problem."""

    problem_id: str
    group: str | None
    """Difficulty or topic."""
    samples: int
    """Judged; those that the host failed are not among them."""
    correct: int
    host_failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """pass@k of some problems."""

    k: int
    value: float
    low: float
    high: float
    """95% interval."""
    problems: int
    """With at least k judged samples: the others have no estimate."""
    with_missing_as_failed: float
    """The same if each problem without a sample had failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Problems that belong together."""

    name: str
    problems: int
    attempted: int
    """With at least one sample that was judged."""
    solved: int
    """With at least one sample that passed."""
    samples: int
    pass_at: tuple[Estimate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A way in which samples failed."""

    verdict: Verdict
    message: str
    """Its last line, cut."""
    samples: int
    problems: int
    example: int
    """Place of the first sample that failed so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """An evaluation."""

    overall: Group
    grouped_by: str | None
    """The field of `Problem.meta`."""
    groups: tuple[Group, ...]
    not_attempted: tuple[str, ...]
    """Ids of the problems without a sample; they have no part in pass@k."""
    samples: int
    host_failures: int
    """Samples without a verdict; they count as if they were not there."""
    verdicts: Mapping[Verdict, int]
    failures: tuple[Failure, ...]
    """The most frequent first."""
    tallies: tuple[Tally, ...]


def summarise(problems: Sequence[Problem], results: Sequence[ResultRecord], ks: Sequence[int]) -> Summary:
    """Counts.

    Args:
        problems: all of the set, those without a sample too.
        results: of all samples; verdict IE says that the host failed.
        ks: ascending; each is reported where some problem has as many judged samples.
    """
    grouped_by = next((name for name in _GROUPED_BY if any(name in problem.meta for problem in problems)), None)
    of_problem: dict[str, list[ResultRecord]] = defaultdict(list)
    for result in results:
        of_problem[result.problem_id].append(result)
    tallies = [_tally(problem, of_problem[problem.id], grouped_by) for problem in problems]
    by_group: dict[str, list[Tally]] = defaultdict(list)
    for tally in tallies:
        if tally.group is not None:
            by_group[tally.group].append(tally)
    return Summary(
        overall=_group("all", tallies, ks),
        grouped_by=grouped_by,
        groups=tuple(_group(name, its, ks) for name, its in by_group.items()),
        not_attempted=tuple(problem.id for problem in problems if not of_problem[problem.id]),
        samples=len(results),
        host_failures=sum(result.verdict is Verdict.IE for result in results),
        verdicts=_verdicts(results),
        failures=_failures(results),
        tallies=tuple(tallies),
    )


def pass_at(tallies: Sequence[Tally], k: int) -> Estimate | None:
    """Over the problems with enough judged samples, None where there is none."""
    values = np.array([pass_at_k(tally.samples, tally.correct, k) for tally in tallies if tally.samples >= k])
    if not len(values):
        return None
    missing = sum(tally.samples + tally.host_failures == 0 for tally in tallies)
    low, high = bootstrap_interval(values, resamplings=RESAMPLINGS, seed=SEED)
    return Estimate(
        k=k,
        value=float(values.mean()),
        low=low,
        high=high,
        problems=len(values),
        with_missing_as_failed=float(values.sum() / (len(values) + missing)),
    )


def _tally(problem: Problem, results: Sequence[ResultRecord], grouped_by: str | None) -> Tally:
    counts = Counter(result.verdict for result in results)
    return Tally(
        problem_id=problem.id,
        group=None if grouped_by is None else problem.meta.get(grouped_by, "none given"),
        samples=len(results) - counts[Verdict.IE],
        correct=counts[Verdict.AC],
        host_failures=counts[Verdict.IE],
    )


def _group(name: str, tallies: Sequence[Tally], ks: Sequence[int]) -> Group:
    return Group(
        name=name,
        problems=len(tallies),
        attempted=sum(tally.samples > 0 for tally in tallies),
        solved=sum(tally.correct > 0 for tally in tallies),
        samples=sum(tally.samples for tally in tallies),
        pass_at=tuple(estimate for k in ks if (estimate := pass_at(tallies, k)) is not None),
    )


def _verdicts(results: Sequence[ResultRecord]) -> dict[Verdict, int]:
    """How often each was given, AC first; those that never were, and IE, are left out."""
    counts = Counter(result.verdict for result in results)
    return {verdict: counts[verdict] for verdict in reversed(Verdict) if counts[verdict] and verdict is not Verdict.IE}


def _failures(results: Sequence[ResultRecord]) -> tuple[Failure, ...]:
    places: dict[tuple[Verdict, str], list[int]] = defaultdict(list)
    for place, result in enumerate(results):
        if result.verdict not in {Verdict.AC, Verdict.IE}:
            places[result.verdict, _last_line(result.message)].append(place)
    found = [
        Failure(
            verdict=verdict,
            message=message,
            samples=len(its),
            problems=len({results[place].problem_id for place in its}),
            example=its[0],
        )
        for (verdict, message), its in places.items()
    ]
    return tuple(sorted(found, key=lambda failure: -failure.samples))


def _last_line(message: str) -> str:
    """Where a traceback or a compiler says what is wrong; fit for a terminal, whatever the program put into it."""
    line = (message.strip().splitlines() or [""])[-1].strip()
    last = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
    return last if len(last) <= _MESSAGE_LENGTH else f"{last[: _MESSAGE_LENGTH - 1]}…"
