"""Jobs that a crash has hidden are found again, and none is looked for that never was."""

from pathlib import Path
from typing import Any

import pytest

from slurm.errors import SlurmError
from slurm.experiments.description import Description
from slurm.experiments.events import Ended, Submitted, append
from slurm.experiments.expansion import tasks_of
from slurm.experiments.submission_record import Entry, submissions_in

STAGES = {"a": {"command": "true", "grid": {"n": {"range": 3}}}}
TASKS = tasks_of(Description.model_validate({"name": "test", "stages": STAGES}), Path("/w"))


def test_after_a_crash_jobs_without_an_event_are_found(place: Any) -> None:
    submitted = place.submit(TASKS)  # and the caller dies before it has written more than one event
    append(place.folder.attempt(TASKS[0], 1).events_path, Submitted(time=1, job="7_0", log="x"))
    assert place.recovered() == submitted[1:]


def test_jobs_of_earlier_attempts_are_no_longer_looked_for(place: Any) -> None:
    (submission,) = place.submit(TASKS[:1])
    place.folder.attempt(TASKS[0], 2).path.mkdir()
    assert submission.job == "7"
    assert place.recovered() == []


def test_the_job_of_an_attempt_whose_folder_is_gone_is_found(place: Any) -> None:
    submitted = place.submit(TASKS[:1])
    place.folder.attempt(TASKS[0], 1).path.rmdir()
    assert place.recovered() == submitted
    assert place.folder.attempt(TASKS[0], 1).path.is_dir()


def test_after_a_crash_in_sbatch_jobs_are_found_by_their_name(place: Any) -> None:
    submitted = place.submit(TASKS[:2])
    (record,) = submissions_in(place.folder)
    record.model_copy(update={"job": None}).save(place.folder)  # as it is before sbatch answers
    assert place.recovered() == submitted
    (record,) = submissions_in(place.folder)
    assert record.job == "7"


def test_jobs_that_have_ended_since_the_crash_are_found_in_accounts(place: Any) -> None:
    place.submit(TASKS[:2])
    (record,) = submissions_in(place.folder)
    record.model_copy(update={"job": None}).save(place.folder)
    place.set("queue", "")
    place.set("accounts", "7_0\n7_1\n")
    assert [item.job for item in place.recovered()] == ["7_0", "7_1"]


def test_a_submission_that_never_reached_slurm_is_forgotten(place: Any) -> None:
    place.submit(TASKS[:1])
    (record,) = submissions_in(place.folder)
    record.model_copy(update={"job": None}).save(place.folder)
    place.set("queue", "")
    assert place.recovered() == []
    assert list(submissions_in(place.folder)) == []


def test_an_attempt_that_never_reached_slurm_is_withdrawn(place: Any) -> None:
    place.submit(TASKS[:1])
    for event in (Submitted(time=1, job="7", log="x"), Ended(time=2, code=1)):
        append(place.folder.attempt(TASKS[0], 1).events_path, event)
    (record,) = submissions_in(place.folder)
    place.folder.attempt(TASKS[0], 2).path.mkdir()
    entries = {0: Entry(TASKS[0].id, 2)}
    record.model_copy(update={"uuid": "1" * 32, "job": None, "entries": entries}).save(place.folder)
    assert place.recovered() == []
    assert [attempt.number for attempt in place.folder.attempts(TASKS[0])] == [1]


def test_while_slurm_is_away_no_submission_is_forgotten(place: Any) -> None:
    place.submit(TASKS[:1])
    (record,) = submissions_in(place.folder)
    record.model_copy(update={"job": None}).save(place.folder)
    place.set("away", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n")
    with pytest.raises(SlurmError, match="Unable to contact"):
        place.recovered()
    assert len(list(submissions_in(place.folder))) == 1
