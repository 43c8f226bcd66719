"""Experiments on this machine: order, room, Ctrl-C, and an executor that is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from slurm.errors import ExperimentError
from slurm.experiments.description import Resources
from slurm.experiments.events import Ended, Started, append
from slurm.experiments.local import Change, LocalExecutor
from slurm.experiments.machine import Machine

Eventually = Callable[[Callable[[], object]], None]
EXECUTOR = """
import sys
from contextlib import closing
from pathlib import Path
from slurm.experiments.folder import ExperimentFolder
from slurm.experiments.local import LocalExecutor
from slurm.experiments.machine import Machine
folder = ExperimentFolder(Path(sys.argv[1]))
tasks = list(folder.tasks().values())
with closing(LocalExecutor(folder, Machine(cores=8)).submit(tasks, {task.id: 1 for task in tasks}, {})) as submissions:
    for submission in submissions:
        pass
"""
WAITS = """
trap 'echo saved > saved-$NAME; exit 9' TERM
echo $$ > pid-$NAME.part; mv pid-$NAME.part pid-$NAME
while :; do sleep 0.05; done
"""


@pytest.fixture
def run(prepared: Any) -> Callable[..., list[tuple[str, Change]]]:
    """Runs tasks to their end; what was told."""

    def to_the_end(*tasks: Any, queued: Any = (), **machine: Any) -> list[tuple[str, Change]]:
        told: list[tuple[str, Change]] = []
        executor = LocalExecutor(
            prepared.folder, Machine(**{"cores": 8} | machine), lambda task, change: told.append((task.id, change))
        )
        submissions = list(executor.submit(tasks, {task.id: 1 for task in tasks}, dict(queued)))
        assert [item.task_id for item in submissions] == [name for name, change in told if change is Change.STARTED]
        assert all(item.log.exists() and item.job.startswith("local-") for item in submissions)
        return told

    return to_the_end


def test_tasks_run_after_those_that_they_need_and_not_after_failures(prepared: Any, run: Any) -> None:
    first = prepared.task("sleep 0.3; touch made", stage="first")
    second = prepared.task("test -e made; exit 4", stage="second", needs=("first",))
    third = prepared.task("touch never", stage="third", needs=("second",))
    fourth = prepared.task("touch never", stage="fourth", needs=("third",))
    assert run(first, second, third, fourth) == [
        ("first", Change.STARTED),
        ("first", Change.SUCCEEDED),
        ("second", Change.STARTED),
        ("second", Change.FAILED),
        ("third", Change.BLOCKED),
        ("fourth", Change.BLOCKED),
    ]
    assert prepared.events(second) == ["started", "ended 4"]
    assert not (prepared.workdir / "never").exists()


@pytest.mark.parametrize(
    ("machine", "cpus", "most"), [({"jobs": 2}, 1, 2), ({"cores": 7}, 3, 2), ({"cores": 2}, 9, 1), ({}, None, 4)]
)
def test_no_more_run_at_a_time_than_there_is_room_for(
    prepared: Any, run: Any, machine: dict[str, int], cpus: int | None, most: int
) -> None:
    script = "touch here-$NAME; sleep 0.3; ls here-* | wc -l > seen-$NAME; sleep 0.7; rm here-$NAME"
    resources = Resources(cpus_per_task=cpus)
    names = [f"t{number}" for number in range(4)]
    run(
        *(prepared.task(script, stage=name, environment={"NAME": name}, resources=resources) for name in names),
        **machine,
    )
    seen = [int((prepared.workdir / f"seen-{name}").read_text()) for name in names]
    assert 1 <= max(seen) <= most


def test_a_job_that_is_told_to_end_before_it_listens_says_that_it_was_cancelled(prepared: Any) -> None:
    task = prepared.task("sleep 60")
    with closing(LocalExecutor(prepared.folder, Machine(cores=8)).submit([task], {task.id: 1}, {})) as submissions:
        next(submissions)
    assert prepared.events(task)[-1].endswith("cancelled")


def test_each_task_sees_gpus_of_its_own(prepared: Any, run: Any) -> None:
    script = "echo $CUDA_VISIBLE_DEVICES > gpus-$NAME; sleep 0.7"
    tasks = [
        prepared.task(script, stage=name, environment={"NAME": name}, resources=Resources(gpus_per_node=count))
        for name, count in (("a", 2), ("b", 1), ("c", 0))
    ]
    run(*tasks, gpus=["3", "5", "GPU-7"])
    assert [(prepared.workdir / f"gpus-{name}").read_text() for name in "abc"] == ["3,5\n", "GPU-7\n", "\n"]


def test_a_task_that_asks_for_more_gpus_than_there_are_is_refused(prepared: Any, run: Any) -> None:
    task = prepared.task("true", resources=Resources(gpus_per_node=2))
    with pytest.raises(ExperimentError, match="run asks for 2 GPUs, and this machine shows 1: lower gpus_per_node"):
        run(task, gpus=["0"])


def test_gpus_are_those_that_this_process_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-9")
    assert Machine().gpus == ("2", "GPU-9")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert Machine().gpus == ()


@pytest.mark.parametrize(("code", "after"), [(0, Change.SUCCEEDED), (1, Change.BLOCKED)])
def test_what_another_job_runs_is_waited_for(prepared: Any, run: Any, code: int, after: Change) -> None:
    other = prepared.task("true", stage="other")
    append(prepared.attempt(other).events_path, Started(time=1, job="7", host="node1", pid=1))
    prepared.attempt(other).heartbeat.touch()
    task = prepared.task("true", needs=("other",))
    line = Ended(time=2, code=code).model_dump_json() + "\n"
    (prepared.workdir / "events").symlink_to(prepared.attempt(other).events_path)
    with subprocess.Popen(["bash", "-c", 'sleep 0.5; printf "%s" "$0" >> events', line], cwd=prepared.workdir):
        assert run(task, queued={"other": "7"})[-1] == ("run", after)


def test_a_job_elsewhere_that_gives_no_sign_of_life_has_failed(prepared: Any, run: Any) -> None:
    other = prepared.task("true", stage="other")
    append(prepared.attempt(other).events_path, Started(time=1, job="7", host="node1", pid=1))
    assert run(prepared.task("true", needs=("other",)), queued={"other": "7"}) == [("run", Change.BLOCKED)]


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, -signal.SIGINT), (signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, -signal.SIGTERM)],
)
def test_when_the_executor_is_ended_commands_save_and_end(
    prepared: Any, eventually: Eventually, is_alive: Callable[[int], bool], number: signal.Signals, code: int
) -> None:
    tasks = [prepared.task(WAITS, stage=name, environment={"NAME": name}) for name in "ab"]
    executor = subprocess.Popen([sys.executable, "-c", EXECUTOR, str(prepared.folder.path)], stderr=subprocess.DEVNULL)
    pids = [prepared.workdir / f"pid-{name}" for name in "ab"]
    eventually(lambda: all(pid.exists() for pid in pids))
    executor.send_signal(number)
    assert executor.wait(20) == code
    if number == signal.SIGINT:  # it has waited for them
        assert all(len(prepared.events(task)) == 3 for task in tasks)
    eventually(lambda: not any(is_alive(int(pid.read_text())) for pid in pids))
    eventually(lambda: all(len(prepared.events(task)) == 3 for task in tasks))
    for task in tasks:
        assert (prepared.workdir / f"saved-{task.stage}").exists()
        assert prepared.events(task) == ["started", "stopped cancelled", "ended 9 cancelled"]


def test_what_ends_with_an_interrupted_run_is_to_be_submitted_again_and_what_is_cancelled_is_not(
    prepared: Any,
) -> None:
    for stage, is_cancelled, numbers in (("a", False, [1, 2]), ("b", True, [1])):
        tasks = [prepared.task("sleep 60", stage=stage), prepared.task("exit 3", stage=f"{stage}-fails")]
        with closing(
            LocalExecutor(prepared.folder, Machine(cores=8)).submit(tasks, {t.id: 1 for t in tasks}, {})
        ) as run:
            next(run)
            next(run)
            while "ended 3" not in prepared.events(tasks[1]):
                time.sleep(0.1)
            if is_cancelled:
                prepared.folder.cancelled.touch()
        assert [attempt.number for attempt in prepared.folder.attempts(tasks[0])] == numbers
        assert [attempt.number for attempt in prepared.folder.attempts(tasks[1])] == [1]


def test_the_end_of_the_terminals_group_reaches_each_command_once(prepared: Any, eventually: Eventually) -> None:
    task = prepared.task(WAITS.replace("exit 9", "sleep 0.3; echo more >> saved-a; exit 9"), environment={"NAME": "a"})
    executor = subprocess.Popen(
        [sys.executable, "-c", EXECUTOR, str(prepared.folder.path)], stderr=subprocess.DEVNULL, start_new_session=True
    )
    eventually((prepared.workdir / "pid-a").exists)
    os.killpg(executor.pid, signal.SIGINT)
    assert executor.wait(20) == -signal.SIGINT
    assert (prepared.workdir / "saved-a").read_text() == "saved\nmore\n"
    assert prepared.events(task)[-1] == "ended 9 cancelled"
