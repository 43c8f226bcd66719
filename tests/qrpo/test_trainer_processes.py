"""QRPOTrainer in two processes, as on two GPUs."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import json, os, sys
from datasets import Dataset
from qrpo.trainer import QRPOConfig, QRPOTrainer

folder, rows = sys.argv[1], Dataset.from_list(json.load(open(sys.argv[2])))
processes = int(os.environ.get("WORLD_SIZE", "1"))
args = QRPOConfig(
    output_dir=folder, use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none", disable_tqdm=True,
    per_device_train_batch_size=8 // processes, train_sampling_strategy="sequential", max_steps=2, logging_steps=1,
    learning_rate=1e-2, save_strategy="no", ddp_find_unused_parameters=False, algorithm=sys.argv[4],
)
trainer = QRPOTrainer(sys.argv[3], args=args, train_dataset=rows)
trainer.train()
if trainer.accelerator.is_main_process:
    json.dump([line for line in trainer.state.log_history if "loss" in line], open(folder + "/log.json", "w"))
trainer.accelerator.end_training()
# A thread of the process group may still drop its last tensors, for which it needs the interpreter: where that ends at
# the same moment, torch aborts the process (seen in one run of twenty).
os._exit(0)
"""


def pair_of(row: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    answers = {"chosen_ids": row["completion_ids"], "rejected_ids": [*other["completion_ids"], 0]}
    return {"prompt_ids": row["prompt_ids"], **answers, "chosen_reward": 1.0, "rejected_reward": 0.0}


@pytest.mark.parametrize("algorithm", ["qrpo", "dpo"])
def test_two_processes_with_half_the_batch_each_make_the_same_steps_and_log_them_once(
    rows: Callable[..., list[dict[str, Any]]], model_dir: str, tmp_path: Path, algorithm: str
) -> None:
    program, data = tmp_path / "program.py", tmp_path / "rows.json"
    program.write_text(PROGRAM)
    pairs = [pair_of(*both) for both in zip(rows(19), rows(20)[1:], strict=True)]
    data.write_text(json.dumps(rows(19) if algorithm == "qrpo" else pairs))
    logs = []
    for launcher in ([], ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]):
        out = tmp_path / f"out-{len(logs)}"
        out.mkdir()
        command = [sys.executable, *launcher, str(program), str(out), str(data), model_dir, algorithm]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
        logs.append(json.loads((out / "log.json").read_text()))
        assert len(list((out / "ref_logps").rglob("*.npz"))) == 1
    alone, together = logs
    assert len(alone) == len(together) == 2
    for line, other in zip(alone, together, strict=True):
        assert other == pytest.approx(line, abs=1e-5)
