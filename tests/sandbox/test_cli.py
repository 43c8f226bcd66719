from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.cli import EXIT_CODES
from sandbox.jsonl import parse_line, read_lines
from sandbox.records import ResultRecord
from sandbox.verdict import Verdict

ADD = {"id": "add", "tests": ["assert add(1, 2) == 3", "assert add(0, 0) == 0"], "entry_point": "add"}
ECHO = {"id": "echo", "kind": "stdio", "tests": [{"stdin": "a\n", "stdout": "a\n"}]}
RIGHT = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "sandbox.cli", *map(str, arguments)]


def call(*arguments: str | Path, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own; exit codes, both streams and tracebacks are what a user gets."""
    environment = os.environ | {"COLUMNS": "200"} | env
    return subprocess.run(
        command(*arguments), input=stdin, capture_output=True, text=True, timeout=120, env=environment, check=False
    )


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def results(path: Path) -> list[ResultRecord]:
    return [parse_line(ResultRecord, line, path) for line in read_lines(path)]


def program(folder: Path, code: str) -> Path:
    path = folder / "program.py"
    path.write_text(code)
    return path


def test_output_passes_through_and_the_last_line_on_stderr_sums_up(tmp_path: Path) -> None:
    code = "import sys\nprint(input()[::-1])\nprint('careful', end='', file=sys.stderr)"
    done = call("run", program(tmp_path, code), stdin="hello\n")
    assert (done.returncode, done.stdout) == (0, "olleh\n")
    first, last = done.stderr.splitlines()
    assert first == "careful"
    assert last.startswith("verdict=AC exit_code=0 cpu_ms=")
    assert "level=userns" in last


@pytest.mark.parametrize(
    ("code", "options", "verdict"),
    [
        ("raise SystemExit(9)", [], Verdict.RE),
        ("x = (", [], Verdict.CE),
        ("while True: pass", ["--cpu-s", "0.3"], Verdict.TLE),
        ("input(); import time; time.sleep(60)", ["--idle-s", "0.3"], Verdict.TLE),
        ("x = bytearray(200 << 20)\nx[::4096] = b'x' * len(x[::4096])", ["--memory-mib", "100"], Verdict.MLE),
        ("print('x' * (3 << 20))", ["--output-mib", "1"], Verdict.OLE),
    ],
)
def test_the_exit_code_says_the_verdict(tmp_path: Path, code: str, options: list[str], verdict: Verdict) -> None:
    done = call("run", program(tmp_path, code), *options, stdin="\n")
    assert f"verdict={verdict}" in done.stderr.splitlines()[-1]
    assert done.returncode == EXIT_CODES[verdict] != 0


def test_the_suffix_or_an_option_says_the_language(tmp_path: Path) -> None:
    script = tmp_path / "program.sh"
    script.write_text("read line; echo ${line^^}")
    assert call("run", script, stdin="a\n").stdout == "A\n"
    other = tmp_path / "program.txt"
    other.write_text("echo b")
    assert call("run", other, "--language", "bash").stdout == "b\n"
    assert call("run", other).returncode == EXIT_CODES[Verdict.CE], "as Python"
    other.write_text("if then")
    done = call("run", other, "--language", "bash")
    assert (done.returncode, "syntax error" in done.stderr) == (EXIT_CODES[Verdict.CE], True)


def test_judge_takes_programs_in_several_languages(tmp_path: Path) -> None:
    problems = write(tmp_path / "p.jsonl", ECHO)
    rows = [
        {"problem_id": "echo", "code": "print(input())"},
        {"problem_id": "echo", "code": "cat", "language": "bash"},
        {"problem_id": "echo", "completion": "```sh\necho b\n```", "language": "bash"},
    ]
    submissions = write(tmp_path / "s.jsonl", *rows)
    done = call("judge", "--problems", problems, "--submissions", submissions, "--out", tmp_path / "r.jsonl")
    assert done.returncode == 0, done.stderr
    assert [row.verdict for row in results(tmp_path / "r.jsonl")] == [Verdict.AC, Verdict.AC, Verdict.WA]


def test_run_as_json_is_one_object(tmp_path: Path) -> None:
    done = call("run", "--json", program(tmp_path, "print(6 * 7)\n1 / 0"))
    answer = json.loads(done.stdout)
    assert (answer["verdict"], answer["stdout"], answer["exit_code"]) == ("RE", "42\n", 1)
    assert "ZeroDivisionError" in answer["stderr"]
    assert done.stderr == ""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_stream_is_an_empty_one(tmp_path: Path, closed: str) -> None:
    code = "import sys\nprint(sys.stdin.read() + 'x')\nprint('y', file=sys.stderr)\nraise SystemExit(3)"
    line = f"{shlex.join(command('run', program(tmp_path, code)))} {closed}"
    done = subprocess.run(["sh", "-c", line], input="a", capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == EXIT_CODES[Verdict.RE], done
    assert done.stdout == ("" if ">&-" in closed.split() else "x\n" if "<&-" in closed else "ax\n")
    assert done.stderr.splitlines()[:1] == ([] if "2>&-" in closed else ["y"])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["run", "absent.py"], "error: absent.py: No such file"),
        (["run", "program.py", "--cpu-s", "0"], "Limits.cpu_s is 0"),
        (["run", "program.py", "--language", "cobol"], "language is 'cobol'; known are python"),
        (["run", "program.py", "--cpu-s", "1e300"], "Limits.cpu_s is 1e+300"),
        (["run", "program.py", "--memory-mib", "9" * 30], "Limits.memory_bytes is 1048"),
        (["run", "program.py", "--output-mib", "9" * 30], "Limits.output_bytes is 1048"),
        (["run", "program.py", "--processes", "9" * 30], "Limits.processes is 9999"),
        (
            ["judge", "--problems", "no.jsonl", "--submissions", "s.jsonl", "--out", "r"],
            "error: no.jsonl: No such file",
        ),
        (
            ["judge", "--problems", "p.jsonl", "--submissions", "bad.jsonl", "--out", "r"],
            "error: bad.jsonl:2: problem_id: ",
        ),
        (["judge", "--problems", "bad.jsonl", "--submissions", "s.jsonl", "--out", "r"], "error: bad.jsonl:1: id: "),
        (["judge", "--problems", "none.jsonl", "--submissions", "s.jsonl", "--out", "r"], "none.jsonl:1: tests: "),
        (
            ["judge", "--problems", "p.jsonl", "--submissions", "s.jsonl", "--out", "no/r"],
            "error: no/r.partial: No such",
        ),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    program(tmp_path, "pass")
    write(tmp_path / "p.jsonl", ADD)
    write(tmp_path / "none.jsonl", ADD | {"tests": ["add(1, 2)"]})
    write(tmp_path / "s.jsonl", {"problem_id": "add", "code": RIGHT})
    write(tmp_path / "bad.jsonl", {"problem_id": "add", "code": RIGHT}, {"problem_id": "sub", "code": RIGHT})
    done = call(*arguments)
    assert done.returncode == 2
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "r").exists()


@pytest.fixture
def inputs(tmp_path: Path) -> list[str | Path]:
    """Options of a small judging with its files."""
    submissions = [
        {"problem_id": "add", "code": WRONG, "id": "s0"},
        {"problem_id": "echo", "completion": "```python\nprint(input())\n```"},
        {"problem_id": "add", "completion": "I cannot."},
        {"problem_id": "add", "code": RIGHT},
        {"problem_id": "add", "completion": f"```python\n{RIGHT}```\n```python\n{WRONG}```"},
    ]
    problems = write(tmp_path / "p.jsonl", ADD, ECHO)
    submitted = write(tmp_path / "s.jsonl", *submissions)
    return ["--problems", problems, "--submissions", submitted, "--out", tmp_path / "r.jsonl"]


def test_results_are_in_input_order_with_every_field(tmp_path: Path, inputs: list[str | Path]) -> None:
    done = call("judge", *inputs, "--workers", "2")
    assert done.returncode == 0, done.stderr
    rows = results(tmp_path / "r.jsonl")
    assert [row.verdict.value for row in rows] == ["WA", "AC", "NO_CODE", "AC", "WA"]
    assert [row.problem_id for row in rows] == ["add", "echo", "add", "add", "add"]
    assert (rows[0].id, rows[0].passed, rows[0].total, rows[0].pass_rate) == ("s0", 1, 2, 0.5)
    assert [test.verdict.value for test in rows[0].tests] == ["WA", "AC"]
    assert all(row.enforcement == "userns" and row.tamper_proof for row in rows)
    assert rows[3].cpu_s > 0 < rows[3].peak_memory_bytes
    assert not (tmp_path / "r.jsonl.partial").exists()


@pytest.mark.parametrize("spoilt", ["p.jsonl", "s.jsonl"])
@pytest.mark.parametrize("out", ["{}", "link", "../{folder}/{}", "partial"])
def test_an_input_is_never_overwritten(tmp_path: Path, inputs: list[str | Path], spoilt: str, out: str) -> None:
    source = tmp_path / spoilt
    if out == "link":
        (tmp_path / "link").symlink_to(source)
    if out == "partial":
        source = source.rename(tmp_path / "partial.partial")
        inputs = [source if option == tmp_path / spoilt else option for option in inputs]
    before = source.read_bytes()
    done = call("judge", *inputs[:4], "--out", tmp_path / out.format(spoilt, folder=tmp_path.name))
    assert (done.returncode, "is an input" in done.stderr) == (2, True), done
    assert source.read_bytes() == before


def test_the_end_is_a_table_of_verdicts(inputs: list[str | Path]) -> None:
    done = call("judge", *inputs, NO_COLOR="1", FORCE_COLOR="")
    words = done.stdout.split()
    assert words[words.index("NO_CODE") + 2 : words.index("NO_CODE") + 5] == ["1", "│", "20.0%"]
    assert "5 submissions in" in done.stdout
    assert "mean pass rate 0.600" in done.stdout
    assert "\x1b" not in done.stdout


def test_judge_as_json_is_one_object(tmp_path: Path, inputs: list[str | Path]) -> None:
    done = call("judge", *inputs, "--json", "--extract", "first")
    summary = json.loads(done.stdout)
    assert summary.pop("wall_s") > 0
    assert summary == {
        "out": str(tmp_path / "r.jsonl"),
        "submissions": 5,
        "verdicts": {"NO_CODE": 1, "WA": 1, "AC": 3},
        "mean_pass_rate": 0.7,
        "resumed": 0,
    }


def test_an_interrupted_judging_is_continued(tmp_path: Path) -> None:
    slow = "import time\ntime.sleep(1.5)\n" + RIGHT
    rows = [{"problem_id": "add", "code": RIGHT}] * 3 + [{"problem_id": "add", "code": slow}] * 30
    inputs = [
        *("--problems", write(tmp_path / "p.jsonl", ADD)),
        *("--submissions", write(tmp_path / "s.jsonl", *rows)),
        *("--out", tmp_path / "r.jsonl", "--workers", "1"),
    ]
    partial = tmp_path / "r.jsonl.partial"
    process = subprocess.Popen(command("judge", *inputs), stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not partial.exists() or partial.read_text().count("\n") < 4):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: every process of the sandbox gets it too
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to continue" in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "r.jsonl").exists()

    kept = partial.read_text().count("\n") - 1
    assert 3 <= kept < len(rows)
    # The other inputs refuse to mix with what is kept; the same ones finish without judging that again.
    other = call("judge", *inputs, "--extract", "first")
    assert (other.returncode, "other inputs" in other.stderr) == (2, True)
    partial.write_text(finished(partial.read_text(), len(rows)))
    done = call("judge", *inputs, "--json")
    assert json.loads(done.stdout)["resumed"] == len(rows) - 2
    assert [row.verdict for row in results(tmp_path / "r.jsonl")] == [Verdict.AC] * len(rows)


def finished(partial: str, total: int) -> str:
    """The partial file as if all but the last two submissions had been judged before the interruption."""
    header, first, *_ = partial.splitlines()
    rows = [json.dumps(json.loads(first) | {"index": index}) for index in range(total - 2)]
    return "\n".join([header, *rows]) + "\n"


def test_doctor_tells_the_level_and_every_guard() -> None:
    done = call("doctor", "--json")
    report = json.loads(done.stdout)
    missing = [check["name"] for check in report["checks"] if check["required"] and not check["ok"]]
    assert (done.returncode, report["ok"]) == ((1, False) if missing else (0, True))
    assert {"group", "name", "required", "ok", "detail", "remedy"} == set(report["checks"][0])
    table = call("doctor", NO_COLOR="1", FORCE_COLOR="")
    assert table.returncode == done.returncode
    assert all(check["name"] in table.stdout for check in report["checks"])


def test_help_names_the_commands() -> None:
    done = call("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("run", "judge", "doctor"))


def test_servers_can_judge_instead(tmp_path: Path, start_server: Callable[..., Any]) -> None:
    problems = write(tmp_path / "p.jsonl", ADD)
    submissions = write(
        tmp_path / "s.jsonl", {"problem_id": "add", "code": RIGHT}, {"problem_id": "add", "code": WRONG}
    )
    out = tmp_path / "r.jsonl"
    judge = ("judge", "--problems", problems, "--submissions", submissions, "--out", out)
    server = start_server()
    refused = call(*judge, "--server", server.address)
    assert (refused.returncode, "token" in refused.stderr) == (2, True)
    assert call(*judge, "--server", server.url).returncode == 0
    assert [result.verdict for result in results(out)] == [Verdict.AC, Verdict.WA]
    for options in (["--server", server.url, "--workers", "2"], ["--server", "a", "--server", "b"]):
        assert call(*judge, *options).returncode == 2
