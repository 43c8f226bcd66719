"""What is said before anything is submitted."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from slurm.errors import ExperimentError
from slurm.experiments import preflight as module
from slurm.experiments.experiment import Experiment
from slurm.experiments.preflight import bytes_of, check, size
from slurm.experiments.preparation import prepared
from slurm.experiments.quota import Room


def problems(experiment: Experiment) -> str:
    try:
        check(prepared(experiment, lambda _: experiment.tasks, is_local=True).preflight)
    except ExperimentError as error:
        return str(error)
    return ""


def test_where_nothing_is_wrong_nothing_is_said(written: Callable[..., Experiment], tmp_path: Path) -> None:
    (tmp_path / "in").write_text("x")
    assert problems(written("  a: {command: c, inputs: [in], outputs: [out/x], disk: 1M}")) == ""


def test_an_input_that_nobody_makes_is_named_once_for_all_that_need_it(written: Callable[..., Experiment]) -> None:
    stages = "  a: {command: c, inputs: [in], outputs: ['o{{ x }}'], grid: {x: {range: 9}}}"
    found = problems(written(f"{stages}\n  b: {{command: c, inputs: [o1], after: [a]}}"))
    assert found.count("is not there, and no task makes it") == 1
    assert "an input of a/x=0, a/x=1, a/x=2, a/x=3 and 5 more" in found


def test_all_problems_are_said_at_once(written: Callable[..., Experiment], tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    found = problems(written("  a: {command: c, inputs: [in], outputs: [old], disk: 900000T}"))
    assert len(found.splitlines()) == 4
    assert f"{tmp_path}/in is not there" in found
    assert f"{tmp_path}/old: there already, and not made by this experiment" in found
    assert "the outputs take up to 900000.0 TiB" in found


@pytest.mark.parametrize("output", ["test.experiment", "./test.experiment/x"])
def test_an_output_in_the_experiment_s_own_folder_is_refused_before_there_is_one(
    written: Callable[..., Experiment], output: str
) -> None:
    experiment = written(f"  a: {{command: c, outputs: [{output}]}}")
    shutil.rmtree(experiment.folder.path)
    assert "test.experiment" in problems(experiment)
    assert "in the experiment's own folder" in problems(experiment)


def test_outputs_of_a_task_that_was_tried_before_are_not_in_the_way(
    written: Callable[..., Experiment], tmp_path: Path
) -> None:
    experiment = written("  a: {command: c, outputs: [old]}")
    (tmp_path / "old").write_text("x")
    experiment.folder.attempt(experiment.tasks["a"], 1).path.mkdir(parents=True)
    assert problems(experiment) == ""


def test_where_nothing_is_to_be_submitted_nothing_is_looked_at(
    written: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "quota_at", lambda path: Room(0, 0))
    found = prepared(written("  a: {command: c}"), lambda _: (), is_local=True).preflight
    check(replace(found, todo=[]))
    with pytest.raises(ExperimentError):
        check(found)


def test_an_empty_folder_is_not_in_the_way(written: Callable[..., Experiment], tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    assert problems(written("  a: {command: c, outputs: [old]}")) == ""


def test_a_new_version_does_not_write_over_what_the_old_one_has_made(
    written: Callable[..., Experiment], tmp_path: Path
) -> None:
    first = written("  a: {command: c, outputs: [out]}")
    first.folder.attempt(first.tasks["a"], 1).path.mkdir(parents=True)
    assert "which a has made: give it another path, as by {{ version }}" in problems(
        written("  a: {command: d, outputs: [out], version: 2}")
    )
    assert problems(written("  a: {command: d, outputs: ['out{{ version }}'], version: 2}")) == ""


@pytest.mark.parametrize(
    ("room", "words"),
    [
        (Room(2**20, None), "your quota leaves 1.0 MiB, the outputs take up to 2.0 MiB"),
        (Room(0, None), "your quota leaves 0 bytes"),
        (Room(None, 3), "your quota leaves 3 files, the experiment makes 26 or more"),
        (Room(2**22, 10**6), ""),
    ],
)
def test_a_quota_is_heeded(
    written: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch, room: Room, words: str
) -> None:
    monkeypatch.setattr(module, "quota_at", lambda path: room)
    found = problems(written("  a: {command: c, outputs: ['o{{ x }}'], disk: 1M, grid: {x: [1, 2]}}"))
    assert words in found
    assert bool(words) == bool(found)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_said(written: Callable[..., Experiment], tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    assert f"{closed} cannot be written" in problems(written("  a: {command: c, outputs: [closed/x]}"))


def test_amounts_are_read_as_slurm_reads_them_and_said_for_people() -> None:
    assert [bytes_of(text) for text in ("3", "3k", "3G")] == [3 * 2**20, 3 * 2**10, 3 * 2**30]
    assert [size(count) for count in (0, 1023, 1536, 3 * 2**30)] == ["0 bytes", "1023 bytes", "1.5 KiB", "3.0 GiB"]
