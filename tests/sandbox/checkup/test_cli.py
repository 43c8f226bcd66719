import json
import os
import subprocess
import sys

COMMAND = [sys.executable, "-m", "sandbox.cli"]


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "160"}
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, env=environment)


def test_selftest_says_what_was_run_and_what_failed() -> None:
    done = call("selftest", "--only", "sys-exit", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert {key: report[key] for key in ("hostile", "honest", "failed", "level")} == {
        "hostile": 1, "honest": 0, "failed": [], "level": "userns",
    }  # fmt: skip


def test_selftest_prints_each_guard_with_how_many_programs_test_it() -> None:
    done = call("selftest", "--only", "completeness")
    assert done.returncode == 0
    (row,) = [line for line in done.stdout.splitlines() if "completeness" in line]
    assert "yes" in row
    assert "0 failed" in done.stdout


def test_the_programs_can_be_listed_with_what_they_test() -> None:
    rows = json.loads(call("selftest", "--list", "--json").stdout)
    assert len(rows) > 180
    assert {"name", "kind", "guard", "expect", "why"} == set(rows[0])
    listed = call("selftest", "--list", "--only", "escapes/bpf")
    assert "seccomp" in listed.stdout
    assert listed.returncode == 0


def test_a_program_that_is_not_there_is_bad_input() -> None:
    done = call("selftest", "--only", "no such program")
    assert done.returncode == 2
    assert "no program has 'no such program' in its name" in done.stderr


def test_an_unknown_level_is_bad_input() -> None:
    for command in ("selftest", "doctor"):
        done = call(command, "--level", "none")
        assert done.returncode == 2
        assert "landlock" in done.stderr


def test_what_is_listed_can_be_searched_in_a_pipe() -> None:
    done = call("selftest", "--list")
    (line,) = [line for line in done.stdout.splitlines() if "escapes/unshare-user-namespace" in line]
    name, kind, guard, verdicts, why = line.split("\t")
    assert (name, kind, guard) == ("escapes/unshare-user-namespace", "hostile", "user_namespace")
    assert "AC" not in verdicts.split("/")
    assert why
