"""Runs of one job: Slurm may start another while the first, on a node that it has given up, still runs."""

import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from slurm.experiments.claim import outlast, still_running
from slurm.experiments.events import Ended, Requeued, Started, append
from slurm.experiments.folder import Attempt
from slurm.experiments.heartbeat import beating
from slurm.experiments.job import TaskJob
from slurm.experiments.task import Expected

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


def test_a_job_that_is_queued_again_while_its_lost_node_still_runs_it_waits_for_that(prepared: Any) -> None:
    task = prepared.task("echo twice > made", outputs=(Expected(path="made"),))
    attempt = prepared.attempt(task)
    attempt.claim.write_text("7")
    append(attempt.events_path, Started(time=1, job="7", host="elsewhere", pid=1))
    attempt.heartbeat.touch()
    code = "import pickle, sys; pickle.load(sys.stdin.buffer)()"
    env = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_ARRAY")}
    job = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, env=env | {"SLURM_JOB_ID": "7"})
    assert job.stdin is not None
    with job.stdin as stream:
        stream.write(pickle.dumps(TaskJob(prepared.folder.path, task.id, 1)))
    time.sleep(2)
    (prepared.workdir / "made").write_text("once\n")
    append(attempt.events_path, Ended(time=2, code=0))
    assert job.wait(timeout=20) == 0
    assert (prepared.workdir / "made").read_text() == "once\n"
    assert prepared.events(task) == ["started", "ended 0"]


def test_an_attempt_whose_process_was_killed_on_this_machine_does_not_run(prepared: Any) -> None:
    task = prepared.task("true")
    first = prepared.attempt(task)
    first.heartbeat.touch()
    process = subprocess.Popen(["true"])
    append(first.events_path, Started(time=1, job="7", host=socket.gethostname(), pid=process.pid))
    assert found_beside(prepared, task, is_told=True) == 1
    process.wait()
    assert found_beside(prepared, task, is_told=True) is None


@pytest.fixture
def begun(prepared: Any) -> Any:
    """A task whose first attempt runs on another node, as far as is known."""
    task = prepared.task("true")
    first = prepared.attempt(task)
    append(first.events_path, STARTED)
    first.heartbeat.touch()
    return task


def found_beside(prepared: Any, task: Any, *, is_told: bool = False) -> int | None:
    """Number of the attempt that runs beside the second one."""
    found = still_running(prepared.folder, task, 2, lambda: is_told, silence_s=0.6, pause_s=0.01)
    return None if found is None else found[0].number


def test_an_attempt_that_gives_signs_of_life_runs(prepared: Any, begun: Any) -> None:
    with beating(prepared.attempt(begun).heartbeat, interval_s=0.1):
        assert found_beside(prepared, begun) == 1


def test_an_attempt_that_was_killed_on_another_machine_lately_does_not_run(prepared: Any, begun: Any) -> None:
    start_s = time.monotonic()
    assert found_beside(prepared, begun) is None
    assert time.monotonic() - start_s > 0.6


def test_an_attempt_that_says_its_end_while_it_is_watched_does_not_run(prepared: Any, begun: Any) -> None:
    events = prepared.attempt(begun).events_path
    says = threading.Timer(0.2, append, (events, Ended(time=2, code=0)))
    says.start()
    assert still_running(prepared.folder, begun, 2, lambda: False, silence_s=20, pause_s=0.01) is None
    says.join()


def test_an_attempt_of_long_ago_is_not_waited_for(prepared: Any, begun: Any) -> None:
    os.utime(prepared.attempt(begun).heartbeat, (1, 1))
    assert still_running(prepared.folder, begun, 2, lambda: False, silence_s=20, pause_s=20) is None


def test_who_is_told_to_end_runs_nothing_beside_what_may_run(prepared: Any, begun: Any) -> None:
    assert found_beside(prepared, begun, is_told=True) == 1


@pytest.mark.parametrize(("is_made", "code"), [(True, 0), (False, 1)])
def test_a_job_whose_attempt_is_anothers_succeeds_if_the_outputs_are_valid(
    prepared: Any, start_job: Callable[..., Any], *, is_made: bool, code: int
) -> None:
    task = prepared.task("exit 9", outputs=(Expected(path="made"),))
    prepared.attempt(task).claim.write_text("another")
    if is_made:
        (prepared.workdir / "made").write_text("whole")
    assert start_job(task).wait(timeout=25) == code
