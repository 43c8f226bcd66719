"""`qrpo-sandbox eval` in a process of its own, with a real sandbox."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROBLEMS = [
    {"id": "set/inc", "tests": ["assert f(1) == 2", "assert f(2) == 3"], "meta": {"difficulty": "easy"}},
    {"id": "set/dec", "tests": ["assert f(1) == 0"], "meta": {"difficulty": "hard"}},
    {"id": "set/neg", "tests": ["assert f(1) == -1"], "meta": {"difficulty": "hard"}},
]
INC, DEC, ENDLESS = "def f(n): return n + 1", "def f(n): return n - 1", "def f(n):\n    while True: pass"


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "rewards.cli", *map(str, arguments)]


def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "200"}
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=120, env=environment, check=False
    )


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    return write(tmp_path / "problems.jsonl", *PROBLEMS)


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    rows = [("inc", INC), ("inc", DEC), ("dec", DEC), ("dec", "def f(n) return")]
    return write(tmp_path / "samples.jsonl", *({"task_id": name, "solution": code} for name, code in rows))


def test_samples_are_judged_counted_and_reported(problems: Path, samples: Path) -> None:
    done = call("eval", "--problems", problems, "--samples", samples, "--k", "1,2", "--workers", "2")
    assert done.returncode == 0, done.stderr
    folder = samples.with_name("samples.jsonl.eval")
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.json", "report.html", "results.jsonl"]
    data = json.loads((folder / "metrics.json").read_text())
    assert data["pass_at"]["1"]["value"] == 0.5
    assert data["pass_at"]["2"]["value"] == 1.0
    assert data["verdicts"] == {"AC": 2, "WA": 1, "CE": 1}
    assert data["not_attempted"] == ["set/neg"]
    assert data["groups"]["hard"]["problems"] == 2
    assert "1 of 3 problems have no sample and no part in the above; counted as failed: pass@1 33.3%" in done.stdout
    assert "SyntaxError" in done.stdout
    assert len((folder / "results.jsonl").read_text().splitlines()) == 4


def test_json_is_one_object_on_stdout(problems: Path, samples: Path, tmp_path: Path) -> None:
    done = call("eval", "--problems", problems, "--samples", samples, "--out", tmp_path / "a/b", "--json")
    data = json.loads(done.stdout)
    assert data["pass_at"].keys() == {"1"}
    assert data["report"] == str(tmp_path / "a/b/report.html")


def test_an_interrupted_evaluation_continues(tmp_path: Path) -> None:
    problems = write(tmp_path / "p.jsonl", {"id": "inc", "tests": ["assert f(1) == 2"], "limits": {"cpu_s": 3}})
    rows = [{"problem_id": "inc", "code": f"{INC}\nx = {number}"} for number in range(3)]
    samples = write(tmp_path / "s.jsonl", *rows, {"problem_id": "inc", "code": ENDLESS})
    out = tmp_path / "out"
    started = subprocess.Popen(
        command("eval", "--problems", problems, "--samples", samples, "--out", out, "--workers", "1"),
        stderr=subprocess.PIPE,
        text=True,
    )
    partial = out / "results.jsonl.partial"
    end = time.monotonic() + 60
    while not partial.exists() or partial.read_text().count("\n") < 4:
        assert time.monotonic() < end, "nothing was judged"
        time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    assert started.wait(60) == 130
    assert started.stderr is not None
    with started.stderr as stream:
        assert "interrupted; 3 of 4 results" in stream.read()
    done = call("eval", "--problems", problems, "--samples", samples, "--out", out, "--json")
    data = json.loads(done.stdout)
    assert (data["resumed"], data["verdicts"]) == (3, {"AC": 3, "TLE": 1})
    assert not partial.exists()


def test_servers_can_judge_instead(
    problems: Path, samples: Path, tmp_path: Path, start_server: Callable[..., Any]
) -> None:
    server = start_server()
    evaluate = ("eval", "--problems", problems, "--samples", samples, "--out", tmp_path / "out", "--json")
    done = call(*evaluate, "--server", server.url)
    assert json.loads(done.stdout)["verdicts"] == {"AC": 2, "WA": 1, "CE": 1}
    for options in (["--workers", "2"], ["--level", "landlock"], ["--image", "x"], ["--server", "b"]):
        assert call(*evaluate, "--server", server.url, *options).returncode == 2


def test_a_server_that_refuses_the_token_is_bad_input(
    problems: Path, samples: Path, start_server: Callable[..., Any]
) -> None:
    refused = call("eval", "--problems", problems, "--samples", samples, "--server", start_server().address)
    assert (refused.returncode, "token" in refused.stderr) == (2, True)


def test_results_of_other_samples_are_not_continued(problems: Path, samples: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.jsonl.partial").write_text('{"inputs": "other"}\n')
    done = call("eval", "--problems", problems, "--samples", samples, "--out", out)
    assert done.returncode == 2
    assert "results of other inputs" in done.stderr


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        ({"task_id": "other", "solution": "x"}, [], "no problem has the id 'other'; 3 are known, such as 'set/inc'"),
        ({"text": "x"}, [], "unknown format of samples: the fields are text"),
        ({"task_id": "inc", "solution": "x"}, ["--k", "0"], "whole numbers from 1 on"),
        ({"task_id": "inc", "solution": "x"}, ["--k", "one"], "whole numbers from 1 on"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    problems: Path, tmp_path: Path, row: object, options: list[str], message: str
) -> None:
    done = call("eval", "--problems", problems, "--samples", write(tmp_path / "s.jsonl", row), *options)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_folders_and_files_in_each_others_place_are_said(problems: Path, samples: Path, tmp_path: Path) -> None:
    taken = write(tmp_path / "taken", {})
    for arguments in (("--samples", tmp_path), ("--samples", samples, "--out", taken)):
        done = call("eval", "--problems", problems, *arguments)
        assert (done.returncode, "; name a fi" in done.stderr or "; name a fo" in done.stderr) == (2, True)


def test_a_file_of_no_known_kind_is_said_to_be_one(problems: Path, tmp_path: Path) -> None:
    done = call("eval", "--problems", problems, "--samples", write(tmp_path / "s.csv", {}))
    assert done.returncode == 2
    assert "known are .jsonl" in done.stderr or "known kinds of file are .jsonl" in done.stderr


def test_paragraphs_of_help_are_fitted_to_the_terminal() -> None:
    said = " no verdict and count nowhere; the same command tries them again."
    assert said in call("eval", "--help").stdout


def test_the_other_commands_are_there_and_load_nothing_that_only_an_evaluation_needs() -> None:
    code = "import sys, rewards.cli; print([name for name in ('jinja2', 'numpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
    assert "judge" in call("--help").stdout
