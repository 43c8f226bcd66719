import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.server.recent import POINTS, Recent
from sandbox.server.work import About

ABOUT = About("judge", "me", "r1", "add")


class Clock:
    """Time that stands still until it is told to go on, s."""

    def __init__(self) -> None:
        self.now = 5000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recent(clock: Clock) -> Recent:
    return Recent(clock, lambda: clock.now + 1_000_000)


def finish(recent: Recent, outcome: str = "AC", count: int = 1) -> None:
    for _ in range(count):
        recent.finished(outcome, 0.001, 0.01)


def test_a_submission_is_in_the_window_at_once(recent: Recent) -> None:
    finish(recent, "AC", 3)
    finish(recent, "WA")
    window = recent.window(60)
    assert window.finished == 4
    assert window.outcomes == {"WA": 1, "AC": 3}


def test_a_window_forgets_what_is_older_than_it(recent: Recent, clock: Clock) -> None:
    finish(recent)
    clock.now += 59
    assert recent.window(60).finished == 1
    clock.now += 1
    assert recent.window(60).finished == 0
    assert recent.window(120).finished == 1


@pytest.mark.parametrize("pause_s", [900, 901, 1799, 1800, 100_000])
def test_nothing_comes_back_when_the_ring_turns(recent: Recent, clock: Clock, pause_s: int) -> None:
    finish(recent)
    recent.answered(429)
    recent.sample(7, 1)
    clock.now += pause_s
    window = recent.window(900)
    assert (window.finished, window.refused, sum(window.depth)) == (0, {}, 0)


def test_the_line_tells_submissions_per_second_of_whole_seconds(recent: Recent, clock: Clock) -> None:
    finish(recent, count=5)
    clock.now += 1
    finish(recent, count=7)
    window = recent.window(60)
    assert len(window.per_s) == POINTS
    assert window.per_s[-2:] == [0, 5]  # the second that has begun is not over
    assert window.series_end == pytest.approx(1_005_001)


def test_a_point_of_a_long_window_stays_what_it_is(recent: Recent, clock: Clock) -> None:
    """Seconds 5000 to 5004 are one step of 5 s, with 10 submissions in it: 2 per s, from whenever it is looked at."""
    finish(recent, count=10)
    clock.now = 5005.0
    first = recent.window(300)
    clock.now = 5009.9
    assert recent.window(300).per_s == first.per_s
    assert first.per_s[-1] == 2
    clock.now = 5010.0
    assert recent.window(300).per_s[-2:] == [2, 0]


def test_the_rate_is_over_ten_whole_seconds(recent: Recent, clock: Clock) -> None:
    finish(recent, count=20)
    assert recent.rate() == 0
    clock.now += 1
    assert recent.rate() == 2
    clock.now += 10
    assert recent.rate() == 0


def test_queue_and_slots_are_means_of_what_was_seen(recent: Recent, clock: Clock) -> None:
    recent.sample(10, 1)
    recent.sample(20, 2)
    clock.now += 1
    window = recent.window(60)
    assert window.depth[-1] == 15
    assert window.busy[-1] == 1.5


@given(st.lists(st.floats(1e-4, 900), min_size=1, max_size=200))
def test_percentiles_are_within_8_percent(latencies_s: list[float]) -> None:
    recent = Recent(Clock(), lambda: 0.0)
    for latency_s in latencies_s:
        recent.finished("AC", latency_s, 0.0)
    told = recent.window(60).latency["queue"]
    ranked = sorted(latencies_s)
    for share, value in ((0.5, told.p50), (0.95, told.p95), (0.99, told.p99)):
        assert value == pytest.approx(ranked[math.ceil(share * len(ranked)) - 1], rel=0.08)


@pytest.mark.parametrize(("latency_s", "told_s"), [(0.0, 1e-4), (1e-9, 1e-4), (1e4, 1e3), (1e9, 1e3)])
def test_no_latency_is_outside_of_the_histogram(recent: Recent, latency_s: float, told_s: float) -> None:
    recent.finished("AC", latency_s, latency_s)
    assert recent.window(60).latency["total"].p50 == pytest.approx(told_s)


def test_latencies_of_nothing_are_none(recent: Recent) -> None:
    assert recent.window(60).latency["total"].p99 is None


def test_a_rare_failure_does_not_drown_in_frequent_ones(recent: Recent) -> None:
    recent.failed("IE", "no memory", ABOUT)
    for number in range(1000):
        recent.failed("WA", str(number), ABOUT)
    kept = recent.failures(0)
    assert [failure.outcome for failure in kept] == ["IE"] + ["WA"] * 20
    assert kept[-1].message == "999"


def test_only_newer_failures_are_told(recent: Recent) -> None:
    for number in range(5):
        recent.failed(("WA", "RE")[number % 2], str(number), ABOUT)
    assert [failure.message for failure in recent.failures(3)] == ["3", "4"]


def test_a_message_is_cut_and_can_be_written_as_json(recent: Recent) -> None:
    recent.failed("RE", "\ud800" + "x" * 10_000, ABOUT._replace(problem_id="\ud800" + "y" * 10_000))
    text = recent.failures(0)[0].model_dump_json()
    assert len(text) < 1000
