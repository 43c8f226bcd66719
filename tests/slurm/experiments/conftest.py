"""Experiments in a folder of their own, and the command line."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slurm.experiments.description import Limits, Resources, Stopping
from slurm.experiments.executor import Submission
from slurm.experiments.experiment import Experiment, described, folder_of, save
from slurm.experiments.folder import Attempt, ExperimentFolder
from slurm.experiments.sbatch import settle
from slurm.experiments.slurm_jobs import SlurmJobs
from slurm.experiments.task import Task

Written = Callable[..., Experiment]


class ExperimentCommand:
    """`qrpo-experiment` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._env = os.environ | {"NO_COLOR": "1", "COLUMNS": "200"}

    def sees(self, **environment: str) -> None:
        """From now on."""
        self._env.update(environment)

    def words(self, *arguments: str) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "slurm.experiments.cli", *arguments]

    def start(self, *arguments: str, is_deaf: bool = False) -> subprocess.Popen[str]:
        """In the background; deaf to Ctrl-C, as what a script starts there."""
        words = self.words(*arguments)
        if is_deaf:
            words = ["bash", "-c", 'trap "" INT; exec "$@"', "bash", *words]
        return subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._env, cwd=self.folder
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Whatever it says."""
        words = self.words(*arguments)
        return subprocess.run(
            words, capture_output=True, text=True, env=self._env, cwd=self.folder, timeout=240, check=False
        )

    def told(self, *arguments: str) -> Any:
        """What it says with --json, whatever the exit code."""
        done = self.run(*arguments, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def states(self) -> dict[str, str]:
        """By task; none where nothing is submitted yet."""
        if not list(self.folder.glob("*.experiment/manifest.json")):
            return {}
        return {task["id"]: task["state"] for task in self.told("status")["tasks"]}


@pytest.fixture
def nasty_folder(tmp_path: Path) -> Path:
    """One with a name that careless quoting breaks."""
    folder = tmp_path / "an experiment's"
    folder.mkdir()
    return folder


@pytest.fixture
def command(nasty_folder: Path) -> ExperimentCommand:
    return ExperimentCommand(nasty_folder)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Gives the experiment with these stages, written to its folder as `submit` does."""

    def write(stages: str, more: str = "") -> Experiment:
        file = tmp_path / "test.yaml"
        file.write_text(f"name: test\n{more}\nstages:\n{stages}")
        experiment = described(file, (), folder_of(file))
        experiment.folder.path.mkdir(exist_ok=True)
        save(experiment)
        return experiment

    return write


@dataclass(frozen=True)
class Prepared:
    """Tasks as `submit` leaves them, and their first attempts."""

    folder: ExperimentFolder
    workdir: Path

    def task(self, script: str, **fields: Any) -> Task:
        """One that runs this script."""
        task = Task(
            **{
                "stage": "run",
                "version": 1,
                "parameters": {},
                "script": f"set -euo pipefail\n{script}",
                "environment": {},
                "workdir": str(self.workdir),
                "inputs": (),
                "outputs": (),
                "content": {},
                "needs": (),
                "resources": Resources(),
                "stopping": Stopping(),
                **fields,
            }
        )
        self.folder.save(task)
        self.attempt(task).path.mkdir(parents=True)
        return task

    def attempt(self, task: Task, number: int = 1) -> Attempt:
        return self.folder.attempt(task, number)

    def events(self, task: Task) -> list[str]:
        """What has happened, in words: `stopped limit`, `ended 1 output x: it is empty`."""
        parts = []
        for event in self.attempt(task).events():
            more = [str(getattr(event, name)) for name in ("why", "code", "problem") if hasattr(event, name)]
            parts.append(" ".join([event.event, *more]).strip())
        return parts


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    workdir = tmp_path / "a run's"
    workdir.mkdir()
    return Prepared(ExperimentFolder(tmp_path / "an experiment's"), workdir)


@pytest.fixture
def start_job(prepared: Prepared) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a task's job as the local executor does; whatever a test has left ends with it."""
    started = []

    def start(task: Task, attempt: int = 1) -> subprocess.Popen[bytes]:
        words = [str(prepared.folder.path), task.id, str(attempt), str(os.getpid())]
        job = subprocess.Popen([sys.executable, "-m", "slurm.experiments.job", *words], stderr=subprocess.PIPE)
        started.append(job)
        return job

    yield start
    for job in started:
        job.kill()
        job.communicate(timeout=20)


class Place:
    """An experiment and a Slurm that takes whatever it is told to take."""

    def __init__(self, tmp_path: Path) -> None:
        self.standin = tmp_path / "standin"
        self.standin.mkdir()
        (self.standin / "queue").touch()
        self.folder = ExperimentFolder(tmp_path / "an experiment's")

    def submit(self, tasks: Sequence[Task], limits: Limits | None = None, queued: int = 0) -> list[Submission]:
        for item in tasks:
            self.folder.save(item)
            self.folder.attempt(item, 1).path.mkdir(parents=True, exist_ok=True)
        jobs = SlurmJobs(self.folder, limits or Limits(), queued)
        return list(jobs.submit(tasks, {item.id: 1 for item in tasks}, {}))

    def recovered(self) -> list[Submission]:
        """What `submit` finds first."""
        settle(self.folder)
        return list(SlurmJobs(self.folder, Limits()).recovered(self.folder.tasks()))

    def set(self, name: str, text: str) -> None:
        (self.standin / name).write_text(text)

    @property
    def sbatches(self) -> int:
        calls = self.standin / "calls"
        return calls.read_text().count("sbatch ") if calls.exists() else 0

    @property
    def queue(self) -> list[str]:
        return [line.split("\t")[0] for line in (self.standin / "queue").read_text().splitlines()]

    def dependency(self, job: int) -> str:
        found = re.search(r"--dependency=(\S+)", (self.standin / f"script-{job}").read_text())
        return found[1] if found else ""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("sbatch", "squeue", "sacct", "scontrol"):
        (commands / name).symlink_to(Path(__file__).with_name("standin.sh"))
    monkeypatch.setenv("PATH", f"{commands}:/usr/bin:/bin")
    monkeypatch.setenv("STANDIN", str(tmp_path / "standin"))
    monkeypatch.setattr("slurm.commands._PAUSES_S", (0.0, 0.0, 0.0))
    return Place(tmp_path)
