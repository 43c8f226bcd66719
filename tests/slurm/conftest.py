"""Fleets in the Slurm that this host is a node of."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class FleetCommand:
    """`qrpo-sandbox fleet` for one folder."""

    def __init__(self, folder: Path, env: dict[str, str] | None = None) -> None:
        self.folder = folder
        self._env = os.environ | (env or {})

    def words(self, command: str, *arguments: str) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "slurm.cli", command, "--dir", str(self.folder), *arguments]

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Whatever it says."""
        words = self.words(command, *arguments)
        return subprocess.run(words, capture_output=True, text=True, env=self._env, timeout=240, check=False)

    def sees(self, **environment: str) -> None:
        """From now on."""
        self._env.update(environment)

    def told(self, command: str, *arguments: str) -> Any:
        """What it says with --json, and nothing else."""
        done = self.run(command, "--json", *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def logs(self) -> dict[str, str]:
        """By job."""
        return {path.stem: path.read_text() for path in (self.folder / "logs").glob("*.log")}


@pytest.fixture
def fleet_command() -> type[FleetCommand]:
    """Makes one."""
    return FleetCommand


@pytest.fixture
def fleet_folder(tmp_path: Path) -> Path:
    """One with a name that careless quoting breaks."""
    return tmp_path / "a fleet's"


@pytest.fixture
def two_nodes(node_names: list[str]) -> list[str]:
    """Options with which each of two jobs is alone on a node, beside small ones of other tests."""
    show = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--format=%N %m"], capture_output=True, text=True, check=True
    )
    nodes = dict(line.split() for line in show.stdout.splitlines())
    if nodes.keys() != set(node_names) or len(nodes) != 2:
        pytest.skip(f"servers would run elsewhere: its Slurm has the nodes {' '.join(nodes)}")
    memory_mib = min(map(int, nodes.values()))
    return ["--cpus", "1", "--memory", f"{memory_mib * 3 // 5}M", "--host", "127.0.0.1"]


@pytest.fixture
def fleet(fleet_folder: Path, node_names: list[str]) -> Iterator[FleetCommand]:
    """In the real Slurm; whatever a test has left ends with it."""
    command = FleetCommand(fleet_folder)
    yield command
    if fleet_folder.exists():
        command.run("down", "--now")
