"""Online QRPO on the toy model, whose tokens are programs."""

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
from qrpo.config import parse_with
from qrpo.display import Display
from qrpo.errors import ConfigError, StaleFolderError
from qrpo.interrupts import Interrupts
from qrpo.journal import read_records
from qrpo.online import OnlineConfig, online_rows, train_online
from qrpo.records import Completion, Rollout, ScoredRollout

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
        *("--train_problems", str(toy_problems / "train.jsonl"), "--heldout_problems", "null"),
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
        "reference",
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


def test_killed_and_started_again_it_ends_in_the_same_files(
    whole_run: Path, arguments: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "qrpo.train_online", *arguments, "--output_dir", str(run)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    deadline = time.monotonic() + 120
    while not list(run.glob("iteration-001/train/checkpoint-*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (run / "iteration-002").exists()
    start(run, arguments)
    names = [f"iteration-00{k}/{name}" for k in range(3) for name in ITERATION]
    names += [f"references-000/{name}" for name in FILES]
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


def test_a_refreshed_reference_is_the_current_policy(whole_run: Path, arguments: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    start(run, arguments, "--refresh_every", "1", "--iterations", "2")
    assert sorted(path.name for path in run.glob("references-*")) == ["references-000", "references-001"]
    first, second = history(run)
    assert second["reference_reward"] > first["reference_reward"]
    [line, *_] = (run / "iteration-001" / "train" / "log.jsonl").read_text().splitlines()
    assert abs(json.loads(line)["logratio"]) < 1e-5
    same = read_records(run / "iteration-001" / FILES[0], Rollout)
    assert same == read_records(whole_run / "iteration-001" / FILES[0], Rollout)


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
