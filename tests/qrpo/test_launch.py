"""The launcher: what it gives accelerate; training by it in two processes, over two nodes where there is a Slurm."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from qrpo.config import CONFIGS

LAUNCH = Path(__file__).resolve().parents[2] / "qrpo" / "experiments" / "launch.sh"
DDP = CONFIGS / "accelerate" / "ddp.yaml"
STANDIN = '#!/usr/bin/env bash\nprintf "%s\\0" "$@"\n'


@pytest.fixture
def standins(tmp_path: Path) -> Path:
    """Programs in place of the real ones, ahead of them on the PATH; of Python one that prints its words."""
    folder = tmp_path / "stand in"
    folder.mkdir()
    scontrol = (
        '#!/usr/bin/env bash\n[ "$1" = show ] && echo node7 && echo node8 || echo "N=node7 NodeAddr=127.0.0.9 P=1"\n'
    )
    for name, text in (("python", STANDIN), ("scontrol", scontrol), ("nvidia-smi", "#!/bin/sh\nexit 9\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def launched(standins: Path, *words: str, config: Path = DDP, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": f"{standins}:{os.environ['PATH']}", **environment}
    return subprocess.run(
        ["bash", str(LAUNCH), str(config), *words], capture_output=True, text=True, env=env, check=False
    )


def given(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Options of accelerate, and what it is to run."""
    assert done.returncode == 0, done.stderr
    words = done.stdout.partition("\n")[2].split("\0")[2:-1]
    place = words.index("-m")
    options = dict(zip(words[:place:2], words[1:place:2], strict=True))
    return {name.lstrip("-"): value for name, value in options.items()} | {"rest": shlex.join(words[place:])}


STEP = {
    "SLURM_JOB_ID": "1234567",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_NODEID": "1",
    "SLURM_STEP_NODELIST": "node[7-8]",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NUM_TASKS": "2",
}


def test_arguments_reach_the_program_as_they_are(standins: Path) -> None:
    words = ["-m", "mod", "--text", "a 'b' $c \\d", "", "*"]
    assert given(launched(standins, *words))["rest"] == shlex.join(words)


def test_without_slurm_it_is_one_process_on_one_machine(standins: Path) -> None:
    found = given(launched(standins, "-m", "mod"))
    assert found["config_file"] == str(DDP)
    assert (found["num_machines"], found["machine_rank"], found["num_processes"]) == ("1", "0", "1")
    assert found["main_process_ip"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("environment", "processes"),
    [({"CUDA_VISIBLE_DEVICES": "2,3,5"}, "3"), ({"CUDA_VISIBLE_DEVICES": "1", "PROCESSES_PER_NODE": "4"}, "4")],
)
def test_there_is_a_process_for_each_gpu_unless_it_is_told(
    standins: Path, environment: dict[str, str], processes: str
) -> None:
    assert given(launched(standins, "-m", "mod", **environment))["num_processes"] == processes


def test_gpus_are_counted_where_nobody_has_named_them(standins: Path) -> None:
    (standins / "nvidia-smi").write_text("#!/bin/sh\necho 'GPU 0: X (UUID: a)'; echo 'GPU 1: X (UUID: b)'\n")
    assert given(launched(standins, "-m", "mod", CUDA_VISIBLE_DEVICES=""))["num_processes"] == "2"


def test_in_a_step_of_two_nodes_the_first_one_leads_and_all_know_its_port(standins: Path) -> None:
    nodes = [given(launched(standins, "-m", "mod", **STEP | {"SLURM_NODEID": rank})) for rank in "01"]
    assert [found["machine_rank"] for found in nodes] == ["0", "1"]
    assert {found["num_machines"] + found["num_processes"] for found in nodes} == {"22"}
    assert {found["main_process_port"] for found in nodes} == {"24567"}
    assert {found["main_process_ip"] for found in nodes} == {"127.0.0.9"}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"SLURM_JOB_NUM_NODES": "2"}, "the job has 2 nodes, and this would use one"),
        (STEP | {"SLURM_STEP_NUM_TASKS": "8"}, "srun starts it 8 times on 2 nodes: give --ntasks-per-node=1"),
    ],
)
def test_what_would_not_come_together_is_refused(standins: Path, environment: dict[str, str], words: str) -> None:
    done = launched(standins, "-m", "mod", **environment)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_configuration_that_is_not_there_is_named(standins: Path, tmp_path: Path) -> None:
    done = launched(standins, "-m", "mod", config=tmp_path / "no.yaml")
    assert done.returncode == 2
    assert f"{tmp_path / 'no.yaml'}: there is no such file" in done.stderr


OPTIONS = """
sampling_seed: 42
max_new_tokens: 6
num_completions: 16
sandbox_workers: 2
use_cpu: true
bf16: false
gradient_checkpointing: false
ddp_find_unused_parameters: false
learning_rate: 1.0e-3
lr_scheduler_type: constant
max_steps: 150
per_device_train_batch_size: 4
train_sampling_strategy: sequential
logging_steps: 1
save_steps: 25
"""


@pytest.fixture(scope="module")
def scored(code_model_dir: Path, toy_problems: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The options of runs on completions that are there."""
    folder = tmp_path_factory.mktemp("launch")
    config = folder / "toy.yaml"
    config.write_text(
        f"output_dir: nowhere\nmodel_name_or_path: {code_model_dir}\n"
        f"train_problems: {toy_problems / 'train.jsonl'}\nheldout_problems: {toy_problems / 'heldout.jsonl'}\n{OPTIONS}"
    )
    base = ["--config", str(config), "--output_dir", str(folder / "base")]
    for stage in ("generate", "score"):
        command = [sys.executable, "-m", "qrpo.train_code", *base, "--stage", stage]
        subprocess.run(command, check=True, capture_output=True)
    return ["--config", str(config), "--completions_from", str(folder / "base"), "--stage", "train"]


@pytest.fixture(scope="module")
def alone(scored: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    """The log of a training in one process, with batches as large as those of two together."""
    out = tmp_path_factory.mktemp("alone") / "run"
    options = [*scored, "--output_dir", str(out), "--gradient_accumulation_steps", "2"]
    subprocess.run([sys.executable, "-m", "qrpo.train_code", *options], check=True, capture_output=True)
    return log_of(out)


def log_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "train" / "log.jsonl").read_text().splitlines()]


def assert_equal(mine: list[dict[str, float]], theirs: list[dict[str, float]]) -> None:
    assert len(mine) == len(theirs) == 150
    for line, other in zip(mine, theirs, strict=True):
        assert other == pytest.approx(line, rel=1e-4, abs=1e-4)


@pytest.fixture
def python(sharding: str) -> str:
    """The interpreter of an environment that has what this way of sharding needs."""
    if not sharding.startswith("zero"):
        return sys.executable
    python = os.environ.get("QRPO_DEEPSPEED_PYTHON", "")
    if not python:
        pytest.skip("QRPO_DEEPSPEED_PYTHON names no Python with deepspeed (`.ci/deepspeed DIR` makes one)")
    return python


@pytest.mark.parametrize("sharding", ["ddp", "zero3"])
def test_two_processes_on_one_machine_have_the_losses_of_one(
    scored: list[str], alone: list[dict[str, float]], tmp_path: Path, sharding: str, python: str
) -> None:
    out = tmp_path / "run"
    config = CONFIGS / "accelerate" / f"{sharding}.yaml"
    words = ["bash", str(LAUNCH), str(config), "-m", "qrpo.train_code", *scored, "--output_dir", str(out)]
    env = os.environ | {"PYTHON": python, "PROCESSES_PER_NODE": "2"}
    done = subprocess.run(words, capture_output=True, text=True, env=env, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert_equal(alone, log_of(out))


TRAINING = """
name: launch
resources: {{memory: 1G, cpus_per_task: 1, time: "10"}}
environment: {{PYTHON: {python}, PYTHONPATH: {root}}}
stages:
  train:
    command: >-
      srun --ntasks-per-node=1 --kill-on-bad-exit=1
      bash {launch} {config} -m qrpo.train_code {options} --output_dir run
    outputs: [run/train/model, {{path: run/train/log.jsonl, format: jsonl, lines: 150}}]
    resources: {{nodes: 2}}
"""


@pytest.fixture
def experiment(scored: list[str], tmp_path: Path, node_names: list[str], sharding: str, python: str) -> Any:
    """Runs `qrpo-experiment` where a training over two nodes is described; what it has left ends with it."""
    if len(node_names) < 2:
        pytest.skip("the Slurm has one node here")
    options = shlex.join(scored)
    quoted = [shlex.quote(str(path)) for path in (LAUNCH, CONFIGS / "accelerate" / f"{sharding}.yaml")]
    root = json.dumps(str(LAUNCH.parents[2]))  # the environment with DeepSpeed has not this package
    text = TRAINING.format(python=json.dumps(python), root=root, launch=quoted[0], config=quoted[1], options=options)
    (tmp_path / "launch.yaml").write_text(text)

    def told(*arguments: str) -> Any:
        words = [sys.executable, "-m", "slurm.experiments.cli", *arguments, "--json"]
        done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=400, check=False)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    yield told
    if (tmp_path / "launch.experiment").exists():
        told("cancel")


@pytest.mark.parametrize("sharding", ["ddp", "zero3"])
def test_over_two_nodes_it_has_the_losses_of_one_process_also_when_it_is_stopped_and_queued_again(
    experiment: Any, alone: list[dict[str, float]], tmp_path: Path
) -> None:
    [submitted] = experiment("submit", "launch.yaml")["submitted"]
    run = tmp_path / "run" / "train"
    end_s = time.monotonic() + 300
    while not list(run.glob("checkpoint-*/trainer_state.json")):
        assert time.monotonic() < end_s
        time.sleep(0.05)
    subprocess.run([shutil.which("scancel") or "", "--batch", "--signal=USR2", submitted["job"]], check=True)
    done = experiment("submit", "launch.yaml", "--wait")
    [task] = done["tasks"]
    log = Path(task["log"]).read_text()
    assert (task["state"], task["requeues"]) == ("succeeded", 1), log[-6000:]
    assert "node 0 of 2, 1 processes on each" in log
    assert "node 1 of 2, 1 processes on each" in log
    assert log.count("continuing from checkpoint-") == 1
    assert_equal(alone, log_of(tmp_path / "run"))
