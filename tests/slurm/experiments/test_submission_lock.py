"""Of two that submit one waits, or is refused."""

import threading
import time
from pathlib import Path

import pytest

from slurm.errors import ExperimentError
from slurm.experiments.folder import ExperimentFolder
from slurm.experiments.submission_lock import local_holder, submitting


@pytest.fixture
def folder(tmp_path: Path) -> ExperimentFolder:
    return ExperimentFolder(tmp_path)


def test_of_two_that_submit_one_waits(folder: ExperimentFolder) -> None:
    order = []

    def other() -> None:
        with submitting(folder):
            order.append("second")

    thread = threading.Thread(target=other)
    with submitting(folder):
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join(timeout=20)
    assert order == ["first", "second"]


def test_while_tasks_run_here_others_are_refused_and_can_tell_who_it_is(folder: ExperimentFolder) -> None:
    assert local_holder(folder) is None
    with submitting(folder, for_long=True):
        assert local_holder(folder) is not None
        for for_long in (False, True):
            with pytest.raises(ExperimentError, match="runs its tasks"), submitting(folder, for_long=for_long):
                pass
    assert local_holder(folder) is None
    with submitting(folder):
        pass


def test_what_a_killed_run_has_left_names_nobody(folder: ExperimentFolder) -> None:
    (folder.path / ".local").write_text("1 host")
    assert local_holder(folder) is None
