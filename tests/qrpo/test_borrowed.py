"""Runs on the completions of another run: real stages on the toy model."""

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.torch import load_file, save_file

from qrpo.collect import collect
from qrpo.config import parse
from qrpo.display import Display
from qrpo.errors import ConfigError, PipelineError, StaleFolderError
from qrpo.initial_evaluations import InitialEvaluations
from qrpo.interrupts import Interrupts
from qrpo.train_code import run

Start = Callable[..., str]

OPTIONS = """
output_dir: nowhere
max_new_tokens: 6
num_completions: 8
batch_completions: 8
eval_completions: 2
kl_completions: 1
bootstrap_samples: 20
max_steps: 2
learning_rate: 1.0e-2
per_device_train_batch_size: 4
gradient_checkpointing: false
logging_steps: 1
sandbox_workers: 2
use_cpu: true
"""


@pytest.fixture(scope="session")
def start(code_model_dir: Path, toy_problems: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Runs the pipeline in a folder; returns what it shows."""
    path = tmp_path_factory.mktemp("config") / "toy.yaml"
    path.write_text(OPTIONS)

    def start(output: Path, *options: object) -> str:
        config = parse(
            [
                *("--config", str(path), "--model_name_or_path", str(code_model_dir), "--bf16", "false"),
                *("--train_problems", str(toy_problems / "train.jsonl")),
                *("--heldout_problems", str(toy_problems / "heldout.jsonl")),
                *("--output_dir", str(output), *map(str, options)),
            ]
        )
        console = Console(file=io.StringIO(), width=200)
        run(config, Display(console), Interrupts())
        return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]

    return start


@pytest.fixture(scope="session")
def base(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Completions and rewards alone."""
    folder = tmp_path_factory.mktemp("base") / "the base"
    start(folder, "--stage", "generate")
    start(folder, "--stage", "score")
    return folder


@pytest.fixture(scope="session")
def own_run(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "run"
    start(folder)
    return folder


@pytest.fixture(scope="session")
def borrower(start: Start, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("borrower") / "run"
    start(folder, "--completions_from", base)
    return folder


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_a_run_on_anothers_completions_is_the_run_with_its_own(
    start: Start, base: Path, own_run: Path, tmp_path: Path
) -> None:
    before = state(base)
    shown = start(tmp_path / "run", "--completions_from", base)
    assert state(base) == before
    assert shown.count("by another run") == 2
    assert str(base / "score") in shown
    for name in ("train/model/model.safetensors", "train/log.jsonl", "evaluate/metrics.json"):
        assert (tmp_path / "run" / name).read_bytes() == (own_run / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "run").iterdir() if path.is_dir()) == [
        *("evaluate", "reference", "report", "train"),
    ]


def test_it_can_be_started_again_and_by_stage(start: Start, base: Path, borrower: Path) -> None:
    stamp = (borrower / "train" / "log.jsonl").stat().st_mtime_ns
    assert start(borrower, "--completions_from", base).count("done before") == 3
    start(borrower, "--completions_from", base, "--stage", "report")
    assert (borrower / "train" / "log.jsonl").stat().st_mtime_ns == stamp


def test_all_algorithms_and_seeds_collect_on_the_same_completions(
    start: Start, base: Path, borrower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One command each, from another working folder, with a path that was relative when the run was started.

    Their initial model is evaluated with the same completions; options of all stages are collected.
    """
    before = state(base)
    kinds = {name: ("--algorithm", name) for name in ("dpo", "rebel", "simpo", "sft")} | {"again": ("--seed", "7")}
    for name, options in kinds.items():
        monkeypatch.chdir(base.parent)
        start(tmp_path / name, "--completions_from", base.name, *options)
    assert state(base) == before
    monkeypatch.chdir(tmp_path)
    runs = [borrower, *(tmp_path / name for name in kinds)]
    for split in ("train", "heldout"):
        assert len({(run / "evaluate" / f"before.{split}.jsonl").read_bytes() for run in runs}) == 1
    assert len({(run / "train" / "model" / "model.safetensors").read_bytes() for run in runs}) == len(runs)
    console = Console(file=io.StringIO(), width=200)
    collect(runs, tmp_path / "out", console)
    assert "6 runs" in console.file.getvalue()  # type: ignore[attr-defined]
    lines = (tmp_path / "out" / "results.csv").read_text()
    assert lines.count('""num_completions"": 8') == lines.count('""which_block"": ""last""') == 6 * 2
    table = (tmp_path / "out" / "table.md").read_text().splitlines()
    seeds = {row.split("|")[1].strip(): row.split("|")[-3].strip() for row in table if row.startswith("|")}
    once = dict.fromkeys(("initial model", "DPO", "REBEL", "SimPO", "SFT"), "1")
    assert seeds == {"method": "seeds", "---": "---:", "QRPO": "2", **once}


def test_other_options_than_the_completions_were_made_with_are_named(start: Start, base: Path, tmp_path: Path) -> None:
    with pytest.raises(StaleFolderError) as caught:
        start(tmp_path / "run", "--completions_from", base, "--num_completions", 4, "--sampling_seed", 1)
    assert caught.value.differences == (
        "num_completions: there 8, asked for 4",
        "sampling_seed: there 0, asked for 1",
    )
    assert "another --completions_from" in str(caught.value)
    assert "delete" not in str(caught.value)
    with pytest.raises(StaleFolderError, match="which_block: there 'last', asked for 'first'"):
        start(tmp_path / "run", "--completions_from", base, "--which_block", "first")
    assert not (tmp_path / "run").exists()


def test_problems_that_have_changed_are_named(start: Start, base: Path, toy_problems: Path, tmp_path: Path) -> None:
    other = tmp_path / "train.jsonl"
    other.write_text((toy_problems / "train.jsonl").read_text().replace("Define", "Write"))
    with pytest.raises(StaleFolderError, match="input train problems"):
        start(tmp_path / "run", "--completions_from", base, "--train_problems", other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda base: shutil.rmtree(base / "score"), r"score is not there.*First run: .* --stage score$"),
        (
            lambda base: unfinish(base / "generate"),
            "not finished.*First run: .*code --config '.*/b ase/config.yaml' --output_dir '.*/b ase' --stage generate$",
        ),
        (
            lambda base: (shutil.rmtree(base / "score"), (base / "score.shards").mkdir()),
            "score is not there.*--stage merge$",
        ),
        (
            lambda base: (shutil.rmtree(base / "score"), (base / "config.yaml").unlink()),
            "--stage score, without --completions_from, first",
        ),
        (lambda base: (base / "score" / "scored.jsonl").write_text("{}\n"), "scored.jsonl is missing or changed"),
        (shutil.rmtree, "there is no .*/b ase, .*if that was moved"),
        (
            lambda base: (base / "config.yaml").write_text("completions_from: /else/where\n"),
            "takes its completions from /else/where itself; give --completions_from /else/where",
        ),
        (lambda base: (base / "config.yaml").write_text("a: ["), "config.yaml cannot be read"),
    ],
)
def test_completions_that_cannot_be_taken_are_refused_with_what_to_do(
    start: Start, base: Path, tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    mine = Path(shutil.copytree(base, tmp_path / "b ase"))
    change(mine)
    with pytest.raises(PipelineError, match=message):
        start(tmp_path / "run", "--completions_from", mine)
    assert not (tmp_path / "run").exists()


def unfinish(stage: Path) -> None:
    manifest = json.loads((stage / "manifest.json").read_text())
    (stage / "manifest.json").write_text(json.dumps({**manifest, "done": False}))


def test_own_completions_and_anothers_exclude_each_other(
    start: Start, base: Path, own_run: Path, borrower: Path, tmp_path: Path
) -> None:
    with pytest.raises(PipelineError, match=r"completions of its own \(generate, score\)"):
        start(own_run, "--completions_from", base)
    (tmp_path / "run" / "score.shards").mkdir(parents=True)
    with pytest.raises(PipelineError, match=r"completions of its own \(score\)"):
        start(tmp_path / "run", "--completions_from", base)
    with pytest.raises(PipelineError, match=f"takes its completions from {base}; give --completions_from"):
        start(borrower)


@pytest.mark.parametrize("stage", ["generate", "score", "merge"])
def test_the_stages_of_another_run_are_not_done_here(start: Start, base: Path, tmp_path: Path, stage: str) -> None:
    with pytest.raises(ConfigError, match=f"stage {stage} is that run's"):
        start(tmp_path / "run", "--completions_from", base, "--stage", stage)


def test_a_run_whose_completions_are_gone_or_new_is_skipped_by_name_and_found_where_they_were_moved(
    start: Start, base: Path, borrower: Path, tmp_path: Path
) -> None:
    mine, folder = Path(shutil.copytree(base, tmp_path / "base")), Path(shutil.copytree(borrower, tmp_path / "run"))
    start(folder, "--completions_from", mine)
    mine.rename(tmp_path / "moved")
    assert f"there is no {mine}, whose completions it takes" in skipped(folder, borrower)
    start(folder, "--completions_from", tmp_path / "moved")
    assert skipped(folder) == ""
    shutil.rmtree(tmp_path / "moved")
    start(tmp_path / "moved", "--sampling_seed", 1, "--stage", "generate")
    start(tmp_path / "moved", "--sampling_seed", 1, "--stage", "score")
    assert "was made anew since it was trained on it" in skipped(folder, borrower)


def skipped(*runs: Path) -> str:
    console = Console(file=io.StringIO(), width=400)
    collect(runs, runs[0].parent / "collected", console)
    written: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "".join(line for line in written.splitlines() if line.startswith("skipped"))


def test_runs_that_share_a_reference_folder_convert_and_evaluate_the_initial_model_once(
    start: Start, tmp_path: Path
) -> None:
    """Nothing of what a run finds depends on where that came from, nor on what else is in the folder."""
    warm = ("--policy_temperature", "0.6", "--reference_dir", tmp_path / "shared")
    base, alone = tmp_path / "base", tmp_path / "alone"
    start(base, *warm, "--stage", "generate")
    start(base, *warm, "--stage", "score")
    runs = [tmp_path / name for name in ("first", "second")]
    shown = [start(run, *warm, "--completions_from", base, "--seed", seed) for seed, run in enumerate(runs)]
    assert ["before training, heldout problems" in text for text in shown] == [True, False]
    assert ["judging before" in text for text in shown] == [True, False]
    assert "completions before training: those of another run" in shown[1]
    assert [(run / "reference").exists() for run in (base, *runs)] == [False] * 3
    assert len(list((tmp_path / "shared").glob("*-T0.6"))) == 1
    kept = sorted((tmp_path / "shared" / "evaluations").iterdir())
    assert [path.name.split(".")[1:] for path in kept] == [["heldout", "jsonl"], ["train", "jsonl"]]
    start(alone, "--policy_temperature", "0.6", "--completions_from", base, "--seed", 1)
    for name in ("before.train.jsonl", "before.heldout.jsonl", "after.heldout.jsonl", "metrics.json"):
        assert (runs[1] / "evaluate" / name).read_bytes() == (alone / "evaluate" / name).read_bytes()


@pytest.mark.parametrize(
    "other",
    [
        ("--eval_completions", 1),
        ("--eval_temperature", 0.5),
        ("--sampling_seed", 3),
        ("--reward", "all"),
        ("--cpu_s", 3),
        ("--policy_temperature", 0.5),
        ("--sampling_dtype", "bfloat16"),
        ("--max_tests", 1),
    ],
)
def test_another_evaluation_of_the_initial_model_is_made_anew(
    start: Start, tmp_path: Path, other: tuple[str, object]
) -> None:
    shared = ("--reference_dir", tmp_path / "shared")
    start(tmp_path / "first", *shared)
    assert "judging before" in start(tmp_path / "second", *shared, *other)
    assert len(list((tmp_path / "shared" / "evaluations").iterdir())) == 4


def test_another_model_at_the_same_place_is_converted_and_evaluated_anew(
    start: Start, code_model_dir: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    options = ("--model_name_or_path", model, "--policy_temperature", "0.6", "--reference_dir", tmp_path / "shared")
    shutil.copytree(code_model_dir, model)
    start(tmp_path / "first", *options)
    weights = load_file(model / "model.safetensors")
    save_file({name: 2 * tensor for name, tensor in weights.items()}, model / "model.safetensors", {"format": "pt"})
    assert "judging before" in start(tmp_path / "second", *options)
    assert len(list((tmp_path / "shared").glob("*-T0.6"))) == 2


def test_of_two_evaluations_at_the_same_time_both_have_the_one_that_was_done_first(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verdict at the edge of a limit may differ between two runs."""
    shared = ("--reference_dir", tmp_path / "shared")
    start(tmp_path / "first", *shared)
    kept = {path.name: path.read_text() for path in (tmp_path / "shared" / "evaluations").iterdir()}
    other = {name: re.sub(r'"rewards":\[[^,\]]*', '"rewards":[0.375', text) for name, text in kept.items()}

    def read_nothing(self: InitialEvaluations, problems: object) -> dict[str, object]:
        for name, text in other.items():
            (tmp_path / "shared" / "evaluations" / name).write_text(text)
        return {}

    monkeypatch.setattr(InitialEvaluations, "read", read_nothing)
    assert "judging before" in start(tmp_path / "second", *shared)
    for path in (tmp_path / "shared" / "evaluations").iterdir():
        assert path.read_text() == other[path.name] != kept[path.name]
        split = path.name.split(".")[1]
        assert (tmp_path / "second" / "evaluate" / f"before.{split}.jsonl").read_text() == other[path.name]


def test_kept_completions_that_were_cut_are_named(start: Start, tmp_path: Path) -> None:
    shared = ("--reference_dir", tmp_path / "shared")
    start(tmp_path / "first", *shared)
    [path] = (tmp_path / "shared" / "evaluations").glob("*.train.jsonl")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(PipelineError, match=r"train.jsonl lacks completions of the initial model; delete it"):
        start(tmp_path / "second", *shared)


def test_a_shared_folder_that_cannot_be_written_costs_a_run_nothing(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "shared").mkdir()
    for name in ("logps", "evaluations"):
        (tmp_path / "shared" / name).write_text("")
    start(tmp_path / "run", "--reference_dir", tmp_path / "shared")
    assert (tmp_path / "run" / "report" / "report.html").is_file()
    for name in ("logps", "evaluations"):
        assert re.search(f"shared/{name}/.* cannot be (written|kept)", caplog.text)


def test_the_shared_reference_folder_is_in_the_runs_configuration(start: Start, tmp_path: Path) -> None:
    start(tmp_path / "run", "--reference_dir", tmp_path / "shared", "--stage", "generate")
    again = parse(["--config", str(tmp_path / "run" / "config.yaml"), "--bf16", "false"])
    assert again.paths.reference == tmp_path / "shared"
