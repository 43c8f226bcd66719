"""Jobs of the real Slurm whose place another job takes, and that are queued again by hand."""

import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

DEADLINE_S = 200.0
YIELDS = """
name: yields
stages:
  run:
    command: python3 saves.py
    outputs: [out]
    resources: {memory: MEMORYM, cpus_per_task: 1, time: "10", partition: PARTITION, sbatch: {nodelist: NODE}}
"""
# Saves at the first SIGTERM, and is done at once where it has saved before.
SAVES = """
import pathlib, signal, sys, time
if pathlib.Path("saved").exists():
    pathlib.Path("out").write_text("whole")
    sys.exit()
def save(number, _):
    pathlib.Path("saved").touch()
    sys.exit(9)
signal.signal(signal.SIGTERM, save)
pathlib.Path("runs").touch()
time.sleep(300)
"""


class Yielding:
    """An experiment of one task, which runs, and the command that waits for it."""

    def __init__(self, command: Any, node: str, memory_mib: int) -> None:
        self.command = command
        self._node = node
        self._memory_mib = memory_mib

    def start(self, partition: str) -> subprocess.Popen[str]:
        text = YIELDS.replace("MEMORY", str(self._memory_mib * 2 // 5)).replace("PARTITION", partition)
        (self.command.folder / "yields.yaml").write_text(text.replace("NODE", self._node))
        (self.command.folder / "saves.py").write_text(SAVES)
        waits: subprocess.Popen[str] = self.command.start("submit", "yields.yaml", "--wait")
        end_s = time.monotonic() + DEADLINE_S
        while not (self.command.folder / "runs").exists():
            assert time.monotonic() < end_s, self.command.run("status").stdout
            time.sleep(0.1)
        return waits

    def preempt(self) -> None:
        """By a job that needs the node nearly for itself, and is done at once."""
        words = ["sbatch", "--partition=urgent", f"--nodelist={self._node}", f"--mem={self._memory_mib * 7 // 10}M"]
        subprocess.run([*words, "--output=/dev/null", "--wrap=true"], check=True, capture_output=True)

    @property
    def task(self) -> dict[str, Any]:
        """As `status` tells it."""
        [task] = self.command.told("status")["tasks"]
        return dict(task)


@pytest.fixture
def yielding(command: Any, node_names: list[str]) -> Iterator[Yielding]:
    words = ["sinfo", "--noheader", "--Node", "--format=%N %m %R"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found = [line.split() for line in text.splitlines()]
    if not {"requeued", "cancelled", "urgent"} <= {partition for _, _, partition in found}:
        pytest.skip("this Slurm has no partitions requeued, cancelled and urgent, as that of .ci/slurm has")
    yield Yielding(command, node_names[0], min(int(memory) for _, memory, _ in found))
    if list(command.folder.glob("*.experiment/manifest.json")):
        command.run("cancel")


def test_a_job_that_slurm_queues_again_for_another_goes_on(yielding: Yielding) -> None:
    waits = yielding.start("requeued")
    yielding.preempt()
    output, errors = waits.communicate(timeout=DEADLINE_S)
    assert waits.returncode == 0, output + errors
    task = yielding.task
    assert (task["state"], task["requeues"], task["attempt"]) == ("succeeded", 1, 1)


def test_a_job_that_slurm_ends_for_another_says_so_and_goes_on_when_it_is_submitted_again(yielding: Yielding) -> None:
    waits = yielding.start("cancelled")
    yielding.preempt()
    output, errors = waits.communicate(timeout=DEADLINE_S)
    assert waits.returncode == 1, output + errors
    assert "run: 1 x preempted: another job has taken its place" in output
    assert (yielding.task["state"], yielding.task["cause"]) == ("failed", "preempted")
    done = yielding.command.run("resubmit", "--failed", "--wait")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_job_that_is_queued_again_by_hand_and_held_says_so_and_goes_on(yielding: Yielding) -> None:
    waits = yielding.start("requeued")
    job = yielding.task["job"]
    control("requeuehold", job)
    seen = set()
    while (task := yielding.task)["state"] != "queued":
        seen.add(task["state"])
        time.sleep(0.2)
    assert seen <= {"running"}
    assert task["detail"] == f"it was queued again, and is held; `scontrol release {job}`"
    control("release", job)
    output, errors = waits.communicate(timeout=DEADLINE_S)
    assert waits.returncode == 0, output + errors
    assert (yielding.task["state"], yielding.task["requeues"]) == ("succeeded", 1)


def control(*words: str) -> None:
    subprocess.run(["scontrol", *words], check=True)
