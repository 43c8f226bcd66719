"""The pipeline's training in several processes, and what it refuses there."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qrpo.config import CONFIGS
from qrpo.processes import in_any, index, is_main, refuse_several

OPTIONS = """
max_new_tokens: 6
num_completions: 16
eval_completions: 4
kl_completions: 2
bootstrap_samples: 20
sandbox_workers: 2
use_cpu: true
bf16: false
gradient_checkpointing: false
learning_rate: 1.0e-2
num_train_epochs: 4
per_device_train_batch_size: 8
logging_steps: 1
save_steps: 8
"""

SLOW = """
import os, signal, sys
from transformers import TrainerCallback
import qrpo.train
from qrpo.processes import index, leave
from qrpo.train_code import main

class Interrupt(TrainerCallback):
    def on_step_begin(self, args, state, control, **more):
        if state.global_step == 4 and index() == 1:
            os.kill(os.getpid(), signal.SIGTERM)

make = qrpo.train.QRPOTrainer
qrpo.train.QRPOTrainer = lambda **arguments: make(callbacks=[Interrupt()], **arguments)
leave(main())
"""
"""Sends SIGTERM to the second process alone, in its fifth step."""


@pytest.fixture(scope="module")
def scored(
    code_model_dir: Path, toy_problems: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    """A run whose completions are scored, and its options."""
    folder = tmp_path_factory.mktemp("scored")
    (folder / "toy.yaml").write_text(OPTIONS)
    options = [
        *("--config", str(folder / "toy.yaml"), "--model_name_or_path", str(code_model_dir)),
        *("--train_problems", str(toy_problems / "train.jsonl")),
        *("--heldout_problems", str(toy_problems / "heldout.jsonl")),
    ]
    for stage in ("generate", "score"):
        command = [sys.executable, "-m", "qrpo.train_code", *options, "--output_dir", str(folder / "run")]
        subprocess.run([*command, "--stage", stage], check=True, capture_output=True)
    return folder / "run", options


def launched(*program: str) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]
    launcher += [str(CONFIGS / "accelerate" / "ddp.yaml"), "--num_processes", "2", "--main_process_port", "0"]
    environ = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run([*launcher, *program], capture_output=True, text=True, check=False, timeout=200, env=environ)


def test_a_signal_to_one_process_stops_all_at_one_step_and_training_goes_on_from_there(
    scored: tuple[Path, list[str]], tmp_path: Path
) -> None:
    run, options = scored
    for name in ("whole", "stopped", "alone"):
        shutil.copytree(run, tmp_path / name)
    half = ["--stage", "train", "--per_device_train_batch_size", "4"]

    def command(name: str) -> list[str]:
        return [*options, "--output_dir", str(tmp_path / name)]

    (tmp_path / "slow.py").write_text(SLOW)
    done = launched(str(tmp_path / "slow.py"), *command("stopped"), *half)
    assert done.returncode != 0
    assert done.stderr.count("the same command continues here") == 1
    train = tmp_path / "stopped" / "train"
    assert [path.name for path in train.glob("checkpoint-*")] == ["checkpoint-5"]
    assert len(list((train / "checkpoint-5").glob("rng_state_*.pth"))) == 2
    assert not (train / "model").exists()

    one = [sys.executable, "-m", "qrpo.train_code"]
    refused = subprocess.run([*one, *command("stopped"), *half], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "training in 2 processes, and this one has 1" in refused.stderr

    for name in ("whole", "stopped"):
        done = launched("-m", "qrpo.train_code", *command(name), *half)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("[3/5] train") == 1
    subprocess.run([*one, *command("alone"), "--stage", "train"], check=True, capture_output=True)
    logs = [
        [json.loads(line) for line in (tmp_path / name / "train" / "log.jsonl").read_text().splitlines()]
        for name in ("whole", "stopped", "alone")
    ]
    assert logs[0] == logs[1]
    for line, other in zip(logs[0], logs[2], strict=True):
        assert line == pytest.approx(other, rel=1e-4, abs=1e-4)
    evaluated = [*one, *command("stopped"), "--stage", "evaluate", "--eval_checkpoints"]
    subprocess.run(evaluated, check=True, capture_output=True)
    steps = sorted((tmp_path / "stopped" / "evaluate").glob("step-*.heldout.jsonl"))
    assert [path.name for path in steps] == [
        "step-16.heldout.jsonl",
        "step-8.heldout.jsonl",
    ]


def test_what_runs_in_one_process_is_refused_by_all_with_one_message(
    scored: tuple[Path, list[str]], tmp_path: Path
) -> None:
    for program in ("qrpo.train_code", "qrpo.train_online"):
        started = time.monotonic()
        done = launched("-m", program, *scored[1], "--output_dir", str(tmp_path / "run"))
        assert done.returncode == 1
        assert done.stderr.count("error: ") == 1
        assert "in one process, and 2 were started" in done.stderr
        assert time.monotonic() - started < 100
    assert not (tmp_path / "run").exists()


def test_a_refusal_of_the_first_process_ends_all(scored: tuple[Path, list[str]], tmp_path: Path) -> None:
    (tmp_path / "run" / "train").mkdir(parents=True)
    (tmp_path / "run" / "train" / "something").touch()
    done = launched("-m", "qrpo.train_code", *scored[1], "--output_dir", str(tmp_path / "run"), "--stage", "train")
    assert done.returncode == 1
    assert done.stderr.count("holds files but no manifest.json") == 1


def test_a_process_alone_leads() -> None:
    assert (index(), is_main(), in_any(True), in_any(False)) == (0, True, True, False)
    refuse_several("everything")
