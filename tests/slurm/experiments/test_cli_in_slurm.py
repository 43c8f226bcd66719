"""`qrpo-experiment` in a real Slurm."""

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from slurm.queue_listing import jobs_with

DEADLINE_S = 150.0
GRID = """
name: grid
resources: {MORE memory: 150M, cpus_per_task: 1, time: "5"}
LIMITS
stages:
  make:
    grid: {shard: {range: 3}}
    command: |
      echo hello {{ shard }}
      if [ {{ shard }} = 1 ] && [ ! -e mended ]; then python3 -c 'raise ValueError("no such luck")'; fi
      while [ -e hold ]; do sleep 0.2; done
      echo '{"n": {{ shard }}}' > {{ shard }}.json
      echo {{ shard }} >> ran
    outputs: [{path: "{{ shard }}.json", format: json}]
  sum:
    after: [make]
    command: cat ?.json > sum
    outputs: [sum]
"""


@pytest.fixture(autouse=True)
def ends(command: Any, node_names: list[str]) -> Any:
    """Whatever a test has left ends with it."""
    yield
    if list(command.folder.glob("*.experiment/manifest.json")):
        command.run("cancel")


def write(command: Any, limits: str = "", more: str = "") -> None:
    (command.folder / "grid.yaml").write_text(GRID.replace("LIMITS", limits).replace("MORE", more))


def wait_until(command: Any, condition: Callable[[dict[str, int]], bool]) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not condition(counts := command.told("status")["counts"]):
        assert time.monotonic() < end_s, counts
        time.sleep(0.5)


def test_a_failure_is_told_with_its_cause_and_completed_by_resubmit(command: Any) -> None:
    write(command)
    done = command.run("submit", "grid.yaml", "--wait")
    assert done.returncode == 1, done.stderr
    assert "submitted 4;" in done.stdout
    assert "make: 1 x Python error: ValueError: no such luck" in done.stdout
    assert "sum: 1 x blocked: needs make/shard=1" in done.stdout
    (command.folder / "mended").touch()
    assert command.run("submit", "grid.yaml").stdout.startswith("submitted 0, 2 were there before, 2 have failed")
    done = command.run("resubmit", "--failed", "--wait")
    assert done.returncode == 0, done.stderr + done.stdout
    assert sorted((command.folder / "ran").read_text().split()) == ["0", "1", "2"]
    assert "4 of 4 tasks have succeeded" in command.run("report").stdout


def test_what_waits_for_a_failed_and_a_running_job_goes_along_with_the_failed_one(command: Any) -> None:
    (command.folder / "hold").touch()
    write(command)
    command.run("submit", "grid.yaml")
    wait_until(command, lambda counts: counts["failed"] == 1 and counts["running"] == 2)
    assert "sum: 1 x blocked: needs make/shard=1" in command.run("status").stdout
    (command.folder / "mended").touch()
    found = command.told("resubmit", "--failed")
    assert [item["id"] for item in found["submitted"]] == ["make/shard=1", "sum"]
    (command.folder / "hold").unlink()
    done = command.run("submit", "grid.yaml", "--wait")
    assert done.returncode == 0, done.stderr + done.stdout


def test_a_resubmission_that_slurm_refuses_leaves_everything_as_it_was(command: Any) -> None:
    write(command)
    command.run("submit", "grid.yaml", "--wait")
    write(command, more="constraint: nowhere,")
    assert command.run("submit", "grid.yaml").stdout.startswith("submitted 0, ")
    done = command.run("resubmit", "--failed")
    assert (done.returncode, "Batch job submission failed" in done.stderr) == (2, True), done.stderr
    assert "make: 1 x Python error: ValueError: no such luck" in command.run("status").stdout
    assert command.states()["sum"] == "blocked"
    write(command)
    assert command.run("submit", "grid.yaml").stdout.startswith("submitted 0, ")
    (command.folder / "mended").touch()
    done = command.run("resubmit", "--failed", "--wait")
    assert done.returncode == 0, done.stderr + done.stdout


def test_cancel_also_ends_what_waits_for_a_failed_and_a_running_job(command: Any) -> None:
    (command.folder / "hold").touch()
    write(command)
    command.run("submit", "grid.yaml")
    wait_until(command, lambda counts: counts["failed"] == 1 and counts["running"] == 2)
    (job,) = (task["job"] for task in command.told("status")["tasks"] if task["id"] == "sum")
    command.run("cancel", "sum")
    (found,) = jobs_with(job)
    assert found.state == "CANCELLED"


def test_no_more_jobs_are_in_the_queue_than_the_limit_and_who_waits_submits_the_others(command: Any) -> None:
    (command.folder / "mended").touch()
    (command.folder / "hold").touch()
    write(command, "limits: {queued: 2}")
    first = command.told("submit", "grid.yaml")
    assert [item["id"] for item in first["submitted"]] == ["make/shard=0", "make/shard=1"]
    assert first["held"] == ["make/shard=2", "sum"]
    assert command.told("submit", "grid.yaml")["submitted"] == []
    (command.folder / "hold").unlink()
    done = command.run("submit", "grid.yaml", "--wait")
    assert done.returncode == 0, done.stderr + done.stdout
    assert sorted((command.folder / "ran").read_text().split()) == ["0", "1", "2"]


def test_what_is_cancelled_says_so_and_is_submitted_again(command: Any) -> None:
    (command.folder / "mended").touch()
    (command.folder / "hold").touch()
    write(command)
    command.run("submit", "grid.yaml")
    wait_until(command, lambda counts: counts["running"] > 0)
    assert len(command.told("cancel")["cancelled"]) == 4
    wait_until(command, lambda counts: not counts["running"] + counts["queued"])
    states = command.states()
    assert set(states.values()) <= {"cancelled", "blocked"}
    (command.folder / "hold").unlink()
    done = command.run("resubmit", "--failed", "--wait")
    assert done.returncode == 0, done.stderr + done.stdout


def test_without_slurm_on_this_machine_what_jobs_have_written_is_told(command: Any, tmp_path: Any) -> None:
    (command.folder / "mended").touch()
    (command.folder / "hold").touch()
    write(command)
    command.run("submit", "grid.yaml")
    wait_until(command, lambda counts: counts["running"] > 0)
    command.sees(PATH=str(tmp_path))
    told = command.told("status")
    assert told["counts"]["running"] > 0
    assert "Slurm is not on this machine: of 4 jobs" in told["notes"][0]
    command.sees(PATH=os.environ["PATH"])
