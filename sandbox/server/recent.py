"""The last minutes of a server: counts per second in rings that never grow, at the same cost for each submission."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sandbox.records import StrictRecord
from sandbox.server.outcomes import OUTCOMES, REFUSALS
from sandbox.server.work import About

KEPT_S = 900
POINTS = 60
"""Of each line of a chart; windows are multiples of so many seconds."""
_RATE_S = 10
"""What the current rate is taken over, and how long a server that refused something counts as overloaded."""
_FAILURES_OF_EACH = 20
_MOST_MESSAGE = 300
MOST_NAME = 100
"""Of a problem's id, which may be of any length."""
Stage = Literal["queue", "sandbox", "total"]
"""Of a submission: until it is given to the sandbox, from there to its result, and both."""
_STAGES: tuple[Stage, ...] = ("queue", "sandbox", "total")
_PER_DECADE = 16
_SHORTEST_S = 1e-4
_BUCKETS = 7 * _PER_DECADE + 1
"""Of latencies from 0.1 ms to 1000 s: neighbours differ by 15 %, so that what is told is within 8 % of the truth."""
_OUTCOME_PLACE = {name: place for place, name in enumerate(OUTCOMES)}
_REFUSAL_PLACE = {status: place for place, status in enumerate(REFUSALS)}


class Percentiles(StrictRecord):
    """Of a latency, s; None where nothing was done."""

    p50: float | None
    p95: float | None
    p99: float | None


class Failure(StrictRecord):
    """A submission that was not accepted; without the program."""

    number: int
    """Grows by one with each."""
    time: float
    """Unix time, s."""
    outcome: str
    """A verdict or the kind of an error."""
    message: str
    kind: Literal["judge", "run"]
    client: str
    request_id: str
    problem_id: str | None


class Window(StrictRecord):
    """What was done in the last seconds."""

    seconds: int
    finished: int
    outcomes: dict[str, int]
    """Submissions by verdict, or by kind of an error; only those that occurred."""
    refused: dict[str, int]
    """Requests by reason; only those that occurred."""
    latency: dict[Stage, Percentiles]
    step_s: int
    """Between two points of the lines, the last of which ended at `series_end`."""
    series_end: float
    """Unix time, s."""
    per_s: list[float]
    """Submissions done per second."""
    depth: list[float]
    """Submissions that waited or ran, mean."""
    busy: list[float]
    """Slots with a program, mean."""


class Recent:
    """Counts per second. Lives in one event loop.

    Args:
        monotonic: s. unix: likewise.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, unix: Callable[[], float] = time.time) -> None:
        self._monotonic = monotonic
        self._unix = unix
        self.started = unix()
        self._second = int(monotonic())
        self._outcomes = _ring(len(OUTCOMES))
        self._refused = _ring(len(REFUSALS))
        self._latencies = _ring(len(_STAGES), _BUCKETS)
        self._samples = _ring()
        self._depth = _ring()
        self._busy = _ring()
        self._rings = (self._outcomes, self._refused, self._latencies, self._samples, self._depth, self._busy)
        self._numbers = count(1)
        self._failures: dict[str, deque[Failure]] = {}

    def finished(self, outcome: str, waited_s: float, took_s: float) -> None:
        """A submission is done."""
        row = self._row()
        self._outcomes[row, _OUTCOME_PLACE[outcome]] += 1
        latencies = self._latencies[row]
        latencies[0, _bucket(waited_s)] += 1
        latencies[1, _bucket(took_s)] += 1
        latencies[2, _bucket(waited_s + took_s)] += 1

    def failed(self, outcome: str, message: str, about: About) -> None:
        """One that is done was not accepted. Of each outcome some are kept: rare ones do not drown in many others."""
        failures = self._failures.get(outcome)
        if failures is None:
            failures = self._failures[outcome] = deque(maxlen=_FAILURES_OF_EACH)
        failures.append(
            Failure.model_construct(
                number=next(self._numbers),
                time=self._unix(),
                outcome=outcome,
                message=_shown(message, _MOST_MESSAGE),
                kind=about.kind,
                client=about.client,
                request_id=about.request_id,
                problem_id=None if about.problem_id is None else _shown(about.problem_id, MOST_NAME),
            )
        )

    def answered(self, status: int) -> None:
        """An HTTP request is over."""
        if status in _REFUSAL_PLACE:
            self._refused[self._row(), _REFUSAL_PLACE[status]] += 1

    def sample(self, depth: int, busy: int) -> None:
        """How many submissions wait or run, and in how many slots."""
        row = self._row()
        self._samples[row] += 1
        self._depth[row] += depth
        self._busy[row] += busy

    def refused_lately(self, status: int) -> bool:
        """Whether a request was, with this status, in the last ten seconds."""
        self._row()
        return bool(self._refused[self._rows(_RATE_S, self._second + 1), _REFUSAL_PLACE[status]].any())

    def rate(self) -> float:
        """Submissions done per second, over the last ten whole seconds, or those since the start."""
        self._row()
        return float(self._outcomes[self._rows(_RATE_S, self._second)].sum()) / _RATE_S

    def failures(self, after: int) -> list[Failure]:
        """Those kept with a higher number, in order."""
        kept = [failure for failures in self._failures.values() for failure in failures if failure.number > after]
        return sorted(kept, key=lambda failure: failure.number)

    def window(self, seconds: int) -> Window:
        """The last seconds, the one that has begun included; the lines end with the last whole step."""
        self._row()
        rows = self._rows(seconds, self._second + 1)
        step = seconds // POINTS
        # Steps begin at multiples of their length: a point does not change any more once it is there.
        end = self._second // step * step
        lines = self._rows(step * POINTS, end)
        samples = self._samples[lines].reshape(POINTS, step).sum(axis=1)
        outcomes = self._outcomes[rows].sum(axis=0)
        latencies = self._latencies[rows].sum(axis=0)
        return Window(
            seconds=seconds,
            finished=int(outcomes.sum()),
            outcomes=_present(OUTCOMES, outcomes),
            refused=_present(tuple(REFUSALS.values()), self._refused[rows].sum(axis=0)),
            latency={stage: _percentiles(latencies[place]) for place, stage in enumerate(_STAGES)},
            step_s=step,
            series_end=self._unix() - (self._monotonic() - end),
            per_s=_line(self._outcomes[lines].sum(axis=1).reshape(POINTS, step).sum(axis=1), np.array(step)),
            depth=_line(self._depth[lines].reshape(POINTS, step).sum(axis=1), samples),
            busy=_line(self._busy[lines].reshape(POINTS, step).sum(axis=1), samples),
        )

    def _row(self) -> int:
        """That of this second, in all rings; those of seconds that have come since are empty."""
        second = int(self._monotonic())
        if second != self._second:
            passed = self._rows(min(second - self._second, KEPT_S), second + 1)
            for ring in self._rings:
                ring[passed] = 0
            self._second = second
        return second % KEPT_S

    @staticmethod
    def _rows(seconds: int, end: int) -> NDArray[np.int64]:
        """Rows of the seconds before `end`, in order."""
        return np.arange(end - seconds, end) % KEPT_S


def _ring(*shape: int) -> NDArray[np.int64]:
    return np.zeros((KEPT_S, *shape), np.int64)


def _shown(text: str, most: int) -> str:
    """The beginning of a text, with lone surrogates, which JSON cannot carry, written as escapes."""
    return text[:most].encode("utf-8", "backslashreplace").decode()


def _bucket(latency_s: float) -> int:
    """The place of a latency in a row of its ring."""
    if latency_s <= _SHORTEST_S:
        return 0
    return min(round(_PER_DECADE * math.log10(latency_s / _SHORTEST_S)), _BUCKETS - 1)


def _percentiles(counts: NDArray[np.int64]) -> Percentiles:
    """Nearest rank, told as the middle of its bucket."""
    reached = counts.cumsum()
    if not reached[-1]:
        return Percentiles(p50=None, p95=None, p99=None)
    places = np.searchsorted(reached, np.ceil(np.array([0.5, 0.95, 0.99]) * reached[-1]))
    p50, p95, p99 = (_SHORTEST_S * 10 ** (int(place) / _PER_DECADE) for place in places)
    return Percentiles(p50=p50, p95=p95, p99=p99)


def _present(names: tuple[str, ...], counts: NDArray[np.int64]) -> dict[str, int]:
    return {name: int(number) for name, number in zip(names, counts, strict=True) if number}


def _line(sums: NDArray[np.int64], over: NDArray[np.int64]) -> list[float]:
    values: list[float] = np.round(sums / np.maximum(over, 1), 2).tolist()
    return values
