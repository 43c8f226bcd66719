"""The commands that take an image, which is made here: `qrpo-sandbox image` and the options of the others."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


class Caller:
    """Calls qrpo-sandbox with a store of its own."""

    def __init__(self, store: Path) -> None:
        self.store = store

    def __call__(self, *arguments: object, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sandbox.cli", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={
                **os.environ,
                "NO_COLOR": "1",
                "COLUMNS": "200",
                "QRPO_SANDBOX_IMAGES": str(self.store),
                **environment,
            },
        )


@pytest.fixture(scope="module")
def call(image: Path) -> Iterator[Caller]:
    store = image.parent / f"{image.name}-images"  # where the containers of root can reach it
    yield Caller(store)
    shutil.rmtree(store)


def test_checking_says_what_programs_find_in_it(call: Caller, sif: Path) -> None:
    done = call("image", "check", sif, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["python"].startswith("3.")
    assert report["languages"][0] == "python"
    assert "seccomp" in report["guards"]
    assert len(report["sha256"]) == 64
    assert report["level"] == "userns"
    table = call("image", "check", sif).stdout
    assert report["sha256"] in table
    assert report["python"] in table


def test_checking_finds_the_packages_of_the_image(call: Caller, image: Path) -> None:
    found = json.loads(call("image", "check", image, "--json").stdout)
    assert found["sha256"] == ""
    assert found["path"] == str(image)


def test_an_image_without_python_cannot_be_used(call: Caller, path_without_python: Path) -> None:
    done = call("image", "check", path_without_python)
    assert done.returncode == 7
    assert done.stderr.startswith("error: ")
    assert "no `python3` (>= 3.8) started in it" in done.stderr


@pytest.mark.parametrize(
    "command", ["image check", "run x.py --image", "selftest --image", "doctor --image", "serve --image"]
)
def test_an_image_that_is_not_there_is_one_line(call: Caller, command: str, tmp_path: Path) -> None:
    program = tmp_path / "x.py"
    program.write_text("")
    done = call(*(str(program) if word == "x.py" else word for word in command.split()), "/no/such.sif")
    assert done.returncode == 7
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "there is no image at /no/such.sif" in line
    assert "Traceback" not in done.stderr


def test_the_list_tells_what_is_unpacked(call: Caller, sif: Path) -> None:
    call("image", "check", sif)
    [row] = json.loads(call("image", "list", "--json").stdout)
    assert (row["reference"], row["in_use"]) == (str(sif), False)
    assert row["size_bytes"] > 1 << 20
    assert str(sif) in call("image", "list").stdout
    narrow = call("image", "list", COLUMNS="60").stdout
    assert str(sif) in "".join(line.rstrip(" │").split("│ ")[-1] for line in narrow.splitlines())


def test_cleaning_removes_what_nobody_uses(call: Caller, sif: Path) -> None:
    call("image", "check", sif)
    assert call("image", "clean").stdout == ""
    assert call("image", "clean", "--unused-days", "0").stdout.count("\n") == 1
    assert json.loads(call("image", "list", "--json").stdout) == []
    assert call("image", "list").stdout == "no image is unpacked on this node\n"


def test_pulling_makes_a_file_or_unpacks(call: Caller, sif: Path, tmp_path: Path) -> None:
    commands = tmp_path / "commands"
    commands.mkdir()
    stand_in = commands / "apptainer"
    words = "for reference; do file=$last last=$reference; done"
    stand_in.write_text(f'#!/bin/sh\n{words}\n[ "$reference" = docker://here ] && cp {sif} "$file"\n')
    stand_in.chmod(0o755)
    path = f"{commands}:{os.environ['PATH']}"
    out = tmp_path / "x.sif"
    done = call("image", "pull", "docker://here", "--out", out, PATH=path)
    assert (done.returncode, done.stdout) == (0, f"{out}\n"), done.stderr
    assert out.read_bytes() == sif.read_bytes()
    for _ in range(2):
        done = call("image", "pull", "docker://here", PATH=path)
        assert (Path(done.stdout.strip()) / "usr" / "bin" / "python3").exists(), done.stderr
    failed = call("image", "pull", "docker://elsewhere", PATH=path)
    assert failed.returncode == 7
    assert failed.stderr.startswith("error: docker://elsewhere could not be pulled")


def test_a_program_runs_in_a_sif(call: Caller, sif: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import os; print(os.path.exists('/usr/share'), input())")
    done = call("run", program, "--image", sif, stdin="x")
    assert (done.returncode, done.stdout) == (0, "False x\n"), done.stderr


def test_a_sif_is_unpacked_for_the_programs_that_run_in_it(sif: Path, tmp_path: Path) -> None:
    store = sif.parent / "fresh-images"
    program = tmp_path / "program.py"
    program.write_text("")
    try:
        call = Caller(store)
        assert call("run", program, "--image", sif).returncode == 0
        assert len(json.loads(call("image", "list", "--json").stdout)) == 1
    finally:
        shutil.rmtree(store, ignore_errors=True)


def test_submissions_are_judged_in_an_image(call: Caller, image: Path, tmp_path: Path) -> None:
    problems, submissions, out = (tmp_path / name for name in ("problems.jsonl", "submissions.jsonl", "out.jsonl"))
    problems.write_text(json.dumps({"id": "add", "tests": ["assert add(2, 2) == 4"]}) + "\n")
    submissions.write_text(json.dumps({"problem_id": "add", "code": "def add(a, b): return a + b"}) + "\n")
    files = ("--problems", problems, "--submissions", submissions, "--out", out)
    done = call("judge", *files, "--image", image, "--json")
    assert json.loads(done.stdout)["verdicts"] == {"AC": 1}, done.stderr
    refused = call("judge", *files, "--image", image, "--server", "http://127.0.0.1:1")
    assert refused.returncode == 2
    assert "--image" in refused.stderr


def test_the_corpus_holds_in_a_folder(call: Caller, image: Path) -> None:
    done = call("selftest", "--image", image, "--only", "escapes/un", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["failed"]) == (0, [])
    assert report["hostile"] > 0


def test_the_doctor_looks_at_an_image(call: Caller, image: Path) -> None:
    done = call("doctor", "--image", image, "--json")
    assert json.loads(done.stdout)["level"] == "userns", done.stderr


def test_the_host_runs_no_image(call: Caller, image: Path) -> None:
    done = call("selftest", "--runtime", "host", "--image", image)
    assert done.returncode == 7
    assert "'host' runs no image" in done.stderr
