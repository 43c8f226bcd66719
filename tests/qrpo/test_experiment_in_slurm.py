"""The pipeline as an experiment in a real Slurm: whatever goes wrong is named, and mended by running it again."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qrpo.experiments.__main__ import copy

OPTIONS = """
output_dir: nowhere
sampling_seed: 42
max_new_tokens: 6
num_completions: 16
batch_completions: 32
eval_completions: 4
kl_completions: 4
bootstrap_samples: 200
sandbox_workers: 1
use_cpu: true
bf16: false
gradient_checkpointing: false
learning_rate: 1.0e-2
lr_scheduler_type: constant
num_train_epochs: 4
per_device_train_batch_size: 8
logging_steps: 1
save_steps: 4
"""
# For each job, at its first attempt. Sourced ahead of its command.
FAULTS = r"""
job=$1${2:-}
[ -e "faults/$job" ] && return
mkdir -p faults
touch "faults/$job"
case $job in
    generate0) trap 'truncate --size=-20 runs/base/generate.shards/00000-of-00002/completions.jsonl' EXIT ;;
    generate1) python -c 'raise RuntimeError("no such luck")' ;;
    score0) scancel "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"; sleep 100 ;;
    score1) sleep 100 ;;
    train) (
        until compgen -G 'runs/seeds/*/train/checkpoint-*/trainer_state.json' >/dev/null; do sleep 0.05; done
        kill -KILL $(pgrep -P $$ python)
    ) & ;;
esac
"""


class Experiment:
    """`smollm2_cpu` with a tiny model, one method and one seed, in a folder."""

    def __init__(self, folder: Path, config: Path) -> None:
        self.folder = folder
        self._env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_COLOR": "1"}
        [self.file] = copy("smollm2_cpu", folder)
        self.edit("[qrpo, dpo]", "[qrpo]")
        self.edit("[0, 1]", "[0]")
        self.edit("memory: 10G", "memory: 1G")
        self.edit("config: smollm2_cpu", f"config: {config}")

    def edit(self, old: str, new: str) -> None:
        text = self.file.read_text()
        assert old in text
        self.file.write_text(text.replace(old, new))

    @property
    def has_begun(self) -> bool:
        return self.file.with_suffix(".experiment").exists()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "slurm.experiments.cli", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(words, **pipes, text=True, env=self._env, cwd=self.folder)  # type: ignore[call-overload,no-any-return]

    def told(self, *arguments: str, code: int = 0) -> Any:
        """What it says with --json."""
        with self.start(*arguments, "--json") as process:
            stdout, stderr = process.communicate(timeout=600)
        assert process.returncode == code, stdout + stderr
        return json.loads(stdout)

    def failures(self) -> dict[str, str]:
        """The cause and its detail of each task that has failed or was cancelled."""
        tasks = self.told("status")["tasks"]
        return {
            task["id"]: f"{task['cause'] or task['state']}: {task['detail']}"
            for task in tasks
            if task["state"] in {"failed", "cancelled"}
        }


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, code_model_dir: Path, toy_problems: Path) -> Path:
    path = tmp_path_factory.mktemp("config") / "toy.yaml"
    problems = "".join(f"{split}_problems: {toy_problems / split}.jsonl\n" for split in ("train", "heldout"))
    path.write_text(f"{OPTIONS}model_name_or_path: {code_model_dir}\n{problems}")
    return path


@pytest.fixture
def disturbed(tmp_path: Path, config: Path, node_names: list[str]) -> Iterator[Experiment]:
    """Whatever a test has left ends with it."""
    experiment = Experiment(tmp_path / "disturbed", config)
    experiment.edit("\nstages:", "\nsetup: source faults.sh {{ stage }} {{ shard | default }}\nstages:")
    (experiment.folder / "faults.sh").write_text(FAULTS)
    yield experiment
    if experiment.has_begun:
        experiment.told("cancel")


@pytest.fixture
def undisturbed(tmp_path: Path, config: Path) -> Iterator[Experiment]:
    """Likewise."""
    experiment = Experiment(tmp_path / "undisturbed", config)
    yield experiment
    if experiment.has_begun:
        experiment.told("cancel")


def test_each_cause_is_named_and_what_failed_run_again_ends_in_the_report_of_an_undisturbed_run(
    disturbed: Experiment, undisturbed: Experiment
) -> None:
    local = undisturbed.start("submit", undisturbed.file.name, "--local")
    limits = '    resources: {time: "1"}\n    stopping: {ahead: "00:00:20", requeues: 0}\n'
    disturbed.edit("    after: [generate]\n", f"    after: [generate]\n{limits}")

    disturbed.told("submit", disturbed.file.name, "--wait", code=1)
    found = disturbed.failures()
    assert found.keys() == {"generate/shard=0", "generate/shard=1"}
    assert "missing or invalid output: " in found["generate/shard=0"]
    assert "the last one, is cut" in found["generate/shard=0"]
    assert found["generate/shard=1"] == "Python error: RuntimeError: no such luck"

    disturbed.told("resubmit", "--failed", "--wait", code=1)
    found = disturbed.failures()
    assert found.keys() == {"score/shard=0", "score/shard=1"}
    assert found["score/shard=0"].startswith("cancelled: ")
    assert found["score/shard=1"].startswith("time limit: ")
    disturbed.edit(limits, "")
    disturbed.told("submit", disturbed.file.name)

    disturbed.told("resubmit", "--failed", "--wait", code=1)
    found = disturbed.failures()
    assert found.keys() == {"train/loss=qrpo,seed=0"}
    assert "SIGKILL" in found["train/loss=qrpo,seed=0"]

    disturbed.told("resubmit", "--failed", "--wait")
    with local:
        stdout, stderr = local.communicate(timeout=600)
    assert local.returncode == 0, stdout + stderr
    mine, theirs = (experiment.told("report")["results"] for experiment in (disturbed, undisturbed))
    assert all(task["succeeded"] and task["outputs"] for task in mine)
    assert mine == theirs
