from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from sandbox.server.fairness import Turn, Turns


@dataclass(eq=False)
class Waiting:
    """A request of so many submissions, each of which takes so long."""

    client: str
    left: int
    takes_s: float = 1.0
    is_behind: bool = False

    @property
    def is_over(self) -> bool:
        return self.left == 0

    @property
    def is_ready(self) -> bool:
        return self.left > 0 and not self.is_behind


def run(turns: Turns[Waiting], times: int, slots: int = 1) -> dict[str, float]:
    """Time that each client had, when so many submissions have been run."""
    had: dict[str, float] = {}
    running: list[Turn[Waiting]] = []
    for _ in range(times):
        while len(running) < slots and (turn := turns.next()) is not None:
            turn.request.left -= 1
            running.append(turn)
        if not running:
            break
        done = running.pop(0)
        turns.done(done, done.request.takes_s)
        had[done.request.client] = had.get(done.request.client, 0.0) + done.request.takes_s
    for turn in running:
        turns.done(turn, turn.request.takes_s)
    return had


@given(
    st.lists(st.floats(0.001, 10.0), min_size=2, max_size=6),
    st.lists(st.integers(1, 4), min_size=6, max_size=6),
)
def test_busy_clients_get_the_same_time_within_one_submission(takes_s: list[float], requests: list[int]) -> None:
    turns: Turns[Waiting] = Turns()
    for name, (time_s, count) in enumerate(zip(takes_s, requests, strict=False)):
        for _ in range(count):
            turns.add(Waiting(str(name), 10**9, time_s))
    had = run(turns, 3000)
    # Before it is known what a submission takes, its client is charged a guess.
    assert max(had.values()) - min(had.get(str(name), 0.0) for name in range(len(takes_s))) <= 2 * max(takes_s)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30), st.floats(0.001, 5.0)), max_size=12))
def test_no_request_starves_and_nothing_is_left(sizes: list[tuple[str, int, float]]) -> None:
    turns: Turns[Waiting] = Turns()
    requests = [Waiting(*size) for size in sizes]
    for request in requests:
        turns.add(request)
    run(turns, sum(size for _, size, _ in sizes), slots=3)
    assert all(request.is_over for request in requests)
    assert turns.next() is None
    assert not turns._clients


def test_a_small_request_beside_a_million_is_done_at_once() -> None:
    turns: Turns[Waiting] = Turns()
    turns.add(Waiting("large", 10**6))
    run(turns, 500)
    small = Waiting("small", 10)
    turns.add(small)
    run(turns, 22)
    assert small.is_over


def test_a_client_with_many_requests_has_no_more_than_one_with_one() -> None:
    turns: Turns[Waiting] = Turns()
    for _ in range(50):
        turns.add(Waiting("many", 1000))
    turns.add(Waiting("one", 1000))
    had = run(turns, 200)
    assert abs(had["many"] - had["one"]) <= 1


def test_time_is_not_saved_up_while_away() -> None:
    turns: Turns[Waiting] = Turns()
    away = Waiting("away", 1)
    turns.add(away)
    turns.add(Waiting("busy", 10**6))
    run(turns, 1000)
    turns.add(Waiting("away", 10**6))
    had = run(turns, 100)
    assert abs(had["away"] - had["busy"]) <= 2


def test_who_does_not_read_gets_no_turn_until_it_does() -> None:
    turns: Turns[Waiting] = Turns()
    behind = Waiting("a", 5, is_behind=True)
    other = Waiting("a", 5)
    turns.add(behind)
    turns.add(other)
    run(turns, 20)
    assert (behind.left, other.left) == (5, 0)
    behind.is_behind = False
    run(turns, 20)
    assert behind.is_over
