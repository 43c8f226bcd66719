"""What is gathered of tasks, from files and from a stand-in for Slurm's commands."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from slurm.experiments.diagnosis import states_of
from slurm.experiments.events import Ended, Started, Submitted, append
from slurm.experiments.evidence import gather
from slurm.experiments.held import write_held
from slurm.experiments.state import Cause, Kind
from slurm.experiments.submission_lock import submitting
from slurm.experiments.submission_record import Entry, SubmissionRecord
from slurm.experiments.task import Expected, Task

TRACEBACK = 'Traceback (most recent call last):\n  File "t.py", line 1, in <module>\nValueError: loss is nan\n'

NEEDS: dict[str, tuple[str, ...]] = {"run": (), "gone": (), "after": ("run",)}


class Slurm:
    """The stand-in's folder."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def queue(self, *rows: str) -> None:
        """What squeue answers; fields with spaces between them."""
        (self._place / "queue").write_text("".join("\t".join([*row.split(" "), "x"]) + "\n" for row in rows))

    def set(self, name: str, text: str) -> None:
        (self._place / name).write_text(text)

    def calls(self, name: str) -> int:
        calls = self._place / "calls"
        return sum(line.startswith(name) for line in calls.read_text().splitlines()) if calls.exists() else 0


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    commands, place = tmp_path / "bin", tmp_path / "standin"
    commands.mkdir()
    place.mkdir()
    for name in ("squeue", "sacct"):
        (commands / name).symlink_to(Path(__file__).with_name("standin.sh"))
    monkeypatch.setenv("PATH", f"{commands}:/usr/bin:/bin")
    monkeypatch.setenv("STANDIN", str(place))
    found = Slurm(place)
    found.queue()
    return found


def submitted(prepared: Any, count: int) -> list[Task]:
    """Jobs 7_0, 7_1 and so on."""
    tasks = [prepared.task("true", parameters={"n": number}) for number in range(count)]
    for number, task in enumerate(tasks):
        log = str(prepared.folder.logs / f"7_{number}.log")
        append(prepared.attempt(task).events_path, Submitted(time=1, job=f"7_{number}", log=log))
    return tasks


def started(prepared: Any, task: Task, job: str) -> None:
    append(prepared.attempt(task).events_path, Started(time=2, job=job, host="node1", pid=1))


def kinds(prepared: Any, tasks: Sequence[Task]) -> list[Kind]:
    return [state.kind for state in states_of(prepared.folder, tasks)]


def test_a_process_that_a_local_run_has_started_runs_before_it_says_so(prepared: Any, slurm: Slurm) -> None:
    task, gone, after = (prepared.task("true", stage=name, needs=needs) for name, needs in NEEDS.items())
    with subprocess.Popen(["true"]) as process:
        pass
    for item, pid in ((task, os.getpid()), (gone, process.pid)):
        append(prepared.attempt(item).events_path, Submitted(time=1, job=f"local-{pid}", log="log"))
    with submitting(prepared.folder, for_long=True):
        assert kinds(prepared, [task, gone, after]) == [Kind.RUNNING, Kind.FAILED, Kind.NOT_SUBMITTED]
    (state,) = states_of(prepared.folder, [task])
    assert (state.kind, state.cause) == (Kind.FAILED, Cause.LOST)


def test_one_call_of_each_command_is_enough_for_all(prepared: Any, slurm: Slurm) -> None:
    tasks = submitted(prepared, 50)
    slurm.queue(*(f"7_{number} PENDING  0:00 1:00 Priority" for number in range(20)))
    assert kinds(prepared, tasks)[:20] == [Kind.QUEUED] * 20
    assert (slurm.calls("squeue"), slurm.calls("sacct")) == (1, 1)


def test_of_jobs_that_have_succeeded_slurm_is_not_asked(prepared: Any, slurm: Slurm) -> None:
    tasks = submitted(prepared, 2)
    for number, task in enumerate(tasks):
        started(prepared, task, f"7_{number}")
        append(prepared.attempt(task).events_path, Ended(time=3, code=0))
    assert kinds(prepared, tasks) == [Kind.SUCCEEDED] * 2
    assert (slurm.calls("squeue"), slurm.calls("sacct")) == (0, 0)


def test_while_squeue_does_not_answer_what_is_known_stays_known(prepared: Any, slurm: Slurm) -> None:
    waits, runs = submitted(prepared, 2)
    started(prepared, runs, "7_1")
    prepared.attempt(runs).heartbeat.touch()
    slurm.set("away", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n")
    assert kinds(prepared, [waits, runs]) == [Kind.QUEUED, Kind.RUNNING]


def test_the_log_of_a_job_that_has_told_its_end_is_read_while_squeue_says_that_it_runs(
    prepared: Any, slurm: Slurm
) -> None:
    (task,) = submitted(prepared, 1)
    started(prepared, task, "7_0")
    append(prepared.attempt(task).events_path, Ended(time=3, code=1))
    prepared.folder.logs.mkdir()
    (prepared.folder.logs / "7_0.log").write_text(TRACEBACK)
    slurm.queue("7_0 RUNNING node1 0:00 1:00 None")
    (state,) = states_of(prepared.folder, [task])
    assert (state.kind, state.cause) == (Kind.FAILED, Cause.PYTHON_ERROR)


def test_only_logs_of_jobs_that_may_have_failed_are_read(prepared: Any, slurm: Slurm) -> None:
    tasks = submitted(prepared, 2)
    prepared.folder.logs.mkdir()
    for number, task in enumerate(tasks):
        started(prepared, task, f"7_{number}")
        (prepared.folder.logs / f"7_{number}.log").write_text(TRACEBACK)
    append(prepared.attempt(tasks[1]).events_path, Ended(time=3, code=1))
    slurm.queue("7_0 RUNNING node1 1:00 1:00 None")
    assert [evidence.tail for evidence in gather(prepared.folder, tasks)] == ["", TRACEBACK]
    _, failed = states_of(prepared.folder, tasks)
    assert (failed.cause, failed.detail) == (Cause.PYTHON_ERROR, "ValueError: loss is nan")
    assert failed.last_words == TRACEBACK.rstrip()


@pytest.mark.parametrize("source", ["claim", "submission"])
def test_where_events_are_lost_others_know_the_job(prepared: Any, slurm: Slurm, source: str) -> None:
    (task,) = submitted(prepared, 1)
    prepared.attempt(task).events_path.unlink()
    if source == "claim":
        prepared.attempt(task).claim.write_text("7_0")
    else:
        record = SubmissionRecord(uuid="a" * 32, stage="run", is_array=True, entries={0: Entry(task.id, 1)}, job="7")
        record.save(prepared.folder)
    slurm.queue("7_0 RUNNING node1 1:00 1:00 None")
    (state,) = states_of(prepared.folder, [task])
    assert (state.kind, state.job, state.node) == (Kind.RUNNING, "7_0", "node1")
    assert state.log == str(prepared.folder.logs / "7_0.log")


def test_an_event_that_comes_while_squeue_is_asked_is_seen(prepared: Any, slurm: Slurm) -> None:
    (task,) = submitted(prepared, 1)
    started(prepared, task, "7_0")
    line = Ended(time=3, code=0).model_dump_json()
    squeue = Path(os.environ["PATH"].split(":", maxsplit=1)[0]) / "squeue"
    squeue.unlink()
    squeue.write_text(f"#!/bin/sh\necho '{line}' >>\"{prepared.attempt(task).events_path}\"\n")
    squeue.chmod(0o755)
    assert kinds(prepared, [task]) == [Kind.SUCCEEDED]


@pytest.mark.parametrize(
    ("now", "words"), [("12", "had 5 bytes when the job ended, and has 2 now"), (None, "is gone"), ("123456", "")]
)
def test_an_output_that_was_valid_may_be_so_no_more(prepared: Any, slurm: Slurm, now: str | None, words: str) -> None:
    task = prepared.task("true", outputs=(Expected(path="o"),))
    append(prepared.attempt(task).events_path, Submitted(time=1, job="7", log="x"))
    append(prepared.attempt(task).events_path, Ended(time=3, code=0, sizes={"o": 5}))
    if now is not None:
        Path(task.workdir, "o").write_text(now)
    (state,) = states_of(prepared.folder, [task])
    assert state.cause is (Cause.OUTPUT if words else None)
    assert words in state.detail


def test_what_needs_a_failed_task_is_blocked_and_so_is_what_needs_that(prepared: Any, slurm: Slurm) -> None:
    first = prepared.task("true", stage="a")
    append(prepared.attempt(first).events_path, Submitted(time=1, job="7", log="x"))
    append(prepared.attempt(first).events_path, Ended(time=3, code=1))
    others = [prepared.task("true", stage="b", needs=("a",)), prepared.task("true", stage="c", needs=("b",))]
    assert kinds(prepared, [first, *others]) == [Kind.FAILED, Kind.BLOCKED, Kind.BLOCKED]


def test_why_a_task_was_held_back_is_told_until_it_has_a_job(prepared: Any, slurm: Slurm) -> None:
    task = prepared.task("true")
    write_held(prepared.folder, {task.id: "limits.queued is 1"})
    (state,) = states_of(prepared.folder, [task])
    assert (state.kind, state.detail) == (Kind.NOT_SUBMITTED, "limits.queued is 1")


def test_a_local_process_that_is_gone_does_not_run_however_fresh_its_heartbeat(prepared: Any, slurm: Slurm) -> None:
    task = prepared.task("true")
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    job = f"local-{child.pid}"
    append(prepared.attempt(task).events_path, Submitted(time=1, job=job, log="x"))
    append(prepared.attempt(task).events_path, Started(time=2, job=job, host=socket.gethostname(), pid=child.pid))
    prepared.attempt(task).heartbeat.touch()
    (state,) = states_of(prepared.folder, [task])
    assert (state.kind, state.cause) == (Kind.FAILED, Cause.LOST)
    assert slurm.calls("squeue") == 0


def test_a_job_of_which_nothing_is_left_is_lost(prepared: Any, slurm: Slurm) -> None:
    (task,) = submitted(prepared, 1)
    started(prepared, task, "7_0")
    prepared.attempt(task).heartbeat.touch()
    old_s = time.time() - 4000
    os.utime(prepared.attempt(task).heartbeat, (old_s, old_s))
    (state,) = states_of(prepared.folder, [task])
    assert (state.kind, state.cause) == (Kind.FAILED, Cause.LOST)


def test_held_reasons_that_cannot_be_read_are_none(prepared: Any, slurm: Slurm) -> None:
    task = prepared.task("true")
    prepared.folder.submissions.mkdir()
    (prepared.folder.submissions / "held.json").write_text(json.dumps(["x"]))
    assert kinds(prepared, [task]) == [Kind.NOT_SUBMITTED]
