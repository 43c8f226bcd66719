"""Signs of life."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from slurm.experiments.heartbeat import STALE_S, beating, is_fresh


def test_it_beats_at_once_and_again(tmp_path: Path, eventually: Callable[[Callable[[], object]], None]) -> None:
    path = tmp_path / "heartbeat"
    with beating(path, interval_s=0.01):
        assert is_fresh(path)
        os.utime(path, (1, 1))
        eventually(lambda: is_fresh(path))


def test_it_is_stale_after_a_while_and_where_it_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat"
    assert not is_fresh(path)
    path.touch()
    past = path.stat().st_mtime - STALE_S
    os.utime(path, (past, past))
    assert not is_fresh(path)


def test_a_file_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with beating(tmp_path / "gone" / "heartbeat", interval_s=10):
        pass
    assert "No such file or directory" in caplog.text
