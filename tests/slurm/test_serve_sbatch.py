"""slurm/serve.sbatch with stand-in servers under bash, and with the real one as a job of a real Slurm."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "slurm" / "serve.sbatch"
Eventually = Callable[[Callable[[], object]], None]
# Notes its arguments and signals in its working folder; at INT it takes a moment to finish, and ends.
SERVER = """
import os, pathlib, signal, sys, time
def note(number, _):
    with open("signals", "a") as file:
        file.write(signal.Signals(number).name + "\\n")
    if number == signal.SIGINT:
        time.sleep(0.3)
        os._exit(0)
for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT):
    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, note)
pathlib.Path("arguments").write_text("\\n".join(sys.argv[1:]))
pathlib.Path("pid.tmp").write_text(str(os.getpid()))
pathlib.Path("pid.tmp").rename("pid")
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder to submit from, with a name that careless quoting breaks."""
    path = tmp_path / "a folder's name"
    path.mkdir()
    return path


@pytest.fixture
def env(folder: Path) -> dict[str, str]:
    (folder / "server.py").write_text(SERVER)
    command = f"{shlex.quote(sys.executable)} server.py"
    return os.environ | {"QRPO_COMMAND": command, "QRPO_SANDBOX_SERVERS": str(folder / "its servers")}


def log_of(folder: Path, *command: str | Path, env: dict[str, str]) -> subprocess.Popen[str]:
    # What runs the tests may have been started deaf to some signals, as by nohup.
    hearing = ("env", "--default-signal=HUP,TERM,USR1,USR2", *command)
    return subprocess.Popen(hearing, cwd=folder, env=env, stdout=subprocess.PIPE, text=True)


def test_options_come_after_ours_unchanged(folder: Path, env: dict[str, str], eventually: Eventually) -> None:
    job = log_of(folder, "bash", SCRIPT, "--host", "127.0.0.1", "two words", "$HOME *", "", env=env)
    eventually((folder / "pid").exists)
    job.terminate()
    job.communicate(timeout=20)
    words = (folder / "arguments").read_text().split("\n")
    assert words[0] == "--host"
    assert words[2:] == [
        *("--port", "0", "--allow-remote", "--endpoint-dir", str(folder / "its servers")),
        *("--host", "127.0.0.1", "two words", "$HOME *", ""),
    ]


@pytest.mark.parametrize(("number", "word"), [(signal.SIGTERM, "ended"), (signal.SIGUSR1, "queued again")])
def test_a_server_gets_one_int_whatever_is_sent_to_whom(
    folder: Path, env: dict[str, str], eventually: Eventually, tmp_path: Path, number: signal.Signals, word: str
) -> None:
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" >{shlex.quote(str(tmp_path))}/asked\n')
    (tmp_path / "scontrol").chmod(0o755)
    more = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    job = log_of(folder, "bash", SCRIPT, env=env | more)
    eventually((folder / "pid").exists)
    pid = int((folder / "pid").read_text())
    for each in (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(pid, each)
    job.send_signal(number)
    eventually((folder / "signals").exists)
    job.send_signal(signal.SIGTERM)
    log, _ = job.communicate(timeout=20)
    assert job.returncode == 0
    assert (folder / "signals").read_text() == "SIGINT\n"
    assert log.splitlines()[-1].endswith(f"7: {word}")
    asked = tmp_path / "asked"
    assert (asked.read_text() if asked.exists() else "") == ("requeue 7\n" if number == signal.SIGUSR1 else "")


def test_a_server_that_fails_fails_the_job(folder: Path, env: dict[str, str]) -> None:
    (folder / "server.py").write_text("raise SystemExit(7)")
    job = log_of(folder, "bash", SCRIPT, env=env)
    log, _ = job.communicate(timeout=20)
    assert job.returncode == 7
    assert "the server has ended with status 7" in log


@pytest.fixture
def submit(folder: Path, node_names: list[str]) -> Iterator[Callable[..., str]]:
    jobs: list[str] = []
    servers = folder / "its servers"
    command = f"{shlex.quote(str(Path(sys.executable).with_name('qrpo-sandbox')))} serve"
    env = os.environ | {"QRPO_COMMAND": command, "QRPO_SANDBOX_SERVERS": str(servers)}

    def run(*options: str) -> str:
        small = ("--exclusive=user", "--cpus-per-task=1", "--mem=100", f"--nodelist={node_names[-1]}")
        words = ["sbatch", "--parsable", *small, *options, SCRIPT, "--host", "127.0.0.1", "--workers", "1"]
        done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=True)
        jobs.append(done.stdout.strip().split(";")[0])
        return jobs[-1]

    yield run
    if jobs:
        subprocess.run(["scancel", "--quiet", *jobs], check=False)


def field(job: str, name: str) -> str:
    show = subprocess.run(["scontrol", "--oneliner", "show", "job", job], capture_output=True, text=True, check=True)
    return str(re.findall(rf"\b{name}=(\S+)", show.stdout)[0])


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + 150
    while not condition():
        assert time.monotonic() < end_s, f"{what} did not come within 150 s"
        time.sleep(0.2)


def servers_in(folder: Path) -> list[str]:
    return [json.loads(path.read_text())["job"] for path in (folder / "its servers").glob("*.json")]


def test_a_job_serves_queues_itself_again_and_ends_when_it_is_cancelled(
    folder: Path, submit: Callable[..., str]
) -> None:
    # One minute is Slurm's shortest limit. It looks at the clock every 30 s or so, hence a signal well ahead.
    job = submit("--time=1", "--signal=B:USR1@50")
    wait_until(lambda: servers_in(folder) == [job], "the server")
    wait_until(lambda: field(job, "Restarts") == "1", "the way back into the queue")
    wait_until(lambda: servers_in(folder) == [job], "its next server")
    subprocess.run(["scancel", job], check=True)
    wait_until(lambda: field(job, "JobState") == "CANCELLED" and servers_in(folder) == [], "its end")
    assert field(job, "Restarts") == "1"
    log = (folder / f"qrpo-serve-{job}.log").read_text()
    assert log.count("finishing what was accepted") == 2
    assert log.splitlines()[-1].endswith(": ended")
