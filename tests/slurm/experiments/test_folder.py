"""The files of an experiment's folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slurm.experiments.events import Ended, append
from slurm.experiments.experiment import Experiment
from slurm.experiments.folder import write_atomically


def test_what_somebody_else_has_put_beside_attempts_is_none(written: Callable[..., Experiment]) -> None:
    experiment = written("  a: {command: c}")
    task = experiment.tasks["a"]
    for name in ("attempt-001", "attempt-001.bak", "attempt-", "attempts"):
        (experiment.folder.task_path(task) / name).mkdir()
    assert [attempt.number for attempt in experiment.folder.attempts(task)] == [1]


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files can be made there, and not filled."""

    def write(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("slurm.experiments.folder.os.fchmod", write)
    monkeypatch.setattr("slurm.experiments.events.os.write", write)


@pytest.mark.usefixtures("full_disk")
def test_what_a_full_disk_does_not_take_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(path, "text")
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="No space left") as caught:
        append(path, Ended(time=1, code=0))
    assert caught.value.filename == str(path)
