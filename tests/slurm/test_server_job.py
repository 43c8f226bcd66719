"""What a job does with the signals that Slurm sends, with a stand-in for the server."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("submitit")

# Says which signals it gets; at INT it takes a moment to finish, and ends.
SERVER = """
import os, pathlib, signal, sys, time
place = pathlib.Path(sys.argv[1])
def note(number, _):
    with (place / "signals").open("a") as file:
        file.write(signal.Signals(number).name + "\\n")
    if number == signal.SIGINT:
        time.sleep(0.5)
        (place / "finished").touch()
        os._exit(0)
for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT):
    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, note)
(place / "arguments").write_text(" ".join(sys.argv[2:]))
(place / "pid.tmp").write_text(str(os.getpid()))
(place / "pid.tmp").rename(place / "pid")
while True:
    time.sleep(0.05)
"""
# As submitit does: the handler of USR2 asks for a checkpoint, which is what runs next, and ends the process.
JOB = """
import pickle, signal, sys
from slurm.server_job import ServerJob
job = pickle.loads(pickle.dumps(ServerJob(tuple(sys.argv[2:]), sys.argv[1] or None)))
def checkpoint(*_):
    again = job.checkpoint()
    sys.exit(99 if isinstance(again.function, ServerJob) and again.function is not job else 98)
signal.signal(signal.SIGUSR2, checkpoint)
job()
"""
HEARING = ("env", "--default-signal=HUP,TERM,USR1,USR2")
"""What runs the tests may have been started deaf to some of them, as by nohup."""


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[bytes]]:
    def run(*command: str, host: str = "127.0.0.1") -> subprocess.Popen[bytes]:
        return subprocess.Popen([*HEARING, sys.executable, "-c", JOB, host, *command], stderr=subprocess.PIPE)

    return run


@pytest.fixture
def server(tmp_path: Path) -> tuple[str, ...]:
    return sys.executable, "-c", SERVER, str(tmp_path)


def ended(job: subprocess.Popen[bytes]) -> int:
    job.communicate(timeout=20)
    return job.returncode


def test_a_server_gets_one_int_whatever_is_sent_to_whom(
    start: Callable[..., subprocess.Popen[bytes]],
    server: tuple[str, ...],
    tmp_path: Path,
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    job = start(*server)
    eventually((tmp_path / "pid").exists)
    pid = int((tmp_path / "pid").read_text())
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(pid, number)
    job.send_signal(signal.SIGTERM)
    eventually((tmp_path / "signals").exists)
    job.send_signal(signal.SIGTERM)
    assert ended(job) == 0
    assert (tmp_path / "finished").exists()
    assert (tmp_path / "signals").read_text() == "SIGINT\n"


def test_ahead_of_a_time_limit_the_server_finishes_before_the_job_goes_on(
    start: Callable[..., subprocess.Popen[bytes]],
    server: tuple[str, ...],
    tmp_path: Path,
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    job = start(*server)
    eventually((tmp_path / "pid").exists)
    job.send_signal(signal.SIGUSR2)
    eventually((tmp_path / "signals").exists)
    job.send_signal(signal.SIGTERM)  # the limit itself, while the server finishes
    assert ended(job) == 99
    assert (tmp_path / "finished").exists()
    assert (tmp_path / "signals").read_text() == "SIGINT\n"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT, signal.SIGKILL])
def test_a_server_finishes_when_its_job_is_ended_by_another_signal(
    start: Callable[..., subprocess.Popen[bytes]],
    server: tuple[str, ...],
    tmp_path: Path,
    eventually: Callable[[Callable[[], object]], None],
    number: signal.Signals,
) -> None:
    job = start(*server)
    eventually((tmp_path / "pid").exists)
    job.send_signal(number)
    ended(job)
    eventually((tmp_path / "finished").exists)
    assert (tmp_path / "signals").read_text() == "SIGINT\n"


@pytest.mark.parametrize(("end", "code"), [("sys.exit(7)", 7), ("os.kill(os.getpid(), 9)", 137)])
def test_a_server_that_fails_fails_the_job_and_has_the_last_word(
    start: Callable[..., subprocess.Popen[bytes]], end: str, code: int
) -> None:
    job = start(sys.executable, "-c", f"import os, sys; print('no image', file=sys.stderr, flush=True); {end}")
    _, stderr = job.communicate(timeout=20)
    assert job.returncode == code
    assert stderr == b"no image\n"


def test_it_listens_where_it_is_told_or_where_other_nodes_reach_it(
    start: Callable[..., subprocess.Popen[bytes]],
    server: tuple[str, ...],
    tmp_path: Path,
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    job = start(*server, "--port", "0", host="127.0.0.7")
    eventually((tmp_path / "pid").exists)
    job.terminate()
    assert ended(job) == 0
    assert (tmp_path / "arguments").read_text() == "--port 0 --host 127.0.0.7"


def test_a_signal_that_comes_while_the_server_is_started_is_not_lost(server: tuple[str, ...]) -> None:
    code = (
        "import os, signal\nimport slurm.server_job\nstart = slurm.server_job.Child\ndef early(*words, **options):\n"
        "    server = start(*words, **options)\n    os.kill(os.getpid(), signal.SIGTERM)\n    return server\n"
        "slurm.server_job.Child = early\n"
    )
    job = subprocess.Popen([sys.executable, "-c", code + JOB, "127.0.0.1", *server], stderr=subprocess.PIPE)
    assert ended(job) == 0
