import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import accelerate.utils
import pytest
import yaml
from rich.console import Console

from qrpo.artifacts import read_manifest
from qrpo.collect import collect
from qrpo.config import CONFIGS, parse
from qrpo.display import Bar, Display
from qrpo.errors import ConfigError, PipelineError, StaleFolderError, ToldError
from qrpo.interrupts import Interrupts
from qrpo.journal import read_records
from qrpo.records import ScoredRollout
from qrpo.run_options import STAGES
from qrpo.train_code import as_command, main, run
from qrpo.training_rows import training_rows

FINAL = [
    "generate/completions.jsonl",
    "score/scored.jsonl",
    "train/model/model.safetensors",
    "train/log.jsonl",
    "evaluate/before.train.jsonl",
    "evaluate/before.heldout.jsonl",
    "evaluate/after.train.jsonl",
    "evaluate/after.heldout.jsonl",
    "evaluate/metrics.json",
]


class InterruptingDisplay(Display):
    """Sends SIGINT when a bar has advanced so many times."""

    def __init__(self, what: str, advances: int) -> None:
        super().__init__(Console(file=io.StringIO()))
        self._what = what
        self._left = advances

    @contextmanager
    def bar(self, what: str, *, total: int, done: int = 0, unit: str) -> Iterator[Bar]:
        with super().bar(what, total=total, done=done, unit=unit) as bar:
            advance = bar.advance

            def counted(count: int = 1, note: str | None = None) -> None:
                advance(count, note)
                if what.startswith(self._what):
                    self._left -= 1
                    if self._left == 0:
                        signal.raise_signal(signal.SIGINT)

            bar.advance = counted  # type: ignore[method-assign]
            yield bar


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


OPTIONS = """
output_dir: nowhere
sampling_seed: 42
max_new_tokens: 6
num_completions: 32
batch_completions: 32
eval_completions: 16
kl_completions: 6
bootstrap_samples: 200
sandbox_workers: 2
score_chunk: 1
use_cpu: true
bf16: false
gradient_checkpointing: false
learning_rate: 1.0e-2
lr_scheduler_type: constant
num_train_epochs: 6
per_device_train_batch_size: 8
gradient_accumulation_steps: 2
logging_steps: 1
save_steps: 8
"""
"""A whole run of the toy model in two seconds: three batches a sampling, 36 steps."""


@pytest.fixture(scope="session")
def arguments(code_model_dir: Path, toy_problems: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = tmp_path_factory.mktemp("config") / "toy.yaml"
    path.write_text(OPTIONS)
    return [
        *("--config", str(path), "--model_name_or_path", str(code_model_dir)),
        *("--train_problems", str(toy_problems / "train.jsonl")),
        *("--heldout_problems", str(toy_problems / "heldout.jsonl")),
    ]


def start(output: Path, arguments: list[str], display: Display | None = None, *more: str) -> None:
    interrupts = Interrupts()
    interrupts.install()
    config = parse([*arguments, "--output_dir", str(output), *more])
    run(config, display or Display(Console(file=io.StringIO())), interrupts)


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory, arguments: list[str]) -> Path:
    """A run that nobody interrupted."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    folder = tmp_path_factory.mktemp("run") / "whole"
    start(folder, arguments)
    for number, handler in before.items():
        signal.signal(number, handler)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FINAL}


def test_every_stage_leaves_its_files_and_a_manifest(whole_run: Path) -> None:
    for name in STAGES:
        manifest = read_manifest(whole_run / name)
        assert manifest is not None
        assert manifest.done
        assert manifest.seconds > 0
        assert manifest.outputs
    assert (whole_run / "config.yaml").is_file()
    assert not list(whole_run.rglob("*.part.jsonl"))


def test_training_raises_the_reward_of_the_toy_model(whole_run: Path) -> None:
    found = json.loads((whole_run / "report" / "report.json").read_text())
    # With ten sampling seeds by 0.1 to 0.3.
    assert found["train"]["pass_fraction"]["after"] > found["train"]["pass_fraction"]["before"] + 0.05


@pytest.mark.parametrize(
    ("what", "advances"),
    [
        ("reference completions", 1),
        ("judging", 20),
        ("training", 2),
        ("training", 13),
        ("after training, train", 1),
        ("KL to the reference", 1),
        ("judging after", 30),
    ],
)
def test_interrupted_and_started_again_it_ends_in_the_same_files(
    whole_run: Path, arguments: list[str], tmp_path: Path, handlers: None, what: str, advances: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "run", arguments, InterruptingDisplay(what, advances))
    assert not (tmp_path / "run" / "report").exists()
    start(tmp_path / "run", arguments)
    found, wanted = contents(tmp_path / "run"), contents(whole_run)
    assert [name for name in FINAL if found[name] != wanted[name]] == []


def test_a_finished_run_started_again_does_nothing_but_show_its_table(
    whole_run: Path, arguments: list[str], handlers: None
) -> None:
    stamps = {path: path.stat().st_mtime_ns for path in whole_run.rglob("*") if path.name != "config.yaml"}
    console = Console(file=io.StringIO(), width=120)
    start(whole_run, arguments, Display(console))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert written.count("done before") == len(STAGES)
    assert "fraction of tests passed" in written
    for path, stamp in stamps.items():
        if path.is_file():
            assert path.stat().st_mtime_ns == stamp, path


def test_another_configuration_is_refused_before_any_work(
    whole_run: Path, arguments: list[str], handlers: None
) -> None:
    with pytest.raises(StaleFolderError, match=r"learning_rate: there 0\.01, asked for 0\.5") as caught:
        start(whole_run, arguments, None, "--learning_rate", "0.5")
    assert caught.value.stage == "train"


def test_options_that_change_no_number_do_not_count(whole_run: Path, arguments: list[str], handlers: None) -> None:
    start(whole_run, arguments, None, "--sandbox_workers", "1", "--save_steps", "100")


def test_stages_run_alone_and_in_order(whole_run: Path, arguments: list[str], tmp_path: Path, handlers: None) -> None:
    with pytest.raises(PipelineError, match="stage score needs completions"):
        start(tmp_path / "run", arguments, None, "--stage", "score")
    start(tmp_path / "run", arguments, None, "--stage", "generate")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["config.yaml", "generate"]
    start(tmp_path / "run", arguments, None, "--stage", "score")
    assert (tmp_path / "run" / FINAL[1]).read_bytes() == (whole_run / FINAL[1]).read_bytes()


def test_lora_gives_a_whole_model_and_its_adapter(
    whole_run: Path, arguments: list[str], tmp_path: Path, handlers: None
) -> None:
    start(tmp_path / "run", arguments, None, "--use_peft", "--lora_target_modules", "q_proj", "v_proj")
    model = tmp_path / "run" / "train" / "model" / "model.safetensors"
    assert (tmp_path / "run" / "train" / "adapter" / "adapter_config.json").is_file()
    assert model.stat().st_size == (whole_run / FINAL[2]).stat().st_size
    assert model.read_bytes() != (whole_run / FINAL[2]).read_bytes()
    assert (tmp_path / "run" / "report" / "report.json").is_file()


def test_a_mistake_is_one_message_and_status_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, handlers: None
) -> None:
    assert main(["--model_name_or_path", "/no/such/model", "--output_dir", str(tmp_path / "o"), "--bf16", "false"]) == 1
    assert capsys.readouterr().err == "error: there is no folder /no/such/model\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PipelineError("no rows"), "error in process 1: no rows\n"),
        (OSError("disk full"), "error in process 1: disk full\n"),
        (ToldError("no rows"), ""),
        (ConfigError("no model"), ""),
    ],
)
def test_of_several_processes_the_first_says_what_is_wrong_and_another_only_if_that_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], handlers: None, error: Exception, said: str
) -> None:
    """Whatever all run into; the launcher ends the others while they wait."""
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        assert capsys.readouterr().err == ""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(time, "sleep", wait)
    for index in ("1", "0"):
        monkeypatch.setenv("RANK", index)
        assert as_command(fail, []) == 1
        assert capsys.readouterr().err == (said if index == "1" else f"error: {error}\n")
        assert len(waited) == 1


def test_other_processes_do_not_look_at_folders_that_the_first_refuses(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handlers: None
) -> None:
    """Completions of a run that is gone."""
    places = ["--output_dir", str(tmp_path / "run"), "--completions_from", str(tmp_path / "gone")]
    config = parse([*arguments, *places, "--stage", "train"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(accelerate.utils, "broadcast_object_list", lambda _: ["the first's error"])
    with pytest.raises(ToldError, match="the first's error"):
        run(config, Display(Console(file=io.StringIO())), Interrupts())


def test_ctrl_c_while_modules_are_imported_leaves_no_traceback(arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "qrpo.train_code", *arguments, "--output_dir", str(tmp_path / "o")]
    code = (
        "import runpy, signal, sys, threading\n"
        "threading.Timer(0.4, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)).start()\n"
        f"sys.argv = {command[2:]!r}\n"
        "runpy.run_module('qrpo.train_code', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert "the same command continues here" in done.stderr


@pytest.mark.parametrize(
    ("options", "trained"),
    [
        (["--algorithm", "dpo", "--beta", "0.3", "--ties", "mid"], "pairs"),
        (["--algorithm", "rebel", "--pairing", "disjoint", "--pairs_per_prompt", "4"], "pairs"),
        (["--algorithm", "simpo", "--beta", "2.0"], "pairs"),
        (["--algorithm", "sft"], "solutions"),
        (["--ties", "exact", "--references", "leave_one_out", "--distance", "huber"], "completions"),
        (["--pairing", "disjoint", "--selector", "random", "--transform", "sqrt"], "completions"),
    ],
)
def test_every_algorithm_runs_on_the_same_scored_completions(
    whole_run: Path, arguments: list[str], tmp_path: Path, handlers: None, options: list[str], trained: str
) -> None:
    folder = tmp_path / "run"
    for stage in ("generate", "score"):
        shutil.copytree(whole_run / stage, folder / stage)
    shown = io.StringIO()
    start(folder, arguments, Display(Console(file=shown, width=200)), *options)
    assert ("dpo has no use for ties=mid" in shown.getvalue()) == ("dpo" in options)
    assert contents(folder)[FINAL[1]] == contents(whole_run)[FINAL[1]]
    assert contents(folder)[FINAL[2]] != contents(whole_run)[FINAL[2]]
    metrics = json.loads((folder / "evaluate" / "metrics.json").read_text())["train"]["metrics"]["pass_fraction"]
    assert metrics["after"] > metrics["before"]
    assert trained in (folder / "report" / "report.html").read_text()


def test_where_no_row_is_left_to_train_on_the_options_that_took_them_are_named(
    whole_run: Path, arguments: list[str], tmp_path: Path, handlers: None
) -> None:
    for stage in ("generate", "score"):
        shutil.copytree(whole_run / stage, tmp_path / "run" / stage)
    with pytest.raises(PipelineError, match=r"0 of 96 rows; left out .*longer than max_length=2 tokens"):
        start(tmp_path / "run", arguments, None, "--stage", "train", "--max_length", "2")


def evaluated_again(whole_run: Path, folder: Path, *without: str) -> Path:
    """A folder with all stages before evaluation done, less some files."""
    for stage in ("generate", "score", "train"):
        shutil.copytree(whole_run / stage, folder / stage)
    for name in without:
        shutil.rmtree(folder / name)
    return folder


def test_every_checkpoint_is_evaluated_and_the_best_of_one_half_reported_on_the_other(
    whole_run: Path, arguments: list[str], tmp_path: Path, handlers: None
) -> None:
    folder = evaluated_again(whole_run, tmp_path / "run")
    shutil.copytree(folder / "train" / "checkpoint-8", folder / "train" / "checkpoint-9")  # as an interruption leaves
    state = folder / "train" / "checkpoint-9" / "trainer_state.json"
    state.write_text(state.read_text().replace('"global_step": 8', '"global_step": 9'))
    options = ("--eval_checkpoints", "--eval_seeds", "2", "--eval_completions", "8", "--eval_top_p", "0.9")
    with pytest.raises(KeyboardInterrupt):
        start(folder, arguments, InterruptingDisplay("step 24", 1), *options)
    start(folder, arguments, None, *options)

    metrics = json.loads((folder / "evaluate" / "metrics.json").read_text())
    halves = json.loads((folder / "evaluate" / "halves.json").read_text())
    selection = metrics["heldout"]["selection"]
    assert metrics["train"]["selection"] is None
    assert [item["step"] for item in selection["steps"]] == [0, 8, 16, 24, 32, 36]
    assert selection["best"] == max(
        selection["steps"][1:], key=lambda item: (item["selection"]["pass_fraction"], -item["step"])
    )["step"]  # fmt: skip
    chosen = next(item for item in selection["steps"] if item["step"] == selection["best"])
    assert selection["metrics"]["pass_fraction"]["after"] == pytest.approx(chosen["reporting"]["pass_fraction"])
    assert selection["metrics"]["pass_fraction"]["before"] == pytest.approx(
        selection["steps"][0]["reporting"]["pass_fraction"]
    )
    assert selection["steps"][0]["kl"] is None
    assert chosen["kl"]["k3"] > 0
    # By hand, from the file of a step.
    lines = (folder / "evaluate" / "step-16.heldout.jsonl").read_text().splitlines()
    rewards = {row["problem_id"]: row["rewards"] for row in map(json.loads, lines)}
    assert sorted(rewards) == sorted([*halves["selection"], *halves["reporting"]])
    mine = [sum(rewards[name]) / 16 for name in halves["reporting"]]
    assert selection["steps"][2]["reporting"]["pass_fraction"] == pytest.approx(sum(mine) / len(mine))
    assert len(metrics["heldout"]["metrics"]["tokens"]["after_seeds"]["means"]) == 2
    assert f"Step {selection['best']} is best" in (folder / "report" / "report.html").read_text()


def test_evaluated_on_held_out_problems_alone_a_run_is_reported_and_collected(
    whole_run: Path, arguments: list[str], tmp_path: Path, handlers: None
) -> None:
    folder = evaluated_again(whole_run, tmp_path / "run")
    start(folder, arguments, None, "--eval_train_problems", "0")
    metrics, before = (json.loads((run / "evaluate" / "metrics.json").read_text()) for run in (folder, whole_run))
    assert metrics == {"heldout": before["heldout"]}
    assert sorted(path.name for path in (folder / "evaluate").glob("*.jsonl")) == [
        "after.heldout.jsonl",
        "before.heldout.jsonl",
    ]
    page = (folder / "report" / "report.html").read_text()
    assert "held-out problems" in page
    assert "Tests passed, training problems" not in page
    collect([folder], tmp_path / "out", Console(file=io.StringIO()))
    assert (tmp_path / "out" / "table.md").is_file()


def test_the_last_checkpoint_is_the_trained_model(whole_run: Path) -> None:
    last = (whole_run / "train" / "checkpoint-36" / "model.safetensors").read_bytes()
    assert last == (whole_run / "train" / "model" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "trainer_state.json"])
def test_a_damaged_checkpoint_is_named_with_what_to_do(
    whole_run: Path, arguments: list[str], tmp_path: Path, handlers: None, name: str
) -> None:
    shutil.copytree(whole_run, tmp_path / "run")
    for later in ("train/model", "evaluate", "report"):
        shutil.rmtree(tmp_path / "run" / later)
    manifest = tmp_path / "run" / "train" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "done": False, "outputs": {}}))
    file = tmp_path / "run" / "train" / "checkpoint-36" / name
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(PipelineError, match=r"checkpoint-36 cannot be gone on from: .*delete it"):
        start(tmp_path / "run", arguments, None)
    shutil.rmtree(file.parent)
    start(tmp_path / "run", arguments, None)
    assert (tmp_path / "run" / FINAL[2]).read_bytes() == (whole_run / FINAL[2]).read_bytes()


def test_a_checkpoint_that_was_removed_is_missed(
    whole_run: Path, arguments: list[str], tmp_path: Path, handlers: None
) -> None:
    folder = evaluated_again(whole_run, tmp_path / "run", "train/checkpoint-16")
    with pytest.raises(PipelineError, match="lacks checkpoint-16"):
        start(folder, arguments, None, "--eval_checkpoints")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max_length", "3"], "training cannot begin.*longer than max_length=3"),
        (["--use_peft", "--lora_target_modules", "nosuch"], "training cannot begin.*nosuch"),
        (["--eval_strategy", "steps", "--eval_steps", "1"], "training cannot begin.*eval_dataset"),
    ],
)
def test_training_that_cannot_begin_says_why_in_a_line(
    whole_run: Path, arguments: list[str], tmp_path: Path, handlers: None, options: list[str], message: str
) -> None:
    with pytest.raises(PipelineError, match=message):
        start(tmp_path / "run", arguments, None, "--stage", "train", "--completions_from", str(whole_run), *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--save_total_limit", "2"], "up to 9 checkpoints, and save_total_limit=2"),
        (["--save_strategy", "no"], "save_strategy is 'no'"),
        (["--max_heldout_problems", "1"], "two held-out problems"),
    ],
)
def test_checkpoints_that_would_not_be_kept_are_refused_before_any_work(
    arguments: list[str], tmp_path: Path, handlers: None, options: list[str], message: str
) -> None:
    """3 problems of 32 completions in batches of 16: 6 steps an epoch, 36 in 6; one of 4 is a checkpoint."""
    with pytest.raises(PipelineError, match=message):
        start(tmp_path / "run", arguments, None, "--eval_checkpoints", "--save_steps", "4", *options)
    assert not (tmp_path / "run").exists()


def test_the_first_sampling_seed_is_the_same_however_many_follow(
    whole_run: Path, arguments: list[str], tmp_path: Path, handlers: None
) -> None:
    folder = evaluated_again(whole_run, tmp_path / "run")
    start(folder, arguments, None, "--eval_seeds", "3")
    for name in ("before.train.jsonl", "after.heldout.jsonl"):
        one = [json.loads(line) for line in (whole_run / "evaluate" / name).read_text().splitlines()]
        three = [json.loads(line) for line in (folder / "evaluate" / name).read_text().splitlines()]
        for first, all_three in zip(one, three, strict=True):
            assert len(all_three["completions"]) == 48
            assert all_three["completions"][:16] == first["completions"]
            assert all_three["completions"][16:32] != first["completions"]


def test_checkpoints_of_an_adapter_are_evaluated_upon_the_initial_model(
    whole_run: Path, arguments: list[str], tmp_path: Path, handlers: None
) -> None:
    lora = ("--use_peft", "--lora_target_modules", "q_proj", "v_proj", "--save_steps", "18")
    start(tmp_path / "run", arguments, None, *lora, "--eval_checkpoints")
    assert (tmp_path / "run" / "train" / "checkpoint-18" / "adapter_config.json").is_file()
    selection = json.loads((tmp_path / "run" / "evaluate" / "metrics.json").read_text())["heldout"]["selection"]
    assert [item["step"] for item in selection["steps"]] == [0, 18, 36]
    assert selection["steps"][1]["kl"]["k3"] > 0


def test_finished_runs_can_be_collected(whole_run: Path, tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    collect([whole_run], tmp_path / "out", console)
    table = (tmp_path / "out" / "table.md").read_text()
    assert "| initial model |" in table
    assert re.search(r"\| QRPO \|.*\| 36 \| 1 \|", table)


def test_another_seed_makes_a_replicate_on_the_same_references_evaluated_with_the_same_numbers(
    whole_run: Path, arguments: list[str], tmp_path: Path, handlers: None
) -> None:
    folder = tmp_path / "run"
    for stage in ("generate", "score"):
        shutil.copytree(whole_run / stage, folder / stage)
    start(folder, arguments, None, "--seed", "1")
    one, other = contents(folder), contents(whole_run)
    assert {name for name in FINAL if one[name] == other[name]} == {*FINAL[:2], *FINAL[4:6]}
    collect([whole_run, folder], tmp_path / "out", Console(file=io.StringIO(), width=200))
    assert re.search(r"\| QRPO \|.*\| 36 \| 2 \|", (tmp_path / "out" / "table.md").read_text())


def test_sft_on_pairs_trains_on_those_that_pass(
    whole_run: Path, arguments: list[str], tmp_path: Path, handlers: None
) -> None:
    rollouts = read_records(whole_run / FINAL[1], ScoredRollout)
    config = parse([*arguments, "--algorithm", "sft", "--pairing", "disjoint", "--keep_ties"])
    rows, what, _ = training_rows(rollouts, config.data, config.train)
    passed = sum(reward == 1.0 for rollout in rollouts for reward in rollout.rewards)
    assert len(rows) == passed > 0
    assert what == "solutions of 3 problems"


def test_a_run_can_start_from_the_model_that_another_has_fine_tuned(
    whole_run: Path, arguments: list[str], tmp_path: Path, handlers: None
) -> None:
    """Its reference is that model: it samples what that run's evaluation has sampled after training."""
    first, second = tmp_path / "sft", tmp_path / "qrpo"
    for stage in ("generate", "score"):
        shutil.copytree(whole_run / stage, first / stage)
    start(first, arguments, None, "--algorithm", "sft")
    start(second, arguments, None, "--model_name_or_path", str(first / "train" / "model"))
    for split in ("train", "heldout"):
        after = (first / "evaluate" / f"after.{split}.jsonl").read_bytes()
        assert (second / "evaluate" / f"before.{split}.jsonl").read_bytes() == after
    assert contents(second)[FINAL[0]] != contents(whole_run)[FINAL[0]]
    [line, *_] = (second / "train" / "log.jsonl").read_text().splitlines()
    assert abs(json.loads(line)["logratio"]) < 1e-5


@pytest.mark.parametrize("name", ["leetcode_paper", "leetcode_1gpu"])
def test_a_shipped_setting_runs_with_the_toy_model_in_place_of_its_own(
    name: str, code_model_dir: Path, toy_problems: Path, tmp_path: Path, handlers: None
) -> None:
    """With fewer and shorter completions, no limit on the number of tests, and steps that are seen in the reward."""
    options = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    for key in ("train_split", "heldout_split", "train_revision", "heldout_revision", "min_tests"):
        del options[key]
    options |= {
        "model_name_or_path": str(code_model_dir),
        "dtype": "float32",
        "train_problems": str(toy_problems / "train.jsonl"),
        "heldout_problems": str(toy_problems / "heldout.jsonl"),
        "drop_duplicates": False,  # the toy's held-out problems are those of its training
        "max_new_tokens": 6,
        "batch_completions": 64,
        "num_completions": 20,
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-2,
        "save_steps": 2,
        "use_cpu": True,
        "bf16": False,
        "bootstrap_samples": 100,
        "sandbox_workers": 2,
    }
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(options))
    start(tmp_path / "run", ["--config", str(path)])
    assert (tmp_path / "run" / "report" / "report.json").is_file()
    assert (tmp_path / "run" / "train" / "model" / "model.safetensors").is_file()
