import os
import time
from pathlib import Path

import pytest

from sandbox.folder_clock import FolderClock


@pytest.mark.parametrize("error_s", [-3600.0, -40.0, 0.0, 40.0, 3600.0])
def test_a_files_age_is_right_whatever_this_nodes_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error_s: float
) -> None:
    file = tmp_path / "file"
    file.touch()
    now_s = time.time()
    os.utime(file, (now_s - 100, now_s - 100))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + error_s)
    assert 99 < FolderClock(tmp_path).age_s(file.stat()) < 130
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_new_file_has_no_age_though_this_nodes_clock_is_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    assert FolderClock(tmp_path).age_s((tmp_path / "file").stat()) < 20


def test_nothing_is_written_while_ages_are_credible(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    before_ns = tmp_path.stat().st_mtime_ns
    clock = FolderClock(tmp_path)
    assert all(clock.age_s(file.stat()) < 20 for _ in range(3))
    assert tmp_path.stat().st_mtime_ns == before_ns


def test_where_nothing_can_be_written_this_nodes_clock_counts(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    os.utime(file, (0, 0))
    assert FolderClock(tmp_path / "missing").age_s(file.stat()) == pytest.approx(time.time(), abs=60)


def test_what_is_dated_ahead_is_new(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    os.utime(file, (time.time() + 50, time.time() + 50))
    assert FolderClock(tmp_path).age_s(file.stat()) == 0


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
def test_a_clock_that_somebody_sets_is_looked_at_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.touch()
    new.touch()
    os.utime(old, (time.time() - 100,) * 2)
    clock = FolderClock(tmp_path)
    assert 99 < clock.age_s(old.stat()) < 130
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + step_s)
    assert clock.age_s(new.stat()) < 20
    assert 99 < clock.age_s(old.stat()) < 130
