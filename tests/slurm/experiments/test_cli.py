"""`qrpo-experiment` on this machine, without any Slurm."""

import json
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GRID = """
name: grid
variables: {runs: out}
stages:
  make:
    grid: {shard: {range: SHARDS}}
    command: |
      mkdir -p {{ runs }}
      echo hello {{ shard }}
      if [ {{ shard }} = 1 ] && [ ! -e mended ]; then python3 -c 'raise ValueError("no such luck")'; fi
      echo '{"n": {{ shard }}}' > {{ runs }}/{{ shard }}.json
      echo {{ shard }} >> ran
    outputs: [{path: "{{ runs }}/{{ shard }}.json", format: json}]
  sum:
    after: [make]
    command: cat {{ runs }}/*.json > {{ runs }}/sum
    outputs: ["{{ runs }}/sum"]
"""
Grid = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_slurm(command: Any, tmp_path: Path) -> None:
    """As on a laptop."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "python3").symlink_to(sys.executable)
    for name in ("bash", "mkdir", "cat", "sleep", "env", "stat"):
        (tools / name).symlink_to(shutil.which(name) or pytest.fail(f"{name} is not installed"))
    command.sees(PATH=str(tools))


@pytest.fixture
def grid(nasty_folder: Path) -> Grid:
    """Writes the experiment."""

    def write(shards: int = 3, more: str = "", **changes: str) -> Path:
        text = GRID.replace("SHARDS", str(shards)) + more
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        path = nasty_folder / "grid.yaml"
        path.write_text(text)
        return path

    return write


def test_a_failure_is_told_with_its_cause_and_completed_by_resubmit(command: Any, grid: Grid) -> None:
    grid()
    first = command.run("submit", "grid.yaml", "--local")
    assert first.returncode == 1, first.stderr
    assert command.states() == {
        "make/shard=0": "succeeded",
        "make/shard=1": "failed",
        "make/shard=2": "succeeded",
        "sum": "blocked",
    }
    said = command.run("status").stdout
    assert "make: 1 x Python error: ValueError: no such luck" in said
    assert "sum: 1 x blocked: needs make/shard=1" in said
    assert "Traceback" in said
    (command.folder / "mended").touch()
    again = command.run("resubmit", "--failed", "--local")
    assert again.returncode == 0, again.stderr
    assert set(command.states().values()) == {"succeeded"}
    assert sorted((command.folder / "ran").read_text().split()) == ["0", "1", "2"]  # each once


def test_submitted_twice_runs_nothing_twice_and_a_grown_grid_what_is_new(command: Any, grid: Grid) -> None:
    (command.folder / "mended").touch()
    grid(shards=2)
    assert command.run("submit", "grid.yaml", "--local").returncode == 0
    assert command.told("submit", "grid.yaml", "--local")["submitted"] == []
    grid(shards=4)
    found = command.told("submit", "grid.yaml", "--local")
    assert {item["id"] for item in found["submitted"]} == {"make/shard=2", "make/shard=3"}
    assert sorted((command.folder / "ran").read_text().split()) == ["0", "1", "2", "3"]


def test_tasks_that_left_the_description_are_shown_and_not_run(command: Any, grid: Grid) -> None:
    grid(shards=3)
    command.run("submit", "grid.yaml", "--local")
    grid(shards=1)
    done = command.run("submit", "grid.yaml", "--local")
    assert done.returncode == 0, done.stderr
    assert "2 tasks have left the description: make/shard=1, make/shard=2" in done.stdout
    assert command.told("resubmit", "--failed", "--local")["submitted"] == []


def test_a_changed_command_is_refused_with_the_difference(command: Any, grid: Grid) -> None:
    (command.folder / "mended").touch()
    grid()
    command.run("submit", "grid.yaml", "--local")
    grid(hello="goodbye")
    done = command.run("submit", "grid.yaml", "--local")
    assert done.returncode == 2
    assert "make/shard=0 does something else now than when it was submitted, as do 2 more:" in done.stderr
    assert "script: -echo hello 0\n" in done.stderr
    assert "script: +echo goodbye 0\n" in done.stderr
    assert "a higher `version`" in done.stderr
    assert "another folder by --dir" in done.stderr
    assert "goodbye" not in (command.folder / "grid.experiment" / "experiment.yaml").read_text()


def test_a_higher_version_runs_beside_the_old_one(command: Any) -> None:
    stage = "  a: {command: 'echo WORD > out{{ version }}', outputs: ['out{{ version }}'], version: NUMBER}\n"
    for word, number in (("one", "1"), ("two", "2")):
        text = f"name: v\nstages:\n{stage.replace('WORD', word).replace('NUMBER', number)}"
        (command.folder / "v.yaml").write_text(f"{text}  b: {{command: cat out1 > b, outputs: [b], after: [a]}}")
        done = command.run("submit", "v.yaml", "--local")
        assert done.returncode == 0, done.stderr
    assert [(command.folder / f"out{number}").read_text() for number in (1, 2)] == ["one\n", "two\n"]
    assert command.told("status")["left"][0]["id"] == "a"
    assert command.told("status")["notes"] == [
        "b: made before what it needs today; once that is there, `resubmit --again TASK` makes it anew"
    ]
    command.run("resubmit", "b", "--again", "--local")
    assert command.told("status")["notes"] == []


def test_a_dry_run_says_all_and_makes_nothing(command: Any, grid: Grid) -> None:
    grid()
    done = command.run("submit", "grid.yaml", "--dry-run")
    assert done.returncode == 0, done.stderr
    for words in (
        "make/shard=2: would be submitted",
        "    echo hello 2",
        "    makes out/2.json",
        "    after 3: make/shard=0, make/shard=1, make/shard=2",
        "    #SBATCH --array=0-2",
        "    #SBATCH --dependency=afterok:JOB1",
        "4 of 4 would be submitted, 0 later; 0 have succeeded",
    ):
        assert words in done.stdout
    assert [path.name for path in command.folder.iterdir()] == ["grid.yaml"]


def test_what_is_missing_is_said_before_anything_is_made(command: Any, grid: Grid) -> None:
    grid(more="    inputs: [prompts, model]\n")
    for more in ([], ["--local"], ["--dry-run"]):
        done = command.run("submit", "grid.yaml", *more)
        assert done.returncode == 2
        assert "prompts is not there, and no task makes it; it is an input of sum" in done.stderr
        assert "model is not there" in done.stderr
    assert [path.name for path in command.folder.iterdir()] == ["grid.yaml"]


def test_an_interrupted_run_is_continued_by_the_same_command(command: Any, grid: Grid) -> None:
    (command.folder / "mended").touch()
    grid(more="", **{"echo hello {{ shard }}": "[ {{ shard }} = 0 ] || [ -e go ] || sleep 60"})
    running = command.start("submit", "grid.yaml", "--local", "--jobs", "1")
    end_s = time.monotonic() + 60
    while "running" not in command.states().values() or "succeeded" not in command.states().values():
        assert time.monotonic() < end_s
    refused = command.run("submit", "grid.yaml", "--local")
    assert (refused.returncode, "`submit --local` runs its tasks" in refused.stderr) == (2, True)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert "interrupted; the same command goes on" in said
    assert command.states()["make/shard=0"] == "succeeded"
    assert set(command.states().values()) == {"succeeded", "not submitted"}
    (command.folder / "go").touch()
    assert command.run("submit", "grid.yaml", "--local").returncode == 0
    assert sorted((command.folder / "ran").read_text().split()) == ["0", "1", "2"]


@pytest.mark.parametrize("is_deaf", [False, True])
def test_cancel_ends_a_run_from_another_terminal_and_names_what_it_has_ended(
    command: Any, grid: Grid, *, is_deaf: bool
) -> None:
    (command.folder / "mended").touch()
    grid(shards=4, **{"echo hello {{ shard }}": "sleep 60"})
    running = command.start("submit", "grid.yaml", "--local", "--jobs", "2", is_deaf=is_deaf)
    end_s = time.monotonic() + 60
    while list(command.states().values()).count("running") < 2:
        assert time.monotonic() < end_s
    assert command.told("cancel")["cancelled"] == ["make/shard=0", "make/shard=1"]
    said, _ = running.communicate(timeout=60)
    assert (running.returncode, "cancelled" in said) == (1, True), said
    assert list(command.states().values()) == [*["cancelled"] * 2, *["not submitted"] * 2, "blocked"]
    assert command.told("cancel")["cancelled"] == []


def test_logs_are_those_of_a_task_or_of_an_earlier_attempt(command: Any, grid: Grid) -> None:
    grid()
    command.run("submit", "grid.yaml", "--local")
    (command.folder / "mended").touch()
    command.run("resubmit", "shard=1", "--local")
    assert command.run("logs", "shard=1").stdout == "hello 1\n"
    assert command.run("logs", "shard=1", "--attempt", "1", "--lines", "1").stdout == "ValueError: no such luck\n"
    both = command.run("logs", "make/shard=[02]").stdout
    assert both.count("==> make/shard=") == 2
    assert [item["text"] for item in command.told("logs", "shard=2")] == ["hello 2\n"]


def test_what_has_succeeded_is_run_again_only_if_that_is_said(command: Any, grid: Grid) -> None:
    (command.folder / "mended").touch()
    grid()
    command.run("submit", "grid.yaml", "--local")
    done = command.run("resubmit", "shard=0", "--local")
    assert (done.returncode, "make/shard=0: succeeded; --again runs it nevertheless" in done.stderr) == (2, True)
    done = command.told("resubmit", "shard=0", "--again", "--local")
    assert [item["id"] for item in done["submitted"]] == ["make/shard=0"]


def test_a_named_task_that_cannot_run_is_refused_with_what_it_needs(command: Any) -> None:
    stages = "  a: {command: exit 1}\n  b: {command: 'true', after: [a]}\n  c: {command: 'true', after: [b]}"
    (command.folder / "chain.yaml").write_text(f"name: chain\nstages:\n{stages}")
    command.run("submit", "chain.yaml", "--local")
    for words in (["b"], ["c"], ["b", "c", "--again"]):
        done = command.run("resubmit", *words, "--local")
        assert done.returncode == 2
        assert done.stderr.endswith("needs a, which has failed; name a too, and what could not run goes along\n")
    assert command.run("resubmit", "a", "c", "--local").returncode == 1
    assert {task["id"]: task["attempt"] for task in command.told("status")["tasks"]}["a"] == 2


def test_a_disturbed_run_has_the_results_of_an_undisturbed_one(command: Any, grid: Grid) -> None:
    grid()
    command.run("submit", "grid.yaml", "--local")
    (command.folder / "mended").touch()
    command.run("resubmit", "--failed", "--local")
    command.run("submit", "grid.yaml", "--local", "--set", "runs=other", "--dir", "second")
    for place, out in (("grid.yaml", "one"), ("second", "two")):
        assert command.run("report", place, "--out", out).returncode == 0
    one, two = ((command.folder / out / "results.json").read_bytes() for out in ("one", "two"))
    assert one == two
    assert {result["succeeded"] for result in json.loads(one)} == {True}
    assert "make/shard=1 | 1 | local-" in (command.folder / "one" / "report.md").read_text()
    page = (command.folder / "one" / "report.html").read_text()
    assert "4 of 4 tasks have succeeded" in page
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status"], "which experiment? Name its folder or its file; in "),
        (["status", "nowhere"], "is no experiment's folder; `qrpo-experiment submit FILE` makes one"),
        (["resubmit"], "name tasks, or all that have failed by --failed"),
        (["submit", "broken.yaml"], "broken.yaml: stages.a.command: "),
        (["submit", "fine.yaml", "--jobs", "3"], "--jobs is for --local"),
        (["submit", "fine.yaml", "--set", "x"], "'x': expected NAME=VALUE"),
        (["submit", "fine.yaml"], "sbatch is not installed here"),
    ],
)
def test_what_is_wrong_is_one_line_on_stderr(command: Any, words: list[str], said: str) -> None:
    (command.folder / "broken.yaml").write_text("name: x\nstages: {a: {}}")
    (command.folder / "fine.yaml").write_text("name: x\nstages: {a: {command: c}}")
    done = command.run(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
