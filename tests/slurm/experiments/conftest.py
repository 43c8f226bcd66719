"""Experiments in a folder of their own, and the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slurm.experiments.experiment import Experiment, described, folder_of, save

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

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """In the background."""
        words = self.words(*arguments)
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
