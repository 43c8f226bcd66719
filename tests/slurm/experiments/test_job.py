"""A task's job as a process of this machine: signals, time limits, what it leaves, and who may run."""

import os
import pickle
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slurm.experiments.description import Resources, Stopping
from slurm.experiments.events import Ended, Requeued, Started, Stopped, append
from slurm.experiments.heartbeat import beating
from slurm.experiments.job import TaskJob
from slurm.experiments.task import Expected

Start = Callable[..., subprocess.Popen[bytes]]
Eventually = Callable[[Callable[[], object]], None]
# Notes each signal; ends half a second after the first one, with the code that it is given.
NOTING = """
import os, pathlib, signal, sys, time
codes = []
def note(number, _):
    with open("signals", "a") as file:
        file.write(signal.Signals(number).name + "\\n")
    codes.append(number)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    signal.signal(number, note)
pathlib.Path("pid").write_text(str(os.getpid()))
while not codes:
    time.sleep(0.02)
time.sleep(0.5)
sys.exit(int(sys.argv[1]))
"""
SHORT = {"resources": Resources(time="00:00:04"), "stopping": Stopping(ahead="00:00:02")}


@pytest.fixture
def noting(prepared: Any) -> str:
    """A command; see NOTING."""
    (prepared.workdir / "noting.py").write_text(NOTING)
    return f"{shlex.quote(sys.executable)} noting.py"


def ended(job: subprocess.Popen[bytes]) -> int:
    job.communicate(timeout=25)
    return job.returncode


def test_a_command_that_makes_what_it_promises_succeeds(prepared: Any, start_job: Start) -> None:
    task = prepared.task('echo "$WORD" > out/deep', environment={"WORD": "four"}, outputs=(Expected(path="out/deep"),))
    assert ended(start_job(task)) == 0
    assert prepared.events(task) == ["started", "ended 0"]
    last = prepared.attempt(task).events()[-1]
    assert isinstance(last, Ended)
    assert last.sizes == {"out/deep": 5}


@pytest.mark.parametrize(
    ("script", "code", "event"),
    [
        ("exit 3", 3, "ended 3"),
        ("kill -KILL $$", 137, "ended -9"),
        ("false; touch out", 1, "ended 1"),
        ("true", 1, "ended 0 output out: it is not there"),
        ("touch out", 1, "ended 0 output out: it is empty"),
    ],
)
def test_a_command_that_fails_or_makes_nothing_fails_the_job(
    prepared: Any, start_job: Start, script: str, code: int, event: str
) -> None:
    task = prepared.task(script, outputs=(Expected(path="out"),))
    assert ended(start_job(task)) == code
    assert prepared.events(task) == ["started", event]


def test_an_output_whose_check_fails_fails_the_job(prepared: Any, start_job: Start) -> None:
    task = prepared.task("echo 1 > out", outputs=(Expected(path="out", check="grep -q 2 out"),))
    assert ended(start_job(task)) == 1
    assert prepared.events(task)[-1] == "ended 0 output out: its check exits with 1: grep -q 2 out"


def test_a_missing_input_fails_the_job_before_the_command_runs(prepared: Any, start_job: Start) -> None:
    task = prepared.task("touch ran", inputs=("model",))
    assert ended(start_job(task)) == 1
    assert prepared.events(task) == ["started", "ended 0 input model: it is not there"]
    assert not (prepared.workdir / "ran").exists()


@pytest.mark.parametrize("detach", ["", "setsid "])
def test_no_process_of_the_command_outlives_the_job(
    prepared: Any, start_job: Start, is_alive: Callable[[int], bool], detach: str
) -> None:
    task = prepared.task(
        f"{detach}bash -c 'trap \"\" TERM; echo $$ > pid; sleep 60; sleep 60' &\nuntil test -s pid; do :; done"
    )
    assert ended(start_job(task)) == 0
    assert not is_alive(int((prepared.workdir / "pid").read_text()))


@pytest.mark.parametrize("victim", ["job", "guard"])
def test_no_process_of_the_command_outlives_a_killed_job(
    prepared: Any,
    start_job: Start,
    eventually: Eventually,
    is_alive: Callable[[int], bool],
    descendants: Callable[[int], list[int]],
    victim: str,
) -> None:
    task = prepared.task("setsid sleep 60 & echo $! > pid; mv pid pid2; sleep 60")
    job = start_job(task)
    eventually((prepared.workdir / "pid2").exists)
    below = descendants(job.pid)
    os.kill(job.pid if victim == "job" else below[0], signal.SIGKILL)
    assert ended(job) == {"job": -9, "guard": 137}[victim]
    eventually(lambda: not any(map(is_alive, below)))
    assert prepared.events(task) == (["started"] if victim == "job" else ["started", "ended -9"])


def test_a_job_that_is_told_to_end_tells_the_command_once(
    prepared: Any, start_job: Start, noting: str, eventually: Eventually
) -> None:
    task = prepared.task(f"{noting} 7\ntouch next")
    job = start_job(task)
    eventually((prepared.workdir / "pid").exists)
    for _ in range(3):
        job.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    assert ended(job) == 7
    assert prepared.events(task) == ["started", "stopped cancelled", "ended 7 cancelled"]
    assert (prepared.workdir / "signals").read_text() == "SIGTERM\n"


def test_a_sigterm_for_all_processes_of_a_job_is_not_sent_a_second_time(
    prepared: Any, start_job: Start, noting: str, eventually: Eventually, descendants: Callable[[int], list[int]]
) -> None:
    task = prepared.task(f"{noting} 7")
    job = start_job(task)
    eventually((prepared.workdir / "pid").exists)
    for pid in [job.pid, *descendants(job.pid)]:
        os.kill(pid, signal.SIGTERM)
    assert ended(job) == 7
    assert (prepared.workdir / "signals").read_text() == "SIGTERM\n"


def test_after_the_signal_the_script_goes_no_further(
    prepared: Any, start_job: Start, noting: str, eventually: Eventually
) -> None:
    task = prepared.task(f"save() {{ {noting} 0; touch more; }}\nsave\ntouch next")
    job = start_job(task)
    eventually((prepared.workdir / "pid").exists)
    job.send_signal(signal.SIGTERM)
    assert ended(job) == 143
    assert not {"more", "next"} & {path.name for path in prepared.workdir.iterdir()}


def test_what_the_script_waits_for_has_time_to_save(
    prepared: Any, start_job: Start, noting: str, eventually: Eventually
) -> None:
    task = prepared.task(f"({noting} 0; touch saved) & wait")
    (prepared.workdir / "noting.py").write_text(NOTING.replace("sys.exit(", "pathlib.Path('saved').touch(); sys.exit("))
    job = start_job(task)
    eventually((prepared.workdir / "pid").exists)
    job.send_signal(signal.SIGTERM)
    assert ended(job) == 143
    assert (prepared.workdir / "saved").exists()


def test_a_command_that_saves_ahead_of_its_limit_goes_on(prepared: Any, start_job: Start) -> None:
    script = (
        "if test -e saved; then echo whole > out; else trap 'touch saved; exit 9' USR1; while :; do sleep 0.1; done; fi"
    )
    stopping = Stopping(ahead="00:00:02", signal="USR1")
    task = prepared.task(script, **SHORT | {"stopping": stopping, "outputs": (Expected(path="out"),)})
    assert ended(start_job(task)) == 0
    assert prepared.events(task) == ["started", "stopped limit", "requeued", "started", "ended 0"]


def test_a_command_that_finishes_after_the_signal_has_finished(prepared: Any, start_job: Start, noting: str) -> None:
    (prepared.workdir / "out").write_text("whole")
    task = prepared.task(f"if true; then {noting} 0; fi", **SHORT, outputs=(Expected(path="out"),))
    assert ended(start_job(task)) == 0
    assert prepared.events(task) == ["started", "stopped limit", "ended 0"]


def test_without_outputs_nobody_knows_that_it_has_finished(prepared: Any, start_job: Start, noting: str) -> None:
    stopping = Stopping(ahead="00:00:02", requeues=0)
    task = prepared.task(f"{noting} 0", **SHORT | {"stopping": stopping})
    assert ended(start_job(task)) == 1
    assert prepared.events(task)[1:] == ["stopped limit", "ended 0 time limit: reached 1 times; stopping.requeues is 0"]


def test_a_job_goes_on_as_often_as_it_may(prepared: Any, start_job: Start, noting: str) -> None:
    task = prepared.task(f"{noting} 5", **SHORT | {"stopping": Stopping(ahead="00:00:03", requeues=1)})
    append(prepared.attempt(task).events_path, Stopped(time=1, why="preempted"))
    append(prepared.attempt(task).events_path, Requeued(time=2))
    assert ended(start_job(task)) == 5
    assert prepared.events(task)[2:] == [
        *("started", "stopped limit", "requeued", "started", "stopped limit"),
        "ended 5 time limit: reached 2 times; stopping.requeues is 1",
    ]


def test_a_command_that_ignores_the_signal_is_killed_before_the_limit(prepared: Any, start_job: Start) -> None:
    stopping = Stopping(ahead="00:00:02", requeues=0)
    task = prepared.task("trap '' TERM; sleep 60; sleep 60", **SHORT | {"stopping": stopping})
    assert ended(start_job(task)) == 137
    started, _, last = prepared.attempt(task).events()
    assert last.time - started.time < 4
    assert prepared.events(task)[-1] == "ended -9 time limit: reached 1 times; stopping.requeues is 0"


def test_of_two_jobs_for_an_attempt_one_runs(prepared: Any, start_job: Start, eventually: Eventually) -> None:
    task = prepared.task("echo ran >> count; until test -e go; do sleep 0.02; done")
    jobs = [start_job(task) for _ in range(4)]
    eventually(lambda: sum(job.poll() is not None for job in jobs) == 3)
    (prepared.workdir / "go").touch()
    assert sum(ended(job) == 0 for job in jobs) >= 1
    assert (prepared.workdir / "count").read_text() == "ran\n"
    assert prepared.events(task) == ["started", "ended 0"]


def test_a_job_that_is_queued_again_runs_on_its_own_claim(prepared: Any) -> None:
    task = prepared.task("echo ran >> count", outputs=(Expected(path="count"),))
    prepared.attempt(task).claim.write_text("31_4")
    code = "import pickle, sys; pickle.load(sys.stdin.buffer)()"
    job = pickle.dumps(TaskJob(prepared.folder.path, task.id, 1))
    for array_task in ("5", "4", "4"):
        env = os.environ | {"SLURM_JOB_ID": "99", "SLURM_ARRAY_JOB_ID": "31", "SLURM_ARRAY_TASK_ID": array_task}
        subprocess.run([sys.executable, "-c", code], input=job, env=env, timeout=20, check=False)
    assert (prepared.workdir / "count").read_text() == "ran\n"  # not by another job, and not after it has succeeded
    assert prepared.events(task) == ["started", "ended 0"]
    (prepared.workdir / "count").unlink()
    subprocess.run([sys.executable, "-c", code], input=job, env=env, timeout=20, check=True)
    assert (prepared.workdir / "count").read_text() == "ran\n"  # what it had made is gone


def test_a_task_is_not_run_while_another_attempt_gives_signs_of_life(prepared: Any, start_job: Start) -> None:
    task = prepared.task("touch ran")
    first = prepared.attempt(task)
    append(first.events_path, Started(time=1, job="7", host="node1", pid=1))
    prepared.attempt(task, 2).path.mkdir()
    with beating(first.heartbeat, interval_s=0.2):
        assert ended(start_job(task, 2)) == 1
    assert not (prepared.workdir / "ran").exists()
    assert prepared.attempt(task, 2).events()[-1].problem == "job: attempt 1 still runs as job 7 on node1"
    os.utime(first.heartbeat, (1, 1))
    prepared.attempt(task, 3).path.mkdir()
    assert ended(start_job(task, 3)) == 0


def test_a_running_job_gives_signs_of_life(prepared: Any, start_job: Start, eventually: Eventually) -> None:
    task = prepared.task("until test -e go; do sleep 0.02; done")
    job = start_job(task)
    eventually(prepared.attempt(task).heartbeat.exists)
    (prepared.workdir / "go").touch()
    assert ended(job) == 0


def test_events_that_cannot_be_written_are_in_the_log(prepared: Any, start_job: Start) -> None:
    task = prepared.task("echo whole > out", outputs=(Expected(path="out"),))
    prepared.attempt(task).events_path.mkdir()
    job = start_job(task)
    _, words = job.communicate(timeout=40)
    assert job.returncode == 0
    assert b'"event":"ended","code":0' in words


def test_a_job_whose_executor_has_ended_does_not_start(prepared: Any) -> None:
    task = prepared.task("touch ran")
    words = [sys.executable, "-m", "slurm.experiments.job", str(prepared.folder.path), task.id, "1", "1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "run is not started" in done.stderr
    assert not (prepared.workdir / "ran").exists()


def test_a_full_disk_fails_the_job_by_the_commands_own_words(prepared: Any, start_job: Start) -> None:
    task = prepared.task("ulimit -f 1; head -c 100000 /dev/zero > out", outputs=(Expected(path="out"),))
    assert ended(start_job(task)) == 128 + signal.SIGXFSZ
    assert prepared.events(task)[-1] == f"ended {128 + signal.SIGXFSZ}"


def test_a_folder_that_is_gone_fails_the_job(prepared: Any, start_job: Start, tmp_path: Path) -> None:
    task = prepared.task("true", workdir=str(tmp_path / "gone"))
    job = start_job(task)
    _, words = job.communicate(timeout=20)
    assert job.returncode == 127
    assert b"cannot be started in" in words
