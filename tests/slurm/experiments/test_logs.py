"""What tasks have printed."""

import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm.errors import ExperimentError
from slurm.experiments.events import Ended, Submitted, append
from slurm.experiments.experiment import Experiment
from slurm.experiments.logs import follow, log_of, tail


def submitted(experiment: Experiment, number: int, path: Path) -> None:
    attempt = experiment.folder.attempt(experiment.tasks["a"], number)
    attempt.path.mkdir(parents=True)
    append(attempt.events_path, Submitted(time=number, job=str(number), log=str(path)))


LINES = st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=30)


@given(LINES, st.integers(1, 40), st.booleans())
def test_the_end_of_a_log_is_its_last_lines(lines: list[bytes], count: int, is_ended: bool) -> None:
    text = b"\n".join(lines) + b"\n" * is_ended
    with TemporaryDirectory() as folder:
        path = Path(folder, "log")
        path.write_bytes(text)
        assert tail(path, 0) == text
        whole = text.removesuffix(b"\n").split(b"\n")
        assert tail(path, count) == b"\n".join(whole[-count:]) + b"\n" * text.endswith(b"\n")


def test_of_a_long_log_only_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"line %d\n" % n for n in range(100_000)))
    assert tail(path, 2) == b"line 99998\nline 99999\n"


@pytest.mark.parametrize("lines", [0, 50])
def test_a_log_of_any_length_is_read_in_the_time_that_its_bytes_take(tmp_path: Path, lines: int) -> None:
    """Copied anew for each block, these 64 MiB are 32 GiB."""
    path = tmp_path / "log"
    path.write_bytes(bytes(2**26))
    start_s = time.process_time()
    assert len(tail(path, lines)) == 2**26
    assert time.process_time() - start_s < 2


def test_a_log_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert tail(tmp_path / "log", 5) == b""


def test_the_log_of_the_last_attempt_is_meant_or_of_one_that_is_named(
    written: Callable[..., Experiment], tmp_path: Path
) -> None:
    experiment = written("  a: {command: c}")
    task = experiment.tasks["a"]
    with pytest.raises(ExperimentError, match="a was not submitted yet"):
        log_of(experiment.folder, task, None)
    submitted(experiment, 1, tmp_path / "one")
    submitted(experiment, 2, tmp_path / "two")
    assert log_of(experiment.folder, task, None).path == tmp_path / "two"
    assert log_of(experiment.folder, task, 1).job == "1"
    with pytest.raises(ExperimentError, match="a has no attempt 3; the last is 2"):
        log_of(experiment.folder, task, 3)


def test_following_goes_on_until_the_job_has_ended(written: Callable[..., Experiment], tmp_path: Path) -> None:
    experiment = written("  a: {command: c}")
    path = tmp_path / "log"
    submitted(experiment, 1, path)
    log = log_of(experiment.folder, experiment.tasks["a"], None)
    out = io.BytesIO()
    thread = threading.Thread(target=follow, args=(log, 2, out))
    thread.start()
    with path.open("w") as stream:
        for number in range(3):
            stream.write(f"line {number}\n")
            stream.flush()
            time.sleep(0.3)
    assert thread.is_alive()
    append(log.attempt.events_path, Ended(time=1, code=0))
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert out.getvalue() == b"line 0\nline 1\nline 2\n"
