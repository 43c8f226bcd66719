"""Runs of one job: Slurm may start another while the first, on a node that it has given up, still runs."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from slurm.experiments.claim import outlast
from slurm.experiments.events import Ended, Requeued, Started, append
from slurm.experiments.folder import Attempt

STARTED = Started(time=1, job="7", host="elsewhere", pid=1)


@pytest.fixture
def attempt(prepared: Any) -> Attempt:
    """One that job 7 has begun, on another node."""
    found: Attempt = prepared.attempt(prepared.task("true"))
    append(found.events_path, STARTED)
    found.heartbeat.touch()
    return found


def waited_s(attempt: Attempt, job: str = "7", is_told: Callable[[], bool] = lambda: False) -> float:
    start_s = time.monotonic()
    assert outlast(attempt, job, is_told, silence_s=0.5, pause_s=0.01)
    return time.monotonic() - start_s


def test_a_run_that_gives_signs_of_life_is_waited_for_until_it_is_silent(attempt: Attempt) -> None:
    beats = [threading.Timer(number / 4, os.utime, (attempt.heartbeat, (number, number))) for number in range(1, 5)]
    for beat in beats:
        beat.start()
    assert waited_s(attempt) > 1.4


@pytest.mark.parametrize("event", [Ended(time=2, code=0), Requeued(time=2)])
def test_a_run_that_has_said_its_end_is_not_waited_for(attempt: Attempt, event: Ended | Requeued) -> None:
    append(attempt.events_path, event)
    assert waited_s(attempt) < 0.4


def test_another_jobs_run_is_not_waited_for(attempt: Attempt) -> None:
    assert waited_s(attempt, job="8") < 0.4


def test_a_run_whose_process_is_gone_from_this_machine_is_not_waited_for(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    monkeypatch.setattr("os.kill", lambda pid, number: (_ for _ in ()).throw(ProcessLookupError))
    assert waited_s(attempt) < 0.4


def test_who_is_told_to_end_waits_no_longer(attempt: Attempt) -> None:
    assert not outlast(attempt, "7", lambda: True)
