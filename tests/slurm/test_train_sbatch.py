"""slurm/train.sbatch with stand-in runs: by itself under bash, and as a job of a real Slurm where this host has one."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "slurm" / "train.sbatch"
DEADLINE_S = 200.0

# Stand-in runs. Each leaves files in its working folder, which is what the tests look at.
# Runs until interrupted, as a stage does; started again, it finds what it had done and finishes.
RESUMABLE = """
import os, pathlib, sys, time
state = pathlib.Path("state")
if state.exists():
    pathlib.Path("result").write_text("continued after " + state.read_text())
    sys.exit(0)
pathlib.Path("started").touch()
try:
    time.sleep(300)
except KeyboardInterrupt:
    state.write_text("an interrupt")
    sys.exit(130)
"""
# Ignores the interrupt: only SIGKILL ends it. Its child must go with it.
STUBBORN = """
import os, pathlib, signal, subprocess, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
pathlib.Path("pids").write_text(f"{os.getpid()} {subprocess.Popen(['sleep', '300']).pid}")
pathlib.Path("started").touch()
time.sleep(300)
"""
RECORD = """
import os, pathlib, sys
pathlib.Path("scratch").write_text(os.environ["TMPDIR"])
pathlib.Path(os.environ["TMPDIR"], "left behind").touch()
pathlib.Path("arguments").write_text("\\n".join(sys.argv[1:]))
"""


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"{what} did not come within {DEADLINE_S:.0f} s"
        time.sleep(0.1)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder to submit from, with a name that careless quoting breaks."""
    path = tmp_path / "a folder's name"
    path.mkdir()
    return path


def environment(folder: Path, run: str, **settings: str) -> dict[str, str]:
    """Put a stand-in run into the folder; returns the environment with which the script runs it."""
    (folder / "run.py").write_text(run)
    return os.environ | {"QRPO_COMMAND": f"{shlex.quote(sys.executable)} run.py"} | settings


@contextmanager
def job_in_bash(folder: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The script as it runs under bash, once its run has begun; at the end it has stopped or is killed."""
    job = subprocess.Popen(["bash", SCRIPT], cwd=folder, env=env)
    try:
        wait_until((folder / "started").exists, "the run's start")
        yield job
        job.wait(timeout=60)
    finally:
        job.kill()
        job.wait()


def test_arguments_arrive_unchanged_and_scratch_is_removed(folder: Path) -> None:
    arguments = ["--name", "two words", "it's", '"quoted"', "$HOME *", ""]
    subprocess.run(["bash", SCRIPT, *arguments], cwd=folder, env=environment(folder, RECORD), check=True)
    assert (folder / "arguments").read_text().split("\n") == arguments
    scratch = Path((folder / "scratch").read_text())
    assert scratch.name.startswith("qrpo-local.")
    assert not scratch.exists()


def test_scratch_falls_back_where_the_preferred_place_cannot_be_written(folder: Path) -> None:
    settings = environment(folder, RECORD, SLURM_TMPDIR=str(folder / "missing"), TMPDIR=str(folder))
    subprocess.run(["bash", SCRIPT], cwd=folder, env=settings | {"USER": "nobody-has-this-name"}, check=True)
    assert Path((folder / "scratch").read_text()).parent == folder


def test_the_status_of_the_run_is_the_status_of_the_job(folder: Path) -> None:
    done = subprocess.run(["bash", SCRIPT], cwd=folder, env=environment(folder, "raise SystemExit(7)"), check=False)
    assert done.returncode == 7


def test_sigterm_interrupts_the_run_and_nothing_is_queued(folder: Path) -> None:
    with job_in_bash(folder, environment(folder, RESUMABLE)) as job:
        job.send_signal(signal.SIGTERM)
    assert (folder / "state").read_text() == "an interrupt"
    assert job.returncode == 130


def test_a_run_that_ignores_the_interrupt_is_killed_with_its_children(folder: Path) -> None:
    with job_in_bash(folder, environment(folder, STUBBORN, QRPO_GRACE_S="1")) as job:
        job.send_signal(signal.SIGTERM)
    assert job.returncode == 128 + signal.SIGKILL
    pids = [int(pid) for pid in (folder / "pids").read_text().split()]
    wait_until(lambda: not any(is_alive(pid) for pid in pids), "the end of the run and its child")


class Slurm:
    """The Slurm that this host is a node of, for jobs submitted from one folder."""

    def __init__(self, folder: Path, node: str) -> None:
        self._folder = folder
        self._node = node
        self._jobs: list[str] = []

    def submit(self, env: dict[str, str], *options: str) -> str:
        small = ("--cpus-per-task=1", "--mem=64", f"--nodelist={self._node}")
        command = ["sbatch", "--parsable", *small, *options, SCRIPT]
        done = subprocess.run(command, cwd=self._folder, env=env, capture_output=True, text=True, check=True)
        job = done.stdout.strip().split(";")[0]
        self._jobs.append(job)
        return job

    def field(self, job: str, name: str) -> str:
        show = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True, check=True)
        (value,) = re.findall(rf"\b{name}=(\S+)", show.stdout)
        return str(value)

    def wait(self, job: str) -> str:
        """Wait for the job's end and return its state."""
        ended = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
        wait_until(lambda: self.field(job, "JobState") in ended, f"the end of job {job}")
        return self.field(job, "JobState")

    def log(self, job: str) -> str:
        return (self._folder / f"qrpo-train-{job}.log").read_text()

    def cancel_all(self) -> None:
        if self._jobs:
            subprocess.run(["scancel", "--quiet", *self._jobs], check=False)


@pytest.fixture
def slurm(folder: Path, node_names: list[str]) -> Iterator[Slurm]:
    cluster = Slurm(folder, node_names[0])
    yield cluster
    cluster.cancel_all()


def test_ahead_of_its_time_limit_a_job_stops_its_run_queues_itself_again_and_continues(
    folder: Path, slurm: Slurm
) -> None:
    # One minute is Slurm's shortest limit. It looks at the clock every 30 s or so, hence a signal well ahead.
    job = slurm.submit(environment(folder, RESUMABLE), "--time=1", "--signal=B:USR1@50")
    assert slurm.wait(job) == "COMPLETED"
    assert (folder / "result").read_text() == "continued after an interrupt"
    assert slurm.field(job, "Restarts") == "1"
    assert [line for line in slurm.log(job).splitlines() if "interrupted; queued again" in line]


def test_a_job_that_makes_no_headway_is_not_queued_for_ever(folder: Path, slurm: Slurm) -> None:
    job = slurm.submit(environment(folder, RESUMABLE, QRPO_MAX_RESTARTS="0"))
    wait_until((folder / "started").exists, "the run's start")
    subprocess.run(["scancel", "--batch", "--signal=USR1", job], check=True)
    assert slurm.wait(job) == "FAILED"
    assert (folder / "state").read_text() == "an interrupt"
    assert "not queued again" in slurm.log(job)


def test_a_failing_run_fails_the_job_at_once(folder: Path, slurm: Slurm) -> None:
    job = slurm.submit(environment(folder, "raise SystemExit(3)"))
    assert slurm.wait(job) == "FAILED"
    assert slurm.field(job, "ExitCode") == "3:0"
    assert slurm.field(job, "Restarts") == "0"
