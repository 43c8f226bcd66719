"""QRPOTrainer in two processes, as on two GPUs, by the shipped configurations: the same numbers as in one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from qrpo.config import CONFIGS

PROGRAM = """
import json, os, sys
from qrpo.processes import leave

if os.environ.get("ACCELERATE_USE_FSDP") == "true":
    # accelerate knows FSDP on accelerators alone; torch knows it on processors too.
    import torch.distributed as dist
    from accelerate.state import DistributedType, PartialState

    def prepare_backend(self, *arguments):
        if not dist.is_initialized():
            dist.init_process_group("gloo")
        return "gloo", DistributedType.MULTI_GPU

    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    PartialState._prepare_backend = prepare_backend

import torch
from datasets import Dataset
from peft import LoraConfig
from qrpo.trainer import QRPOConfig, QRPOTrainer

torch.set_num_threads(1)
folder, model, processes = sys.argv[1], sys.argv[2], int(os.environ.get("WORLD_SIZE", "1"))
for name, case in json.load(open(sys.argv[3])).items():
    out = f"{folder}/{name}"
    args = QRPOConfig(
        output_dir=out, use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none", disable_tqdm=True,
        per_device_train_batch_size=8 // processes, per_device_eval_batch_size=4, logging_steps=1,
        learning_rate=1e-2, ddp_find_unused_parameters=False,
        **({"save_strategy": "no", "max_steps": 3, "train_sampling_strategy": "sequential"} | case["options"]),
    )
    rows = Dataset.from_list(case["rows"])
    trainer = QRPOTrainer(
        model, args=args, train_dataset=rows, eval_dataset=rows.select(range(11)),
        peft_config=LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM") if case.get("lora") else None,
    )
    gathered = []
    gather = trainer.accelerator.gather_for_metrics
    trainer.accelerator.gather_for_metrics = lambda rows, **options: gathered.append(1) or gather(rows, **options)
    trainer.train(resume_from_checkpoint=f"{folder}/{case['resume']}" if "resume" in case else None)
    steps = len(gathered)
    trainer.evaluate()
    trainer.save_model(f"{out}/final")
    if trainer.accelerator.is_main_process:
        state = {"log": trainer.state.log_history, "gathered": steps, "sharded": "FSDP" in type(trainer.model).__name__}
        json.dump(state, open(f"{out}/state.json", "w"))
leave(0)
"""

Rows = list[dict[str, Any]]


def pairs_of(rows: Rows) -> Rows:
    return [
        {
            "prompt_ids": row["prompt_ids"],
            "chosen_ids": row["completion_ids"],
            "rejected_ids": [*other["completion_ids"], 0],
            "chosen_reward": 1.0,
            "rejected_reward": 0.0,
        }
        for row, other in pairwise(rows)
    ]


CHECKPOINTS = {"save_strategy": "steps", "save_steps": 2}
# Three steps are an epoch.
SHARED = {"save_strategy": "steps", "save_steps": 4, "max_steps": 6, "train_sampling_strategy": "group_by_prompt"}
CASES: dict[str, dict[str, Any]] = {
    "qrpo": {"options": CHECKPOINTS},
    "resumed": {"options": CHECKPOINTS, "resume": "qrpo/checkpoint-2"},
    "shared": {"options": SHARED},
    "shared_resumed": {"options": SHARED, "resume": "shared/checkpoint-4"},
    "on_the_fly": {"options": {"precompute_ref_log_probs": False}},
    "lora": {"options": {}, "lora": True},
    "dpo": {"options": {"algorithm": "dpo", "max_grad_norm": 0.1}},
    "simpo": {"options": {"algorithm": "simpo"}},
}


class Launched(NamedTuple):
    """What the program left, by case."""

    folder: Path
    processes: int

    def log(self, case: str) -> list[dict[str, float]]:
        return [line for line in self.state(case)["log"] if "loss" in line or "eval_loss" in line]

    def state(self, case: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / case / "state.json").read_text())
        return found

    def weights(self, case: str, where: str = "final") -> dict[str, torch.Tensor]:
        [file] = (self.folder / case / where).glob("*model.safetensors")
        return load_file(file)


@pytest.fixture(scope="module")
def inputs(
    tmp_path_factory: pytest.TempPathFactory, rows: Callable[..., Rows], tiny_model_dir: Path
) -> tuple[Path, Path, Path]:
    folder = tmp_path_factory.mktemp("processes")
    program, cases = folder / "program.py", folder / "cases.json"
    program.write_text(PROGRAM)
    data = {name: rows(24) if name not in {"dpo", "simpo"} else pairs_of(rows(25)) for name in CASES}
    for name in ("shared", "shared_resumed"):
        for k, row in enumerate(data[name]):
            row["prompt_ids"] = [*row["prompt_ids"] * 5, 3 + k // 4]  # so long that sharing it is worth it
    cases.write_text(json.dumps({name: {**case, "rows": data[name]} for name, case in CASES.items()}))
    return program, tiny_model_dir, cases


def launch(inputs: tuple[Path, Path, Path], out: Path, *launcher: str) -> Path:
    program, model, cases = inputs
    out.mkdir()
    environ = os.environ | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "HF_HUB_OFFLINE": "1"}
    command = [*(launcher or (sys.executable,)), str(program), str(out), str(model), str(cases)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=230, check=False, env=environ)
    assert done.returncode == 0, done.stderr[-4000:]
    return out


@pytest.fixture(scope="module")
def alone(inputs: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Launched:
    return Launched(launch(inputs, tmp_path_factory.mktemp("alone") / "out"), 1)


@pytest.fixture(scope="module", params=["ddp", "fsdp2", "zero2", "zero3"])
def together(
    inputs: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Launched:
    python = sys.executable
    if request.param.startswith("zero"):
        python = os.environ.get("QRPO_DEEPSPEED_PYTHON", "")
        if not python:
            pytest.skip("QRPO_DEEPSPEED_PYTHON names no Python with deepspeed (`.ci/deepspeed DIR` makes one)")
    config = CONFIGS / "accelerate" / f"{request.param}.yaml"
    options = ("--config_file", str(config), "--num_processes", "2", "--main_process_port", "0")
    out = tmp_path_factory.mktemp(request.param) / "out"
    found = Launched(launch(inputs, out, python, "-m", "accelerate.commands.launch", *options), 2)
    assert found.state("qrpo")["sharded"] == (request.param == "fsdp2")
    return found


def comparable(log: list[dict[str, float]]) -> list[dict[str, float]]:
    timing = ("runtime", "per_second")
    found = [{name: value for name, value in line.items() if not name.endswith(timing)} for line in log]
    found[0].pop("accuracy", None)  # before the first step margins are rounding
    return found


@pytest.mark.parametrize("case", CASES)
def test_steps_evaluation_and_model_are_those_of_one_process(alone: Launched, together: Launched, case: str) -> None:
    mine, theirs = comparable(alone.log(case)), comparable(together.log(case))
    assert len(mine) == len(theirs) == 1 + CASES[case]["options"].get("max_steps", 3)
    for line, other in zip(mine, theirs, strict=True):
        assert other == pytest.approx(line, rel=1e-5, abs=2e-5)
    weights, others = alone.weights(case), together.weights(case)
    assert weights.keys() == others.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(others[name], weight, atol=2e-5, rtol=0)


@pytest.mark.parametrize(("name", "before"), [("resumed", "qrpo"), ("shared_resumed", "shared")])
def test_a_resumed_run_has_the_same_tail(together: Launched, name: str, before: str) -> None:
    assert comparable(together.log(name)) == comparable(together.log(before))
    whole, resumed = together.weights(before), together.weights(name)
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_a_checkpoint_holds_the_whole_model(alone: Launched, together: Launched) -> None:
    mine, theirs = alone.weights("qrpo", "checkpoint-2"), together.weights("qrpo", "checkpoint-2")
    for name, weight in mine.items():
        torch.testing.assert_close(theirs[name], weight, atol=2e-5, rtol=0)


def test_reference_log_probabilities_are_written_once_under_the_same_name(alone: Launched, together: Launched) -> None:
    """For the adapter as for the whole model; evaluation rows are training rows, and known."""
    [mine] = (alone.folder / "qrpo").glob("ref_logps/*/*.npz")
    for case in ("qrpo", "lora"):
        [theirs] = (together.folder / case).glob("ref_logps/*/*.npz")
        assert theirs.relative_to(together.folder / case) == mine.relative_to(alone.folder / "qrpo")


def test_a_step_gathers_once(together: Launched) -> None:
    assert together.state("qrpo")["gathered"] == 3
