"""The choice of a run by its training problems."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qrpo.choose import main, training_reward
from qrpo.comparison import compare
from qrpo.paths import RunPaths
from qrpo.results import read_results, results_json

Make = Callable[[Path, Any], Path]


@pytest.fixture
def run(make_run: Make, made_up: Any, tmp_path: Path) -> Callable[[str, float], Path]:
    """A run with a mean reward on training problems; on held-out ones it is the better, the lower that is."""

    def make(name: str, reward: float) -> Path:
        path = make_run(tmp_path / name, made_up(algorithm="qrpo", rates={0: [0.5] * 4, 4: [1 - reward] * 4}))
        results = read_results(RunPaths(path).metrics)
        metric = compare([[0.0]], [[reward]], resamplings=10, seed=0)
        train = results["heldout"].model_copy(update={"metrics": {"pass_fraction": metric}, "selection": None})
        RunPaths(path).metrics.write_text(results_json({**results, "train": train}))
        return path

    return make


def test_the_best_on_training_problems_is_taken_and_its_configuration_written(
    run: Callable[[str, float], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [run("low", 0.1), run("high", 0.4), run("middle", 0.3)]
    out = tmp_path / "new folder" / "chosen.yaml"
    assert main([*map(str, paths), "--out", str(out)]) == 0
    assert out.read_bytes() == RunPaths(paths[1]).config.read_bytes()
    lines = capsys.readouterr().out.splitlines()
    assert [line[0] for line in lines] == [" ", "*", " "]
    assert "40.00%" in lines[1]


def test_of_equals_the_first_is_taken(run: Callable[[str, float], Path], tmp_path: Path) -> None:
    paths = [run("one", 0.2), run("two", 0.2)]
    assert main([*map(str, paths), "--out", str(tmp_path / "chosen.yaml")]) == 0
    assert (tmp_path / "chosen.yaml").read_bytes() == RunPaths(paths[0]).config.read_bytes()


def test_a_run_without_training_problems_or_without_results_is_named(
    make_run: Make, made_up: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_run(tmp_path / "heldout only", made_up(algorithm="qrpo", rates={0: [0.5] * 4, 4: [0.5] * 4}))
    out = tmp_path / "chosen.yaml"
    assert main([str(path), "--out", str(out)]) == 1
    assert (
        "heldout only was not evaluated on training problems; give it --eval_train_problems" in capsys.readouterr().err
    )
    assert not out.exists()


def test_runs_that_were_evaluated_in_different_ways_or_not_at_all_are_refused(
    run: Callable[[str, float], Path], make_run: Make, made_up: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "chosen.yaml")]
    made = made_up(algorithm="qrpo", rates={0: [0.5] * 4, 4: [0.5] * 4}, temperature=0.9)
    other = make_run(tmp_path / "other", made)
    assert main([str(run("one", 0.2)), str(other), *out]) == 1
    assert "other were evaluated with different eval_temperature" in capsys.readouterr().err
    (tmp_path / "two").mkdir()
    assert main([str(run("two", 0.3)), str(tmp_path / "two" / "nothing"), *out]) == 1
    assert "nothing: its evaluation is not finished" in capsys.readouterr().err


def test_the_reward_is_that_after_training(run: Callable[[str, float], Path]) -> None:
    assert training_reward(run("a", 0.25)) == 0.25


def changed(path: Path) -> None:
    file = RunPaths(path).stage("evaluate") / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"outputs": {"metrics.json": "0" * 64}}))


def without_number(path: Path) -> None:
    file = RunPaths(path).metrics
    results = json.loads(file.read_text())
    results["train"]["metrics"]["pass_fraction"]["after"] = math.nan
    file.write_text(json.dumps(results))


def of_pairs(path: Path) -> None:
    file = RunPaths(path).config
    file.write_text(file.read_text().replace("algorithm: qrpo", "algorithm: dpo"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (changed, "metrics.json is missing or changed"),
        (without_number, "has no pass_fraction of training problems"),
        (of_pairs, "of different algorithms"),
    ],
)
def test_numbers_that_cannot_be_trusted_are_not_chosen_by(
    run: Callable[[str, float], Path],
    tmp_path: Path,
    spoil: Callable[[Path], None],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = [run("one", 0.1), run("two", 0.2)]
    spoil(paths[0])
    assert main([*map(str, paths), "--out", str(tmp_path / "chosen.yaml")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "chosen.yaml").exists()
