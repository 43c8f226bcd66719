"""What counts as time in which a program was waited for."""

import time

from sandbox.worker.supervisor import _Watch

MS = 1_000_000


def watch() -> _Watch:
    return _Watch(cpu_ns=1000 * MS, idle_ns=100 * MS, cpu_before_ns=0, start_ns=time.monotonic_ns())


def test_a_quick_answer_was_not_waited_for() -> None:
    """Its reader may only not have got round to it, and between thousands of such a busy program is seen asleep."""
    found = watch()
    found.pause(True)
    found.pause(False)
    now = time.monotonic_ns()
    assert found.awaited_ns(now + 2 * MS) == 0
    assert 8 * MS <= found.awaited_ns(now + 8 * MS) < 100 * MS


def test_while_the_runner_is_at_work_nothing_is_waited_for() -> None:
    found = watch()
    found.pause(True)
    assert found.awaited_ns(time.monotonic_ns() + 50 * MS) == 0


def test_pauses_are_told_once_and_move_the_last_instant() -> None:
    found = watch()
    last = found.last_ns
    found.pause(True)
    time.sleep(0.002)
    found.pause(False)
    away = found.take_pauses_ns(time.monotonic_ns())
    assert away >= 2 * MS
    assert found.last_ns - last == away
    assert found.take_pauses_ns(time.monotonic_ns()) == 0
