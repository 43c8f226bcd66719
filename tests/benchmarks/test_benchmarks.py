"""What the benchmarks rest on, and that they run: not what they measure."""

import asyncio
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

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
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # where dataclasses look for it
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


def test_every_figure_of_the_server_is_printed_and_explained() -> None:
    report = json.loads(output_of("server.py", "--quick")[-1])
    explained = (ROOT / "docs" / "performance.md").read_text()
    assert [name for name in report if f"`{name}`" not in explained] == []
    assert {"http_over_embedded_256", "http_over_embedded_16", "added_latency_ms", "run_code_per_s"} <= set(report)
    assert report["batch_route_over_authors"] is None


def test_every_figure_of_the_overload_is_printed_and_explained() -> None:
    command = [sys.executable, str(BENCHMARKS / "overload.py"), "--seconds", "4", "--clients", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    report = json.loads(done.stdout)
    explained = (ROOT / "docs" / "performance.md").read_text()
    assert [name for name in report if f"`{name}`" not in explained] == []
    assert (report["lost"], report["doubled"], report["wrong"], report["errors"]) == (0, 0, 0, {})
    assert report["accepted"] > 0


@pytest.mark.parametrize(
    ("rows", "counts"),
    [
        ([(0, "7\n"), (1, "8\n")], (0, 0, 0)),
        ([(1, "8\n"), (0, "8\n")], (0, 0, 1)),
        ([(1, "8\n")], (1, 0, 0)),
        ([(0, "7\n"), (1, "8\n"), (1, "8\n")], (0, 1, 0)),
    ],
    ids=["right", "wrong", "lost", "doubled"],
)
def test_what_a_server_answers_is_counted(
    monkeypatch: pytest.MonkeyPatch, rows: list[tuple[int, str]], counts: tuple[int, int, int]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    asked = load("offered_load").Load(None, named=True)
    asked.count([{"index": index, "result": {"stdout": printed}} for index, printed in rows], ["7\n", "8\n"])
    assert (asked.tally.lost, asked.tally.doubled, asked.tally.wrong) == counts


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({}, 0),
        ({"lost": 1}, 1),
        ({"errors": {"OSError": 1}}, 1),
        ({"accepted": 0}, 1),
        ({"memory_growth": 1.2}, 1),
        ({"small_p95": 10.5}, 1),
        ({"small_median": None}, 1),
    ],
)
def test_a_missed_bar_of_the_overload_is_named(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], missed: int
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    held = {"lost": 0, "doubled": 0, "wrong": 0, "errors": {}, "accepted": 9, "memory_growth": 1.0}
    report = {**held, "small_median": 2.0, "small_p95": 9.5, **change}
    assert len(load("overload").broken_bars(report)) == missed


def test_the_load_reads_bodies_of_known_and_unknown_length() -> None:
    answers = [
        b"HTTP/1.1 429 Too Many\r\nRetry-After: 2\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n[1]\n\r\n3\r\n[2]\r\n0\r\n\r\n",
    ]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for one in answers:
            await reader.readuntil(b"BODY")
            writer.write(one)
        writer.close()

    async def ask() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with load("http_load").Connection(f"http://127.0.0.1:{port}", {}) as connection:
            refused, taken = await connection.post("/", b"BODY"), await connection.post("/", b"BODY")
            assert (refused.status, refused.headers["retry-after"]) == (429, "2")
            with pytest.raises(RuntimeError, match="429"):
                refused.json()
            assert taken.rows() == [[1], [2]]
            await asyncio.sleep(0.1)
            assert connection.is_closed
        server.close()

    asyncio.run(ask())


def test_every_figure_of_the_fleet_is_printed_and_explained() -> None:
    report = json.loads(output_of("fleet.py", "--quick")[-1])
    explained = (ROOT / "docs" / "performance.md").read_text()
    assert [name for name in report if f"{name}`" not in explained] == []
    assert (report["servers"], report["apptainer_over_host"]) == ([1, 2, 4], None)
    assert all(speed > 0 for speed in report["submissions_per_s"])
    assert 0 < report["client_us_per_submission"] < 100_000


def test_a_container_that_cannot_be_measured_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    fleet = load("fleet")
    monkeypatch.setenv("PATH", str(tmp_path))
    for image, why in ((None, "no --image"), (str(tmp_path), "neither apptainer nor singularity")):
        figures, trouble = fleet.in_container(image, [], 1)
        assert figures == {"apptainer_over_host": None, "python_over_host": None}
        assert why in trouble


@pytest.mark.parametrize(
    ("report", "missed"),
    [
        ({"apptainer_over_host": 0.9, "two_servers_scaling": 1.7, "client_us_per_submission": 150}, 0),
        ({"apptainer_over_host": None, "two_servers_scaling": None, "client_us_per_submission": 90.0}, 0),
        ({"apptainer_over_host": 0.89, "two_servers_scaling": 1.69, "client_us_per_submission": 151}, 3),
    ],
)
def test_a_missed_bar_of_the_fleet_is_named(
    monkeypatch: pytest.MonkeyPatch, report: dict[str, object], missed: int
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    assert len(load("fleet").broken_bars(report)) == missed


@pytest.mark.parametrize(("cores", "scaling", "net"), [(1, None, None), (2, 1.6, 2.0), (3, 1.6, 1.6)])
def test_the_scaling_leaves_out_the_client_where_it_shares_a_core(
    monkeypatch: pytest.MonkeyPatch, cores: int, scaling: float | None, net: float | None
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    fleet = load("fleet")
    one, two = fleet.Pass(8.0, 1.0, 8.0), fleet.Pass(5.0, 2.0, 8.0)
    found = fleet.scaling([one], [two], cores)
    assert found == {"two_servers_scaling": scaling, "two_servers_scaling_net": net}


def test_the_time_of_a_family_has_that_of_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spin = "import time\nwhile time.process_time() < 0.3: pass\n"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {spin!r}])\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert load("fleet_nodes").family_s(process.pid) >= 0.3
        process.communicate(b"\n")
