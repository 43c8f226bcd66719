"""The pipeline's training in several processes, and what it refuses there."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qrpo.config import CONFIGS, parse
from qrpo.display import Display
from qrpo.errors import PipelineError
from qrpo.interrupts import Interrupts
from qrpo.processes import in_any, index, is_main, refuse_several
from qrpo.train_code import run

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
import os, signal, time
from pathlib import Path
from transformers import Trainer, TrainerCallback
import qrpo.train
from qrpo.processes import index, leave
from qrpo.train_code import main

class Interrupt(TrainerCallback):
    def on_step_begin(self, args, state, control, **more):
        if state.global_step == 4 and index() == 1 and "AT_THE_END" not in os.environ:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_train_end(self, args, state, control, **more):
        if index() == 1 and "AT_THE_END" in os.environ:
            os.kill(os.getpid(), signal.SIGTERM)

def late_random_state(self, folder):
    if index() == 0:
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        time.sleep(1)
        if (Path(folder) / "trainer_state.json").exists():
            os.write(2, b"a checkpoint looked whole before it was\\n")
    save_random_state(self, folder)

save_random_state, Trainer._save_rng_state = Trainer._save_rng_state, late_random_state
make = qrpo.train.QRPOTrainer
qrpo.train.QRPOTrainer = lambda **arguments: make(callbacks=[Interrupt()], **arguments)
leave(main())
"""
"""Sends SIGTERM to the second process, in its fifth step or after the last, and to the first as it saves, for which it
has to wait."""


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
        in_this_process([*options, "--output_dir", str(folder / "run"), "--stage", stage])
    return folder / "run", options


def launched(*program: str) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]
    launcher += [str(CONFIGS / "accelerate" / "ddp.yaml"), "--num_processes", "2", "--main_process_port", "0"]
    environ = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run([*launcher, *program], capture_output=True, text=True, check=False, timeout=200, env=environ)


def options_of(scored: tuple[Path, list[str]], run: Path, *more: str) -> list[str]:
    return [*scored[1], "--output_dir", str(run), *more]


HALF = ("--stage", "train", "--per_device_train_batch_size", "4")


@pytest.fixture(scope="module")
def stopped(scored: tuple[Path, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that a signal to one of its two processes has ended."""
    folder = tmp_path_factory.mktemp("stopped")
    shutil.copytree(scored[0], folder / "run")
    (folder / "slow.py").write_text(SLOW)
    done = launched(str(folder / "slow.py"), *options_of(scored, folder / "run", *HALF))
    assert done.returncode != 0
    assert done.stderr.count("the same command continues here") == 1
    assert "looked whole" not in done.stderr
    return folder / "run"


def in_this_process(options: list[str]) -> None:
    run(parse(options), Display(quiet=True), Interrupts())


def test_a_signal_to_one_process_stops_all_at_one_step(stopped: Path) -> None:
    [checkpoint] = (stopped / "train").glob("checkpoint-*")
    assert checkpoint.name == "checkpoint-5"
    assert len(list(checkpoint.glob("rng_state_*.pth"))) == 2
    assert not (stopped / "train" / "model").exists()


def test_a_signal_to_one_process_after_the_last_step_stops_all(
    scored: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(scored[0], tmp_path / "run")
    (tmp_path / "slow.py").write_text(SLOW.replace("os.kill(os.getpid(), signal.SIGTERM)\n    else", "pass\n    else"))
    monkeypatch.setenv("AT_THE_END", "1")
    options = options_of(scored, tmp_path / "run", *HALF, "--max_steps", "2")
    assert launched(str(tmp_path / "slow.py"), *options).returncode != 0
    assert not (tmp_path / "run" / "train" / "model").exists()
    monkeypatch.undo()
    assert launched("-m", "qrpo.train_code", *options).returncode == 0
    assert len((tmp_path / "run" / "train" / "log.jsonl").read_text().splitlines()) == 2


def test_training_goes_on_in_as_many_processes_and_its_checkpoints_are_evaluated_in_one(
    scored: tuple[Path, list[str]], stopped: Path, tmp_path: Path
) -> None:
    shutil.copytree(stopped, tmp_path / "stopped")
    shutil.copytree(scored[0], tmp_path / "whole")
    mine = options_of(scored, tmp_path / "stopped", *HALF)
    with pytest.raises(PipelineError, match="training in 2 processes, and this one has 1"):
        in_this_process(mine)
    for name in ("whole", "stopped"):
        done = launched("-m", "qrpo.train_code", *options_of(scored, tmp_path / name, *HALF))
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("[3/5] train") == 1
    logs = [(tmp_path / name / "train" / "log.jsonl").read_text() for name in ("whole", "stopped")]
    assert logs[0] == logs[1]
    assert json.loads(logs[0].splitlines()[-1])["step"] == 24
    in_this_process(options_of(scored, tmp_path / "stopped", "--stage", "evaluate", "--eval_checkpoints"))
    steps = sorted((tmp_path / "stopped" / "evaluate").glob("step-*.heldout.jsonl"))
    assert [path.name for path in steps] == ["step-16.heldout.jsonl", "step-8.heldout.jsonl"]


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
