"""A fleet in a real Slurm: jobs that are cancelled, run into their time limit, or cannot start."""

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox import Problem, Verdict
from sandbox.client import SandboxClient

DEADLINE_S = 150.0
ADD = Problem(id="add", tests=["assert add(1, 2) == 3"])
RIGHT, WRONG = "def add(a, b): return a + b", "def add(a, b): return a - b"


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, f"{what} did not come within {DEADLINE_S:.0f} s"
        time.sleep(0.5)


def restarts(job: str) -> int:
    show = subprocess.run(["scontrol", "--oneliner", "show", "job", job], capture_output=True, text=True, check=True)
    return int(re.findall(r"\bRestarts=(\d+)", show.stdout)[0])


def job_of(fleet: Any, job_id: str) -> dict[str, Any]:
    (found,) = [job for job in fleet.told("status")["jobs"] if job["id"] == job_id]
    return dict(found)


def is_ready(job: dict[str, Any]) -> bool:
    return job["server"] is not None and job["server"]["state"] == "ready"


def test_a_fleet_goes_on_when_a_job_is_cancelled_and_another_runs_into_its_time_limit(
    fleet: Any, two_nodes: list[str]
) -> None:
    (steady,) = fleet.told("up", "--nodes", "1", *two_nodes, "--wait", "100")["submitted"]
    # One minute is Slurm's shortest limit.
    (short,) = fleet.told("up", "--nodes", "2", "--time", "1", "--drain-s", "5", *two_nodes, "--wait", "100")[
        "submitted"
    ]
    assert fleet.told("up", "--nodes", "2", *two_nodes) == {
        "dir": str(fleet.folder),
        "before": [steady, short],
        "submitted": [],
    }
    assert "2 of 2 servers take work" in fleet.run("status").stdout
    assert job_of(fleet, steady)["server"]["workers"] == 1  # the job's cores, not the machine's
    with SandboxClient(fleet.folder) as client:

        def judges() -> bool:
            found = client.judge_batch([(ADD, RIGHT), (ADD, WRONG)] * 20)
            return [result.verdict for result in found] == [Verdict.AC, Verdict.WA] * 20

        wrong = 0
        end_s = time.monotonic() + DEADLINE_S
        while restarts(short) == 0:
            wrong += not judges()
            assert time.monotonic() < end_s, "it did not run into its limit"
        assert wrong == 0
        wait_until(lambda: is_ready(job_of(fleet, short)), "its new server")
        subprocess.run(["scancel", steady], check=True)
        assert judges()
    wait_until(lambda: job_of(fleet, steady)["state"] == "CANCELLED", "its end")
    assert restarts(steady) == 0
    assert "finishing what was accepted" in fleet.logs()[steady]
    assert fleet.told("down")["ended"] == [short]
    assert fleet.told("down")["ended"] == []
    assert all(job["server"] is None for job in fleet.told("status")["jobs"])
    left = {path.name for path in fleet.folder.iterdir()}
    assert left == {"logs", ".lock", ".fleet.lock"}


def test_a_server_that_cannot_start_fails_its_job_and_says_why(fleet: Any, node_names: list[str]) -> None:
    # An address for documentation (RFC 5737), which is none of this host's.
    arguments = ["--nodes", "1", "--cpus", "1", "--memory", "64M", "--host", "192.0.2.77", "--wait", "100"]
    done = fleet.run("up", *arguments)
    assert done.returncode == 1
    assert re.search(r"error: job \d+ has ended \(FAILED\): error: cannot listen on 192\.0\.2\.77", done.stderr)
    (job,) = [job for job in fleet.told("status")["jobs"] if job["state"] == "FAILED"]
    assert job["last_words"].startswith("error: cannot listen on 192.0.2.77")
    assert restarts(job["id"]) == 0
    assert fleet.told("down")["ended"] == []


def test_killed_servers_are_taken_out_of_the_folder(fleet: Any, two_nodes: list[str]) -> None:
    (job,) = fleet.told("up", "--nodes", "1", *two_nodes, "--wait", "100")["submitted"]
    entry = Path(job_of(fleet, job)["server"]["path"])
    pid = json.loads(entry.read_text())["pid"]
    assert fleet.told("down", "--now")["ended"] == [job]
    assert not entry.exists()
    assert not entry.with_suffix(".token").exists()
    assert not Path(f"/proc/{pid}").exists()
