"""Where jobs of the real Slurm stand, with all sources and without each of them."""

import os
import subprocess
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from slurm.experiments.accounting import records_of
from slurm.queue_listing import jobs_with

DEADLINE_S = 150.0
ENDS = """
name: ends
resources: {memory: 150M, cpus_per_task: 1, time: "5"}
stages:
  end:
    grid: {how: [fine, error, code, signal, killed, cancelled, gone, output]}
    command: |
      case {{ how }} in
        error) python3 -c 'raise ValueError("loss is nan")' ;;
        code) exit 3 ;;
        signal) kill -SEGV $BASHPID ;;
        killed) kill -KILL $BASHPID ;;
        cancelled) touch cancelled.runs; sleep 300 ;;
        output) exit 0 ;;
      esac
      echo {{ how }} > {{ how }}.out
    outputs: ["{{ how }}.out"]
  use:
    after: [end]
    grid: {how: [fine, error]}
    command: cat {{ how }}.out
"""
EXPECTED = {
    "end/how=fine": ("succeeded", None),
    "end/how=error": ("failed", "Python error"),
    "end/how=code": ("failed", "exit code"),
    "end/how=signal": ("failed", "signal"),
    "end/how=killed": ("failed", "out of memory"),
    "end/how=cancelled": ("cancelled", None),
    "end/how=gone": ("failed", "missing or invalid output"),
    "end/how=output": ("failed", "missing or invalid output"),
    "use/how=fine": ("succeeded", None),
    "use/how=error": ("blocked", None),
}


@pytest.fixture
def ended(command: Any, node_names: list[str]) -> Iterator[Any]:
    """An experiment of which everything has ended, each task in its own way."""
    (command.folder / "ends.yaml").write_text(ENDS)
    try:
        yield _run_to_its_end(command)
    finally:
        command.sees(PATH=os.environ["PATH"])
        command.run("cancel")


def _run_to_its_end(command: Any) -> Any:
    done = command.run("submit", "ends.yaml")
    assert done.returncode == 0, done.stderr
    _wait((command.folder / "cancelled.runs").exists)
    jobs = {task["id"]: task["job"] for task in command.told("status")["tasks"]}
    subprocess.run(["scancel", jobs["end/how=cancelled"]], check=True)
    _wait(lambda: not {"queued", "running"} & set(command.states().values()))
    _wait(lambda: all(job.has_ended for job in jobs_with(",".join(jobs.values()))))  # also what is blocked
    _wait(lambda: _are_in_accounts([job for name, job in jobs.items() if name.startswith("end/")]))
    (command.folder / "gone.out").write_text("")  # it was valid when its job ended
    return command


def _are_in_accounts(jobs: Collection[str]) -> bool:
    """Whether sacct, which lags behind, tells the end of all; also where there are no accounts."""
    found = records_of(jobs)
    going_on = {"PENDING", "RUNNING", "COMPLETING"}
    return not found or all(job in found and found[job][-1].state not in going_on for job in jobs)


@pytest.fixture
def lose(ended: Any, tmp_path: Path) -> Callable[..., None]:
    """From now on these commands of Slurm, and no others, have no answer."""

    def lose(*names: str) -> None:
        folder = tmp_path / "-".join(["without", *names])
        folder.mkdir()
        for name in names:
            (folder / name).write_text(f"#!/bin/sh\necho '{name}: error: Connection refused' >&2; exit 1\n")
            (folder / name).chmod(0o755)
        ended.sees(PATH=f"{folder}:{os.environ['PATH']}")

    return lose


def test_each_end_is_told_with_slurm_and_while_it_does_not_answer(ended: Any, lose: Callable[..., None]) -> None:
    assert _told(ended) == EXPECTED
    for lost in (["squeue"], ["sacct"], ["squeue", "sacct"]):
        lose(*lost)
        assert _told(ended) == EXPECTED, lost


def test_each_end_is_told_without_what_the_jobs_have_written(ended: Any, lose: Callable[..., None]) -> None:
    for path in Path(ended.folder).glob("*.experiment/tasks/*/*/events.jsonl"):
        path.unlink()
    assert _told(ended) == EXPECTED
    lose("squeue")
    assert _told(ended) == EXPECTED
    lose("sacct")
    found = _told(ended)
    # squeue alone does not tell exit codes: what the outputs are now tells less.
    unsure = {"end/how=code", "end/how=signal", "end/how=killed"}
    assert {name: told for name, told in found.items() if name not in unsure} == {
        name: told for name, told in EXPECTED.items() if name not in unsure
    }
    assert {found[name][0] for name in unsure} == {"failed"}


def _told(command: Any) -> dict[str, tuple[str, str | None]]:
    return {task["id"]: (task["state"], task["cause"]) for task in command.told("status")["tasks"]}


def _wait(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.5)
