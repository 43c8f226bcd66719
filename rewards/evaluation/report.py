"""An evaluation as one HTML page that needs nothing else, and as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Final, NamedTuple

import jinja2

from rewards.evaluation.summary import METHOD, Estimate, Failure, Group, Summary
from sandbox.records import Submission

_EXAMPLES: Final = 12
"""Ways of failing shown with a program."""
_CODE_LENGTH: Final = 4000
_BINS: Final = 10
_VERDICTS: Final = {
    "AC": "all tests passed",
    "WA": "wrong result",
    "RE": "raised, exited early or was killed",
    "CE": "does not compile",
    "TLE": "over its time",
    "MLE": "over its memory",
    "OLE": "over its output",
    "NO_CODE": "no program in the completion",
}


class Facts(NamedTuple):
    """What the page says of where it comes from."""

    problems: str
    """The file's name."""
    samples: str
    enforcement: str


class _Example(NamedTuple):
    """A failure with a program that failed so."""

    failure: Failure
    problem_id: str
    code: str


class _Bar(NamedTuple):
    """A column of the histogram, in percent of its frame."""

    label: str
    problems: int
    height: float


def render(summary: Summary, samples: Sequence[Submission], facts: Facts) -> str:
    """The page. All that comes from samples and problem sets is escaped, and the page forbids scripts besides."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["percent"] = lambda share: f"{share:.1%}"
    text = resources.files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(text).render(
        summary=summary,
        facts=facts,
        method=METHOD,
        verdicts=_VERDICTS,
        judged=summary.overall.samples,
        examples=[_example(failure, samples) for failure in summary.failures[:_EXAMPLES]],
        histogram=_histogram(summary),
    )


def as_data(summary: Summary) -> dict[str, object]:
    """What `metrics.json` says."""
    return {
        **_group_data(summary.overall),
        "not_attempted": list(summary.not_attempted),
        "host_failures": summary.host_failures,
        "verdicts": {verdict.value: count for verdict, count in summary.verdicts.items()},
        "grouped_by": summary.grouped_by,
        "groups": {group.name: _group_data(group) for group in summary.groups},
        "failures": [
            {
                "verdict": failure.verdict.value,
                "message": failure.message,
                "samples": failure.samples,
                "problems": failure.problems,
            }
            for failure in summary.failures[:_EXAMPLES]
        ],
        "method": METHOD,
    }


def _group_data(group: Group) -> dict[str, object]:
    return {
        "problems": group.problems,
        "attempted": group.attempted,
        "solved": group.solved,
        "samples": group.samples,
        "pass_at": {str(estimate.k): _estimate_data(estimate) for estimate in group.pass_at},
    }


def _estimate_data(estimate: Estimate) -> Mapping[str, float]:
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "problems": estimate.problems,
        "with_missing_as_failed": estimate.with_missing_as_failed,
    }


def _example(failure: Failure, samples: Sequence[Submission]) -> _Example:
    problem, code, _ = samples[failure.example]
    shown = "(no program)" if code is None else code
    if len(shown) > _CODE_LENGTH:
        shown = f"{shown[:_CODE_LENGTH]}\n… {len(shown) - _CODE_LENGTH} more characters"
    return _Example(failure, problem.id, shown)


def _histogram(summary: Summary) -> list[_Bar]:
    """Problems by the share of their samples that passed; empty where no problem has more than one sample."""
    judged = [tally for tally in summary.tallies if tally.samples]
    if all(tally.samples == 1 for tally in judged):
        return []
    # None and all of the samples have columns of their own: they are what pass@k moves between.
    labels = ["0", *(f"{100 * i // _BINS}–{100 * (i + 1) // _BINS}" for i in range(_BINS)), "100"]
    counts = [0] * len(labels)
    for tally in judged:
        if tally.correct in {0, tally.samples}:
            counts[0 if tally.correct == 0 else -1] += 1
        else:
            counts[1 + _BINS * tally.correct // tally.samples] += 1
    return [_Bar(label, count, 100 * count / max(counts)) for label, count in zip(labels, counts, strict=True)]
