import math
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from sandbox import Sandbox
from sandbox.server.app import create_app
from sandbox.server.dispatch import About
from sandbox.server.settings import Settings
from sandbox.server.stats import POINTS, Stats

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
def stats(clock: Clock) -> Stats:
    return Stats(clock, lambda: clock.now + 1_000_000)


def finish(stats: Stats, outcome: str = "AC", count: int = 1) -> None:
    for _ in range(count):
        stats.finished(outcome, 0.001, 0.01)


def test_a_submission_is_in_the_window_at_once(stats: Stats) -> None:
    finish(stats, "AC", 3)
    finish(stats, "WA")
    window = stats.window(60)
    assert window.finished == 4
    assert window.outcomes == {"WA": 1, "AC": 3}


def test_a_window_forgets_what_is_older_than_it(stats: Stats, clock: Clock) -> None:
    finish(stats)
    clock.now += 59
    assert stats.window(60).finished == 1
    clock.now += 1
    assert stats.window(60).finished == 0
    assert stats.window(120).finished == 1


@pytest.mark.parametrize("pause_s", [900, 901, 1799, 1800, 100_000])
def test_nothing_comes_back_when_the_ring_turns(stats: Stats, clock: Clock, pause_s: int) -> None:
    finish(stats)
    stats.answered(429)
    stats.sample(7, 1)
    clock.now += pause_s
    window = stats.window(900)
    assert (window.finished, window.refused, sum(window.depth)) == (0, {}, 0)


def test_the_line_tells_submissions_per_second_of_whole_seconds(stats: Stats, clock: Clock) -> None:
    finish(stats, count=5)
    clock.now += 1
    finish(stats, count=7)
    window = stats.window(60)
    assert len(window.per_s) == POINTS
    assert window.per_s[-2:] == [0, 5]  # the second that has begun is not over
    assert window.series_end == pytest.approx(1_005_001)


def test_a_point_of_a_long_window_stays_what_it_is(stats: Stats, clock: Clock) -> None:
    """Seconds 5000 to 5004 are one step of 5 s, with 10 submissions in it: 2 per s, from whenever it is looked at."""
    finish(stats, count=10)
    clock.now = 5005.0
    first = stats.window(300)
    clock.now = 5009.9
    assert stats.window(300).per_s == first.per_s
    assert first.per_s[-1] == 2
    clock.now = 5010.0
    assert stats.window(300).per_s[-2:] == [2, 0]


def test_the_rate_is_over_ten_whole_seconds(stats: Stats, clock: Clock) -> None:
    finish(stats, count=20)
    assert stats.rate() == 0
    clock.now += 1
    assert stats.rate() == 2
    clock.now += 10
    assert stats.rate() == 0


def test_queue_and_slots_are_means_of_what_was_seen(stats: Stats, clock: Clock) -> None:
    stats.sample(10, 1)
    stats.sample(20, 2)
    clock.now += 1
    window = stats.window(60)
    assert window.depth[-1] == 15
    assert window.busy[-1] == 1.5


@given(st.lists(st.floats(1e-4, 900), min_size=1, max_size=200))
def test_percentiles_are_within_8_percent(latencies_s: list[float]) -> None:
    stats = Stats(Clock(), lambda: 0.0)
    for latency_s in latencies_s:
        stats.finished("AC", latency_s, 0.0)
    told = stats.window(60).latency["queue"]
    ranked = sorted(latencies_s)
    for share, value in ((0.5, told.p50), (0.95, told.p95), (0.99, told.p99)):
        assert value == pytest.approx(ranked[math.ceil(share * len(ranked)) - 1], rel=0.08)


@pytest.mark.parametrize(("latency_s", "told_s"), [(0.0, 1e-4), (1e-9, 1e-4), (1e4, 1e3), (1e9, 1e3)])
def test_no_latency_is_outside_of_the_histogram(stats: Stats, latency_s: float, told_s: float) -> None:
    stats.finished("AC", latency_s, latency_s)
    assert stats.window(60).latency["total"].p50 == pytest.approx(told_s)


def test_latencies_of_nothing_are_none(stats: Stats) -> None:
    assert stats.window(60).latency["total"].p99 is None


def test_a_rare_failure_does_not_drown_in_frequent_ones(stats: Stats) -> None:
    stats.failed("IE", "no memory", ABOUT)
    for number in range(1000):
        stats.failed("WA", str(number), ABOUT)
    kept = stats.failures(0)
    assert [failure.outcome for failure in kept] == ["IE"] + ["WA"] * 20
    assert kept[-1].message == "999"


def test_only_newer_failures_are_told(stats: Stats) -> None:
    for number in range(5):
        stats.failed(("WA", "RE")[number % 2], str(number), ABOUT)
    assert [failure.message for failure in stats.failures(3)] == ["3", "4"]


def test_a_message_is_cut_and_can_be_written_as_json(stats: Stats) -> None:
    stats.failed("RE", "\ud800" + "x" * 10_000, ABOUT._replace(problem_id="\ud800" + "y" * 10_000))
    text = stats.failures(0)[0].model_dump_json()
    assert len(text) < 1000


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as box:
        yield box


@pytest.fixture
def client(box: Sandbox) -> Iterator[TestClient]:
    with TestClient(create_app(box, Settings(queued=8), None), headers={"x-client": "trainer"}) as client:
        yield client


def test_the_route_tells_what_was_done_and_what_failed(client: TestClient) -> None:
    problem = {"id": "add", "tests": ["assert add(2, 2) == 4"]}
    key = client.put("/v1/problems", json={"problems": [problem]}).json()["keys"][0]
    body = {"submissions": [{"problem": key, "code": "def add(a, b): return 5"}]}
    client.post("/v1/judge", json=body, headers={"x-request-id": "mine"})
    stats = client.get("/v1/stats").json()
    assert (stats["state"], stats["workers"], stats["depth"], stats["enforcement"]) == ("ready", 1, 0, "userns")
    assert stats["window"]["outcomes"] == {"WA": 1}
    assert stats["window"]["latency"]["sandbox"]["p50"] > 0
    failure = stats["failures"][0]
    assert (failure["outcome"], failure["problem_id"], failure["request_id"]) == ("WA", "add", "mine")
    assert (failure["client"], failure["kind"], failure["message"]) == ("trainer", "judge", "the assertion failed")
    assert client.get(f"/v1/stats?after={failure['number']}").json()["failures"] == []


@pytest.mark.parametrize("query", ["window_s=0", "window_s=61", "window_s=960", "after=-1"])
def test_windows_that_cannot_be_told_are_refused(client: TestClient, query: str) -> None:
    assert client.get(f"/v1/stats?{query}").status_code == 422


def test_a_server_that_refused_for_want_of_room_is_overloaded(client: TestClient) -> None:
    client.app.state.observation.answered("POST", "/v1/run", 429, 0.0)  # type: ignore[attr-defined]
    stats = client.get("/v1/stats").json()
    assert stats["state"] == "overloaded"
    assert stats["window"]["refused"] == {"overloaded": 1}


def test_a_server_that_is_about_to_end_says_so(client: TestClient) -> None:
    assert client.portal is not None
    client.portal.call(client.app.state.service.dispatcher.drain)  # type: ignore[attr-defined]
    assert client.get("/v1/stats").json()["state"] == "draining"
