"""Online QRPO on the toy model, whose tokens are programs."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from qrpo.artifacts import read_manifest
from qrpo.collect import collect
from qrpo.comparison import kl_estimates
from qrpo.config import parse_with
from qrpo.display import Display
from qrpo.errors import ConfigError, StaleFolderError
from qrpo.interrupts import Interrupts
from qrpo.journal import read_records
from qrpo.likelihood import token_logps
from qrpo.models import load_policy
from qrpo.online import online_rows, train_online
from qrpo.online_options import OnlineConfig
from qrpo.records import Completion, KlRow, Rollout, ScoredRollout
from qrpo.ref_logps import RefLogpsCache, row_digest
from qrpo.results import read_results
from qrpo.train_code import run

OPTIONS = """
output_dir: nowhere
iterations: 3
sampling_seed: 42
online_completions: 16
num_completions: 24
max_new_tokens: 6
batch_completions: 48
sandbox_workers: 2
use_cpu: true
bf16: false
gradient_checkpointing: false
learning_rate: 5.0e-3
lr_scheduler_type: constant
num_train_epochs: 6
per_device_train_batch_size: 16
beta: 0.1
eval_completions: 4
sampling_dtype: float32
eval_checkpoints: true
logging_steps: 1
save_steps: 5
"""
FILES = ["generate/completions.jsonl", "score/scored.jsonl"]
ITERATION = [*FILES, "train/model/model.safetensors", "train/log.jsonl"]


@pytest.fixture(scope="session")
def arguments(code_model_dir: Path, toy_problems: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = tmp_path_factory.mktemp("config") / "online.yaml"
    path.write_text(OPTIONS)
    return [
        *("--config", str(path), "--model_name_or_path", str(code_model_dir)),
        *("--train_problems", str(toy_problems / "train.jsonl")),
        *("--heldout_problems", str(toy_problems / "heldout.jsonl")),
    ]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def start(output: Path, arguments: list[str], *more: str) -> None:
    config, (online,) = parse_with(
        [*arguments, "--output_dir", str(output), *more], OnlineConfig, prog="test", description=""
    )
    assert isinstance(online, OnlineConfig)
    train_online(config, online, Display(Console(file=io.StringIO())), Interrupts())


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory, arguments: list[str]) -> Path:
    folder = tmp_path_factory.mktemp("online") / "whole"
    start(folder, arguments)
    return folder


def history(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def test_the_reward_of_the_policys_own_completions_rises(whole_run: Path) -> None:
    lines = history(whole_run)
    assert [line["iteration"] for line in lines] == [0, 1, 2]
    first, second, third = (line["policy_reward"] for line in lines)
    assert abs(first - lines[0]["reference_reward"]) < 0.1  # the same policy, other random numbers
    assert second > first + 0.1
    assert third > second
    assert len({line["reference_reward"] for line in lines}) == 1


def test_every_folder_has_its_files_and_manifests(whole_run: Path) -> None:
    assert {path.name for path in whole_run.iterdir() if path.is_dir()} == {
        *(f"iteration-00{k}" for k in range(3)),
        "references-000",
        *("reference", "train", "evaluate", "report"),
    }
    for k in range(3):
        for stage in ("generate", "score", "train"):
            manifest = read_manifest(whole_run / f"iteration-00{k}" / stage)
            assert manifest is not None
            assert manifest.done


def test_the_same_policy_draws_with_numbers_of_its_own_as_reference_and_to_train(whole_run: Path) -> None:
    references, mine = (
        [json.loads(line)["completions"][:16] for line in (whole_run / name / FILES[0]).read_text().splitlines()]
        for name in ("references-000", "iteration-000")
    )
    assert len(mine[0]) == 16
    assert all(one != other for one, other in zip(references, mine, strict=True))


def test_log_ratios_are_against_the_first_policy(whole_run: Path) -> None:
    """At its first step a policy is what the iteration before made: at the reference first, away from it then."""
    firsts = [
        json.loads((whole_run / f"iteration-00{k}" / "train" / "log.jsonl").read_text().splitlines()[0])["logratio"]
        for k in range(3)
    ]
    assert abs(firsts[0]) < 1e-5
    assert min(firsts[1:]) > 0.05  # on the policy's own completions: an estimate of its KL to the reference


def kill_at(pattern: str, run: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "qrpo.train_online", *arguments, "--output_dir", str(run)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    deadline = time.monotonic() + 120
    while not list(run.glob(pattern)):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()


def test_killed_and_started_again_it_ends_in_the_same_files(
    whole_run: Path, arguments: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    kill_at("iteration-001/train/checkpoint-*", run, arguments)
    assert not (run / "iteration-002").exists()
    kill_at("evaluate/step-1.heldout.samples.part.jsonl", run, arguments)
    assert not (run / "evaluate" / "metrics.json").exists()
    start(run, arguments)
    names = [f"iteration-00{k}/{name}" for k in range(3) for name in ITERATION]
    names += [f"references-000/{name}" for name in FILES]
    names += ["train/log.jsonl", "train/model/model.safetensors", "history.jsonl"]
    names += [f"evaluate/{path.name}" for path in (whole_run / "evaluate").glob("*.json*") if path.stem != "manifest"]
    assert [name for name in names if (run / name).read_bytes() != (whole_run / name).read_bytes()] == []
    assert history(run) == history(whole_run)


def test_a_finished_run_started_again_does_nothing_and_refuses_other_options(
    whole_run: Path, arguments: list[str]
) -> None:
    stamp = (whole_run / "iteration-002" / "train" / "log.jsonl").stat().st_mtime_ns
    start(whole_run, arguments)
    assert (whole_run / "iteration-002" / "train" / "log.jsonl").stat().st_mtime_ns == stamp
    with pytest.raises(StaleFolderError, match="learning_rate"):
        start(whole_run, arguments, "--learning_rate", "0.5")


def test_every_iterations_policy_is_evaluated_on_held_out_problems(whole_run: Path, code_model_dir: Path) -> None:
    """The KL of each is recomputed with the model that its iteration has left."""
    selection = read_results(whole_run / "evaluate" / "metrics.json")["heldout"].selection
    assert selection is not None
    assert [item.step for item in selection.steps] == [0, 1, 2, 3]
    initial = load_policy(str(code_model_dir), dtype="float32")
    for iteration, when in enumerate(("step-1", "step-2", "after")):
        policy = load_policy(str(whole_run / f"iteration-00{iteration}" / "train" / "model"), dtype="float32")
        rollouts = read_records(whole_run / "evaluate" / f"{when}.heldout.jsonl", ScoredRollout)
        sequences = [(item.prompt_ids, item.completions[index].token_ids) for item in rollouts for index in range(2)]
        both = (token_logps(policy, sequences), token_logps(initial, sequences))
        rows = [
            KlRow(problem_id="", index=0, logps=tuple(mine), ref_logps=tuple(theirs))
            for mine, theirs in zip(*both, strict=True)
        ]
        assert selection.steps[iteration + 1].kl == pytest.approx(kl_estimates(rows), abs=1e-4)


def test_the_trained_model_is_the_last_policy_and_the_log_goes_on(whole_run: Path) -> None:
    names = [whole_run / "train" / "model", whole_run / "iteration-002" / "train" / "model"]
    assert len({(name / "model.safetensors").read_bytes() for name in names}) == 1
    lines = [json.loads(line) for line in (whole_run / "train" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    assert [line["iteration"] for line in lines] == sorted(line["iteration"] for line in lines)


def test_the_page_has_the_reward_of_every_iteration(whole_run: Path) -> None:
    page = (whole_run / "report" / "report.html").read_text()
    for text in ("3 iterations of online QRPO: 144 completions", "Reward over iterations", ">held-out problems<"):
        assert text in page


def test_an_offline_run_evaluates_the_initial_model_with_the_same_completions(
    whole_run: Path, arguments: list[str], tmp_path: Path
) -> None:
    options = [*arguments, "--eval_checkpoints", "false", "--output_dir", str(tmp_path / "run")]
    config = parse_with(options, OnlineConfig, prog="test", description="").config
    run(config, Display(Console(file=io.StringIO())), Interrupts())
    name = "evaluate/before.heldout.jsonl"
    assert (tmp_path / "run" / name).read_bytes() == (whole_run / name).read_bytes()
    console = Console(file=io.StringIO(), width=300)
    collect([tmp_path / "run", whole_run], tmp_path / "out", console)
    with (tmp_path / "out" / "results.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["step"] for row in rows if row["algorithm"] == "online qrpo"] == ["0", "1", "2", "3"]
    assert "online QRPO" in (tmp_path / "out" / "table.md").read_text()
    assert "online QRPO" in (tmp_path / "out" / "log_ratios.svg").read_text()


def test_a_refreshed_reference_is_the_policy_of_that_time_until_the_next(
    whole_run: Path, arguments: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    options = {"refresh_every": 2, "iterations": 4, "num_train_epochs": 2, "eval_checkpoints": False}
    start(run, arguments, *(f"--{name}={value}" for name, value in options.items()))
    assert sorted(path.name for path in run.glob("references-*")) == ["references-000", "references-002"]
    first, second, third, fourth = (line["reference_reward"] for line in history(run))
    assert first == second != third == fourth
    [line, *_] = (run / "iteration-002" / "train" / "log.jsonl").read_text().splitlines()
    assert abs(json.loads(line)["logratio"]) < 1e-5
    sampled = read_records(run / "iteration-003" / FILES[0], Rollout)
    sequences = [(item.prompt_ids, made.token_ids) for item in sampled for made in item.completions]
    reference = load_policy(str(run / "iteration-001" / "train" / "model"), dtype="float32")
    expected = {
        row_digest(*ids): sum(logps) for ids, logps in zip(sequences, token_logps(reference, sequences), strict=True)
    }
    [name] = [
        folder.name for folder in (run / "reference" / "logps").iterdir() if cached(folder).keys() >= expected.keys()
    ]
    known = cached(run / "reference" / "logps" / name)
    assert {digest: known[digest] for digest in expected} == pytest.approx(expected, abs=1e-4)


def cached(folder: Path) -> dict[bytes, float]:
    model, _, dtype = folder.name.rpartition("-")
    return RefLogpsCache(folder.parent, model_hash=model, dtype=dtype).load()


def test_a_finished_run_cannot_be_made_longer_unnoticed(whole_run: Path, arguments: list[str]) -> None:
    with pytest.raises(StaleFolderError, match="iterations: there 3, asked for 4"):
        start(whole_run, arguments, "--iterations", "4")
    assert not (whole_run / "iteration-003").exists()


def test_checkpoints_to_choose_from_need_held_out_problems(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two held-out problems"):
        start(tmp_path / "run", arguments, "--heldout_problems", "null")


def rollout(*rewards: float) -> ScoredRollout:
    item = Completion(text="", token_ids=(1,), finish_reason="stop")
    return ScoredRollout(
        problem_id="p",
        prompt=(),
        prompt_ids=(1,),
        completions=(item,) * len(rewards),
        rewards=rewards,
        verdicts=("WA",) * len(rewards),
    )


def test_rows_are_compared_with_the_references_rewards_and_not_with_each_other() -> None:
    rows = online_rows([rollout(1.0, 0.5)], [rollout(0.0, 0.25, 0.75)], num_refs=2)
    assert [(row["reward"], row["ref_rewards"]) for row in rows] == [(1.0, [0.0, 0.25]), (0.5, [0.0, 0.25])]


@pytest.mark.parametrize(
    "option", ["algorithm dpo", "pairing disjoint", "references leave_one_out", "stage train", "completions_from /x"]
)
def test_options_without_a_meaning_are_refused(arguments: list[str], tmp_path: Path, option: str) -> None:
    name, value = option.split()
    with pytest.raises(ConfigError, match=f"{name} is '{value}'"):
        start(tmp_path / "run", arguments, f"--{name}", value)
