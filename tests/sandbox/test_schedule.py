"""The order in which what waits gets a slot."""

import threading
import time
from collections.abc import Callable

import pytest

from sandbox import schedule
from sandbox.schedule import Schedule

Eventually = Callable[[Callable[[], object]], None]


def taken(jobs: Schedule[str]) -> str:
    turn = jobs.take()
    assert turn is not None
    jobs.done(turn)
    return turn.job


def test_jobs_come_in_the_order_of_their_arrival() -> None:
    jobs: Schedule[str] = Schedule(3)
    for name in "abc":
        assert jobs.put(name)
    assert [taken(jobs) for _ in range(3)] == ["a", "b", "c"]


def test_a_full_schedule_waits_for_room(eventually: Eventually) -> None:
    jobs: Schedule[str] = Schedule(1)
    jobs.put("a")
    second = threading.Thread(target=jobs.put, args=("b",))
    second.start()
    second.join(0.05)
    assert second.is_alive()
    assert taken(jobs) == "a"
    second.join(30)
    assert taken(jobs) == "b"


def test_what_must_be_alone_waits_until_nothing_runs_or_waits() -> None:
    jobs: Schedule[str] = Schedule(3)
    jobs.put("a")
    running = jobs.take()
    jobs.put_alone("alone")
    jobs.put("b")
    assert running is not None
    jobs.done(running)
    assert [taken(jobs), taken(jobs)] == ["b", "alone"]


def test_nothing_runs_beside_what_must_be_alone() -> None:
    jobs: Schedule[str] = Schedule(3)
    jobs.put_alone("alone")
    alone = jobs.take()
    assert alone is not None
    assert alone.is_alone
    jobs.put("a")
    other: list[str] = []
    thread = threading.Thread(target=lambda: other.append(taken(jobs)))
    thread.start()
    thread.join(0.05)
    assert other == []
    jobs.done(alone)
    thread.join(30)
    assert other == ["a"]


def test_what_must_be_alone_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_PATIENCE_S", 0.0)
    jobs: Schedule[str] = Schedule(3)
    jobs.put("a")
    running = jobs.take()
    jobs.put_alone("alone")
    jobs.put("b")
    assert running is not None
    jobs.done(running)
    assert [taken(jobs), taken(jobs)] == ["alone", "b"]


def test_others_get_as_much_time_as_was_spent_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(schedule, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(schedule.time, "monotonic", lambda: now)
    jobs: Schedule[str] = Schedule(9)
    jobs.put_alone("first")
    jobs.put_alone("second")
    for name in "abc":
        jobs.put(name)
    alone = jobs.take()
    now = 105.0
    assert alone is not None
    jobs.done(alone)
    assert taken(jobs) == "a"
    now = 109.0
    assert taken(jobs) == "b"
    now = 110.0
    assert [taken(jobs), taken(jobs)] == ["second", "c"]


def test_closing_ends_all_waiting_and_returns_what_is_left(eventually: Eventually) -> None:
    jobs: Schedule[str] = Schedule(2)
    ended: list[object] = []
    thread = threading.Thread(target=lambda: ended.append(jobs.take()))
    thread.start()
    jobs.close()
    thread.join(30)
    assert ended == [None]
    full: Schedule[str] = Schedule(1)
    full.put("a")
    full.put_alone("b")
    refused: list[bool] = []
    thread = threading.Thread(target=lambda: refused.append(full.put("c")))
    thread.start()
    assert full.close() == ["a", "b"]
    thread.join(30)
    assert refused == [False]
    assert not full.put("d")
    assert not full.put_alone("e")


def test_waiting_takes_no_time_of_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where what must be alone has waited for too long, and a slot is busy still."""
    monkeypatch.setattr(schedule, "_PATIENCE_S", 0.0)
    jobs: Schedule[str] = Schedule(3)
    jobs.put("a")
    running = jobs.take()
    jobs.put_alone("alone")
    thread = threading.Thread(target=taken, args=(jobs,))
    before = time.process_time()
    thread.start()
    thread.join(0.3)
    assert time.process_time() - before < 0.1
    assert running is not None
    jobs.done(running)
    thread.join(30)


def test_who_is_alone_for_very_long_is_so_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(schedule, "_MOST_ALONE_S", 0.1)
    jobs: Schedule[str] = Schedule(3)
    jobs.put_alone("long")
    jobs.put_alone("next")
    alone = jobs.take()
    jobs.put("a")
    jobs.put("b")
    assert [taken(jobs), taken(jobs)] == ["a", "b"]
    assert alone is not None
    jobs.done(alone)
    assert taken(jobs) == "next"


def test_what_is_withdrawn_makes_room_and_is_never_taken() -> None:
    jobs: Schedule[str] = Schedule(2)
    jobs.put("a")
    jobs.put("b")
    jobs.withdraw("a")
    jobs.withdraw("unknown")
    assert jobs.load().waiting == 1
    jobs.put("c")
    assert [taken(jobs), taken(jobs)] == ["b", "c"]
