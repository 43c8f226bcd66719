"""A task's job in the real Slurm: how scancel and a requeue reach the command, and its steps."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slurm.experiments.task import Expected

pytestmark = pytest.mark.usefixtures("node_names")
ROOT = Path(__file__).resolve().parents[3]
PYTHON = shlex.quote(sys.executable)
Eventually = Callable[[Callable[[], object]], None]
# Notes each signal but SIGCONT, and is done a second after the first one; at once where it has saved before.
SAVING = """
import os, pathlib, signal, sys, time
if pathlib.Path("saved").exists():
    pathlib.Path("out").write_text("whole")
    sys.exit()
codes = []
def note(number, _):
    with open("signals", "a") as file:
        file.write(signal.Signals(number).name + "\\n")
    codes.append(number)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, note)
pathlib.Path("pid").write_text(str(os.getpid()))
while not codes:
    time.sleep(0.05)
time.sleep(1)
pathlib.Path("saved").touch()
sys.exit(9)
"""
BATCH = """#!/bin/bash
trap '' USR2
export PYTHONPATH={root}
exec {python} -c 'import sys; from pathlib import Path; from slurm.experiments.job import TaskJob
TaskJob(Path(sys.argv[1]), sys.argv[2], 1)()' "$@"
"""


class Submitted:
    """A job in Slurm."""

    def __init__(self, prepared: Any, task: Any) -> None:
        script = BATCH.format(root=shlex.quote(str(ROOT)), python=PYTHON)
        words = ["sbatch", "--parsable", "--requeue", "--open-mode=append", "--mem=100M", "--time=10"]
        log = prepared.workdir / "log"
        done = subprocess.run(
            [*words, f"--output={log}", "/dev/stdin", str(prepared.folder.path), task.id],
            input=script,
            capture_output=True,
            text=True,
            check=True,
        )
        self.id = done.stdout.strip()

    def tell(self, *options: str) -> None:
        subprocess.run(["scancel", "--quiet", *options, self.id], check=True)

    def state(self) -> str:
        words = ["squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={self.id}"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def submit(prepared: Any) -> Iterator[Callable[[Any], Submitted]]:
    """Submits a task; whatever a test has left ends with it."""
    (prepared.workdir / "saving.py").write_text(SAVING)
    jobs = []

    def submitted(task: Any) -> Submitted:
        jobs.append(Submitted(prepared, task))
        return jobs[-1]

    yield submitted
    for job in jobs:
        job.tell()


@pytest.mark.parametrize("step", ["", "srun --mem=0 "])
@pytest.mark.parametrize("options", [(), ("--batch", "--signal=TERM")])
def test_a_cancelled_command_is_told_once_and_can_save(
    prepared: Any, submit: Callable[[Any], Submitted], eventually: Eventually, step: str, options: tuple[str, ...]
) -> None:
    task = prepared.task(f"{step}{PYTHON} saving.py")
    job = submit(task)
    eventually((prepared.workdir / "pid").exists)
    job.tell(*options)
    eventually(lambda: job.state() in {"CANCELLED", "FAILED"})
    assert (prepared.workdir / "signals").read_text() == "SIGTERM\n"
    assert (prepared.workdir / "saved").exists()
    assert prepared.events(task)[:2] == ["started", "stopped cancelled"]
    assert prepared.events(task)[2].endswith(" cancelled")


@pytest.mark.parametrize("step", ["", "srun --mem=0 "])
def test_a_command_that_is_told_ahead_saves_and_goes_on(
    prepared: Any, submit: Callable[[Any], Submitted], eventually: Eventually, step: str
) -> None:
    task = prepared.task(f"{step}{PYTHON} saving.py", outputs=(Expected(path="out"),))
    job = submit(task)
    eventually((prepared.workdir / "pid").exists)
    job.tell("--batch", "--signal=USR2")
    eventually(lambda: job.state() == "COMPLETED")
    assert (prepared.workdir / "signals").read_text() == "SIGTERM\n"
    assert prepared.events(task) == ["started", "stopped preempted", "requeued", "started", "ended 0"]
