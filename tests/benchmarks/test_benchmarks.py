"""What the benchmarks rest on, and that they run: not what they measure."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
JOB = {"prelude": "from math import *", "entry_point": "Solution().up", "id": "up"}
UP = "class Solution:\n    def up(self, x):\n        print(x)\n        return ceil(x) + %d"
TESTS = ["assert candidate(1.5) == 2", "assert candidate(7) == 7"]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def output_of(script: str, *arguments: str, stdin: str = "") -> list[str]:
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=200, check=True)
    return done.stdout.splitlines()


def test_every_submission_has_the_verdict_that_it_is_known_by() -> None:
    known = load("submissions").KNOWN
    with Sandbox(workers=2) as box:
        results = box.judge_batch((one.problem, one.code) for one in known)
    found = {one.problem.id: result.verdict for one, result in zip(known, results, strict=True)}
    assert found == {one.problem.id: one.verdict for one in known}


def test_every_figure_of_throughput_is_printed_and_explained() -> None:
    report = json.loads(output_of("throughput.py", "--quick")[-1])
    explained = (ROOT / "docs" / "performance.md").read_text()
    assert [name for name in report if f"`{name}`" not in explained] == []
    module_bars = {"isolated_over_bare", "two_core_scaling", "over_bwrap", "leetcode_over_shared_fork", "slot_mb"}
    assert module_bars <= set(report)


@pytest.mark.parametrize(("wrong_by", "is_right"), [(0, True), (1, False)])
def test_one_fork_for_all_tests_tells_right_from_wrong(wrong_by: int, is_right: bool) -> None:
    check = "def check(candidate):\n    " + "\n    ".join(TESTS)
    job = json.dumps({**JOB, "tests": check, "solution": UP % wrong_by})
    (seconds,) = output_of("shared_fork.py", "math,json", stdin=job + "\n")
    assert (float(seconds) > 0) is is_right


@pytest.mark.parametrize(("wrong_by", "passed"), [(0, "2"), (1, "0")])
def test_the_authors_loop_counts_the_asserts_that_pass(wrong_by: int, passed: str) -> None:
    job = json.dumps({**JOB, "asserts": TESTS, "solution": UP % wrong_by})
    assert output_of("authors_loop.py", stdin=job)[-1] == passed


def test_what_is_not_installed_is_not_compared_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    baselines = load("baselines")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (baselines.bubblewrap(), baselines.apptainer(tmp_path), baselines.podman(tmp_path)) == (None, None, None)
    for name in ("bwrap", "apptainer", "podman"):
        (tmp_path / name).write_text("#!/bin/sh\necho 45\n")
        (tmp_path / name).chmod(0o755)
    assert (baselines.apptainer(None), baselines.podman(None)) == (None, None)
    for command in (baselines.bubblewrap(), baselines.apptainer(tmp_path), baselines.podman(tmp_path)):
        assert baselines.command_s(command, 1) > 0
