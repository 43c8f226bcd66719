"""What came out of an experiment."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from slurm.experiments.experiment import Experiment, described, folder_of
from slurm.experiments.results import TaskResult, results_of
from slurm.experiments.standing import Standing
from slurm.experiments.state import Kind, State

STAGES = "  b: {command: c, outputs: ['{{ d }}/b.txt']}\n  a: {command: c, outputs: ['{{ d }}/deep/a']}"


def results(experiment: Experiment, kind: Kind = Kind.SUCCEEDED, *, has_hashes: bool = True) -> list[TaskResult]:
    states = [State(task=task, kind=kind, attempt=3, job="9") for task in experiment.tasks.values()]
    return results_of(Standing(experiment=experiment, states=states, left=[]), has_hashes=has_hashes)


def made(folder: Path) -> None:
    (folder / "deep" / "a").mkdir(parents=True)
    (folder / "deep" / "a" / "model").write_text("weights")
    (folder / "deep" / "a" / "config").write_text("{}")
    (folder / "b.txt").write_text("b")


def test_outputs_are_told_with_size_and_hash(written: Callable[..., Experiment], tmp_path: Path) -> None:
    made(tmp_path / "runs")
    first, second = results(written(STAGES, "variables: {d: runs}"))
    assert (first["id"], second["id"]) == ("a", "b")
    assert second["outputs"] == [{"path": "b.txt", "bytes": 1, "sha256": hashlib.sha256(b"b").hexdigest()}]
    assert first["outputs"][0]["path"] == "deep/a"
    assert first["outputs"][0]["bytes"] == len("weights{}")


def test_two_runs_with_the_same_outputs_have_the_same_results_wherever_they_lie(
    written: Callable[..., Experiment], tmp_path: Path
) -> None:
    made(tmp_path / "one")
    made(tmp_path / "elsewhere" / "two")
    first = results(written(STAGES, "variables: {d: one}"))
    experiment = written(STAGES, "variables: {d: one}")
    file = Path(experiment.manifest.file)
    second = described(file, (f"d={tmp_path}/elsewhere/two",), folder_of(tmp_path / "other.experiment"))
    assert results(second) == first
    (tmp_path / "elsewhere" / "two" / "deep" / "a" / "model").write_text("weightS")
    assert results(second) != first


def test_a_file_of_another_name_is_another_result(written: Callable[..., Experiment], tmp_path: Path) -> None:
    made(tmp_path / "runs")
    experiment = written(STAGES, "variables: {d: runs}")
    before = results(experiment)
    shutil.move(tmp_path / "runs/deep/a/model", tmp_path / "runs/deep/a/model2")
    assert results(experiment) != before


def test_what_has_not_succeeded_has_no_outputs(written: Callable[..., Experiment], tmp_path: Path) -> None:
    made(tmp_path / "runs")
    found = results(written(STAGES, "variables: {d: runs}"), Kind.FAILED)
    assert found == [{"id": "a", "succeeded": False, "outputs": []}, {"id": "b", "succeeded": False, "outputs": []}]


def test_hashes_can_be_left_out(written: Callable[..., Experiment], tmp_path: Path) -> None:
    made(tmp_path / "runs")
    found = results(written(STAGES, "variables: {d: runs}"), has_hashes=False)
    assert [(item["bytes"], item["sha256"]) for result in found for item in result["outputs"]] == [(9, None), (1, None)]
