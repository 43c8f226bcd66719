"""A command of somebody else's that saves ahead of its end: transformers' trainer with `enable_jit_checkpoint`."""

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from slurm.experiments.task import Expected

# One that is held waits in its fifth step until it has been told to save, unless it has saved before.
TRAINING = """
import json, pathlib, sys, time
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_jit_checkpoint import JITCheckpointCallback
from transformers.trainer_utils import get_last_checkpoint

out, is_held = pathlib.Path(sys.argv[1]), "held" in sys.argv
out.mkdir(exist_ok=True)
torch.manual_seed(0)

class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(4, 1)
    def forward(self, x, labels):
        return {"loss": ((self.line(x).squeeze(-1) - labels) ** 2).mean()}

class Await(TrainerCallback):
    def on_step_end(self, args, state, control, **more):
        if state.global_step == 5:
            (out / "runs").touch()
            [saving] = [each for each in trainer.callback_handler.callbacks if isinstance(each, JITCheckpointCallback)]
            while not saving.jit_manager.is_checkpoint_requested:
                time.sleep(0.01)

x = torch.randn(64, 4)
rows = [{"x": row, "labels": row.sum()} for row in x]
arguments = TrainingArguments(
    str(out), max_steps=9, per_device_train_batch_size=4, learning_rate=0.1, logging_steps=1, save_strategy="no",
    enable_jit_checkpoint=True, use_cpu=True, report_to="none", disable_tqdm=True)
last = get_last_checkpoint(str(out))
trainer = Trainer(Line(), arguments, train_dataset=rows, callbacks=[Await()] * (is_held and last is None))
trainer.train(resume_from_checkpoint=last)
if trainer.state.global_step == 9:
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    (out / "losses.json").write_text(json.dumps({"losses": losses, "weights": trainer.model.line.weight.tolist()}))
"""


def test_training_that_is_told_to_end_saves_and_ends_as_if_it_had_not_been(
    prepared: Any, start_job: Callable[..., subprocess.Popen[bytes]]
) -> None:
    folder = prepared.workdir
    (folder / "training.py").write_text(TRAINING)
    train = f"{shlex.quote(sys.executable)} training.py"
    disturbed = prepared.task(f"{train} disturbed held", outputs=(Expected(path="disturbed/losses.json"),))
    job = start_job(disturbed)
    while not (folder / "disturbed" / "runs").exists():
        assert job.poll() is None, errors_of(job)
        time.sleep(0.1)
    job.send_signal(signal.SIGUSR2)
    assert job.wait(timeout=120) == 0, errors_of(job)
    assert prepared.events(disturbed) == ["started", "stopped limit", "requeued", "started", "ended 0"]
    assert [path.name for path in (folder / "disturbed").glob("checkpoint-*")] == ["checkpoint-5"]
    subprocess.run([*shlex.split(train), "whole"], cwd=folder, check=True, capture_output=True)
    found, expected = (json.loads((folder / name / "losses.json").read_text()) for name in ("disturbed", "whole"))
    assert len(expected["losses"]) == 9
    assert found == expected


def errors_of(job: subprocess.Popen[bytes]) -> str:
    return job.communicate()[1].decode()
