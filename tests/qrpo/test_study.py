"""Methods side by side: what the page says is what the runs hold."""

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.figure import Figure

from qrpo import study_plots
from qrpo.contenders import SPLITS, Outcome, contenders
from qrpo.errors import PipelineError
from qrpo.files import hash_file
from qrpo.methods import INITIAL, estimate, is_worse
from qrpo.paths import RunPaths
from qrpo.plots import svg
from qrpo.records import ScoredRollout
from qrpo.study import main
from qrpo.study_page import About, page

Make = Callable[[Path, Any], Path]


@pytest.fixture
def folders(make_run: Make, made_up: Any, tmp_path: Path) -> list[Path]:
    """Two methods with three seeds each; the second is the better one."""
    for name, algorithm, rate in (("le | paper's", "qrpo", 0.3), ("dpo", "dpo", 0.7)):
        for seed in (1, 2, 3):
            rates = {0: [0.2] * 12, 8: [rate] * 12}
            options = {"algorithm": algorithm, "seed": seed, "rates": rates, "train": True, "sampling_seeds": 1}
            make_run(tmp_path / "final" / name / str(seed), made_up(**options))
    return [tmp_path / "final" / "le | paper's", tmp_path / "final" / "dpo"]


def rewards(run: Path, when: str, split: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    lines = RunPaths(run).evaluated(when, split).read_text().splitlines()
    rollouts = [ScoredRollout.model_validate_json(line) for line in lines]
    return np.array([np.mean(rollout.rewards) for rollout in sorted(rollouts, key=lambda one: one.problem_id)])


def test_levels_gains_and_intervals_are_those_of_the_runs(folders: list[Path]) -> None:
    initial, *methods = contenders(folders)
    assert [item.name for item in (initial, *methods)] == [INITIAL, "le | paper's", "dpo"]
    for folder, method in zip(folders, methods, strict=True):
        for split in SPLITS:
            before = rewards(folder / "1", "before", split)
            after = np.array([rewards(folder / str(seed), "after", split) for seed in (1, 2, 3)])
            level, gain = method.outcomes[split, "pass_fraction"]
            assert gain is not None
            assert gain.over_seeds is not None
            assert level.mean == pytest.approx(after.mean())
            assert gain.mean == pytest.approx(after.mean() - before.mean())
            # Student's with two degrees of freedom
            half = 4.302652729911275 * after.mean(axis=1).std(ddof=1) / 3**0.5
            assert gain.over_seeds.high - gain.mean == pytest.approx(half)
            assert gain.over_problems.low < gain.mean < gain.over_problems.high
    assert initial.outcomes["heldout", "pass_fraction"].gain is None
    assert initial.outcomes["heldout", "pass_fraction"].level.over_seeds is None


def grid(make_run: Make, made_up: Any, folder: Path, rewards: dict[float, float]) -> None:
    """Runs of `dpo` by beta, with a mean reward on training problems each."""
    for beta, reward in rewards.items():
        made = made_up(algorithm="dpo", beta=beta, rates={0: [0.2] * 4, 8: [0.5] * 4}, train=True, told_reward=reward)
        config = RunPaths(make_run(folder / "tune" / "dpo" / str(beta), made)).config
        config.write_text(config.read_text().replace("beta: 0.1\n", ""))  # as where an option has its default


def test_runs_without_the_best_options_that_were_tried_are_refused(
    folders: list[Path], make_run: Make, made_up: Any, tmp_path: Path
) -> None:
    """As where a grid has grown since."""
    grid(make_run, made_up, tmp_path, {0.1: 0.5, 0.7: 0.625})
    with pytest.raises(
        PipelineError, match=r"dpo/1 has beta 0.1 .* the best run of .*tune/dpo is 0.7; choose and train"
    ):
        contenders(folders, tmp_path / "tune")


def test_the_panels_of_the_figure_have_one_axis_that_shows_all_gains(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where held-out problems gain more than training problems did."""
    initial, *methods = contenders(folders)
    heldout = initial.outcomes["heldout", "pass_fraction"].level.by_problem
    large = Outcome(estimate(np.full((3, len(heldout)), 0.9)), estimate(np.full((3, len(heldout)), 0.95)))
    methods = [
        dataclasses.replace(item, outcomes={**item.outcomes, ("heldout", "pass_fraction"): large}) for item in methods
    ]
    drawn: list[Figure] = []
    monkeypatch.setattr(study_plots, "svg", lambda figure, title: drawn.append(figure) or svg(figure, title))
    study_plots.gains([initial, *methods])
    limits = {panel.get_xlim() for panel in drawn[0].axes}
    assert len(limits) == 1
    [(low, high)] = limits
    assert low < 0
    assert high > 95


def test_a_gain_that_seeds_may_explain_is_none(folders: list[Path], make_run: Make, made_up: Any) -> None:
    """By problems alone it is one; the initial model has no seeds."""
    shutil.rmtree(folders[1])
    for seed, rate in ((1, 0.15), (2, 0.2), (3, 0.9)):
        options = {"algorithm": "dpo", "seed": seed, "rates": {0: [0.2] * 12, 8: [rate] * 12}}
        make_run(folders[1] / str(seed), made_up(**options, train=True, sampling_seeds=1))
    initial, method = contenders(folders[1:])
    outcome = method.outcomes["train", "pass_fraction"]
    assert is_worse(initial.outcomes["train", "pass_fraction"].level, outcome.level)
    text = page([initial, method], "x", About("T", "", {}))
    assert f"| {INITIAL} |  |  |" in text.split("## Which differences")[1]
    table = text.split("## Training problems")[1].split("##")[0]
    assert re.search(rf"\| {INITIAL} \|.*<u>", table)


def test_a_seed_that_is_there_twice_is_refused(folders: list[Path]) -> None:
    shutil.copytree(folders[1] / "2", folders[1] / "2 again")
    with pytest.raises(PipelineError, match="2 again has the seeds of another run"):
        contenders(folders)


def test_the_page_has_both_tables_the_grid_and_what_made_it(
    folders: list[Path], make_run: Make, made_up: Any, tmp_path: Path
) -> None:
    grid(make_run, made_up, tmp_path, {0.05: 0.25, 0.1: 0.5, 0.5: 0.375})
    made_with = {"commit": "abc", "date": "2020-01-01", "cores": 2, "processor": "P", "memory_gib": 8, "torch": "2"}
    (tmp_path / "made_with.json").write_text(json.dumps(made_with))
    RunPaths(folders[1] / "1").training_log.write_text('{"step": 1, "epoch": 0.25}\n{"step": 2, "epoch": 0.5}\n')
    arguments = [*map(str, folders), "--tried", str(tmp_path / "tune"), "--title", "T", "--command", "do it"]
    arguments += ["--made_with", str(tmp_path / "made_with.json")]
    for name in ("one", "two"):
        assert main([*arguments, "--out", str(tmp_path / name / "page.md")]) == 0
    text = (tmp_path / "one" / "page.md").read_text()
    assert text == (tmp_path / "two" / "page.md").read_text()
    assert text.startswith("# T\n")
    assert "    do it\n" in text
    assert "Begun at commit `abc`, 2020-01-01, 2 cores of P, 8 GiB; torch 2." in text
    train, heldout = text.split("## Training problems")[1].split("## Held-out problems")
    for table in (train, heldout):
        lines = [line for line in table.splitlines() if line.startswith("|")]
        assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines[:5]] == [10] * 5
        assert lines[4].startswith("| dpo | 0.1 | 1e-6 | 0.5 | **")
        assert lines[3].startswith("| le \\| paper's |")
    assert "| dpo | 0.05, 1e-6: 25.0; **0.1, 1e-6: 50.0**; 0.5, 1e-6: 37.5 |" in text
    assert "paper's" not in text.split("## What options")[1]
    pairs = text.split("## Which differences")[1].split("##")[0]
    assert "| le \\| paper's | dpo | dpo |" in pairs
    assert "| dpo |  |  |" in pairs
    for name in ("gains.svg", "log_probabilities.svg"):
        assert f"](page/{name})" in text
        ET.fromstring((tmp_path / "one" / "page" / name).read_bytes())
        assert (tmp_path / "one" / "page" / name).read_bytes() == (tmp_path / "two" / "page" / name).read_bytes()
    numbers = json.loads((tmp_path / "one" / "page" / "results.json").read_text())
    assert [item["seeds"] for item in numbers["methods"]] == [[], [1, 2, 3], [1, 2, 3]]
    tried = [(item["beta"], item["reward"]) for item in numbers["methods"][2]["tried"]]
    assert tried == [(0.05, 0.25), (0.1, 0.5), (0.5, 0.375)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.yaml", b"\xff\xfe\x00", "config.yaml cannot be read"),
        ("config.yaml", b"- 1\n", "config.yaml holds no options"),
        ("train/log.jsonl", b"{\n", "log.jsonl cannot be read"),
        ("train/log.jsonl", b"1\n", "log.jsonl is no log"),
        ("evaluate/manifest.json", b"\xff", "manifest.json cannot be read"),
        ("evaluate/after.train.jsonl", b"", "after.train.jsonl is missing or changed"),
    ],
)
def test_a_file_that_holds_something_else_is_named(
    folders: list[Path], tmp_path: Path, name: str, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folders[1] / "1"
    vouch_for_outputs(run)
    (run / name).write_bytes(content)
    assert main([*map(str, folders), "--out", str(tmp_path / "page.md")]) == 1
    assert message in capsys.readouterr().err


def vouch_for_outputs(run: Path) -> None:
    """As the stage does."""
    file = run / "evaluate" / "manifest.json"
    outputs = {path.name: hash_file(path) for path in file.parent.iterdir() if path != file}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"outputs": outputs}))


@pytest.mark.parametrize("content", [b"[1]", b"\xff", b"{"])
def test_what_is_not_known_of_a_study_is_said_before_anything_is_written(
    folders: list[Path], tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "made_with.json").write_bytes(content)
    out = ["--out", str(tmp_path / "page.md")]
    assert main([*map(str, folders), "--made_with", str(tmp_path / "made_with.json"), *out]) == 1
    assert "made_with.json" in capsys.readouterr().err
    assert main([*map(str, folders), "--tried", str(tmp_path / "nowhere"), *out]) == 1
    assert "nowhere of what was tried" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()


def test_runs_of_one_method_that_differ_in_more_than_seeds_are_refused(
    folders: list[Path], make_run: Make, made_up: Any
) -> None:
    rates = {0: [0.2] * 12, 8: [0.5] * 12}
    make_run(folders[1] / "4", made_up(algorithm="dpo", beta=7.0, seed=4, rates=rates, train=True, sampling_seeds=1))
    with pytest.raises(PipelineError, match=r"dpo/1 and .*dpo/4 differ in more than seeds"):
        contenders(folders)


def test_runs_with_other_random_numbers_are_refused(folders: list[Path], make_run: Make, made_up: Any) -> None:
    rates = {0: [0.2] * 12, 8: [0.5] * 12}
    shutil.rmtree(folders[1])
    options = {"algorithm": "dpo", "rates": rates, "train": True, "sampling_seeds": 1, "sampling_seed": 5}
    make_run(folders[1] / "1", made_up(**options))
    with pytest.raises(PipelineError, match="other random numbers; give all runs one model"):
        contenders(folders)


def test_what_cannot_be_compared_is_named(
    folders: list[Path], make_run: Make, made_up: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "page.md")]
    assert main([str(tmp_path / "nowhere"), *out]) == 1
    assert "there is no folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty"), *out]) == 1
    assert "holds no runs" in capsys.readouterr().err
    assert main([str(folders[1]), str(folders[1]), *out]) == 1
    assert "same name" in capsys.readouterr().err
    make_run(tmp_path / "bare" / "1", made_up(algorithm="dpo", rates={0: [0.2] * 12, 8: [0.5] * 12}))
    assert main([str(tmp_path / "bare"), *out]) == 1
    assert "was not evaluated on train problems" in capsys.readouterr().err
    shutil.rmtree(folders[0] / "2" / "evaluate")
    assert main([str(folders[0]), *out]) == 1
    assert "paper's/2: its evaluation is not finished" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()
