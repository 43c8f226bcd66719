# ruff: noqa: ARG001, ARG002 -- callbacks and hooks have the signatures of transformers and torch
"""Stage 3: the scored completions to a trained model -> train/model, train/log.jsonl."""

from __future__ import annotations

import copy
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import PartialState
from datasets import Dataset, concatenate_datasets
from peft import PeftModel
from torch import nn
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from trl import get_peft_config

from qrpo import processes
from qrpo.artifacts import Stage
from qrpo.config import PipelineConfig
from qrpo.data import PointwiseRow
from qrpo.display import Bar, Display
from qrpo.errors import PipelineError
from qrpo.files import write_atomically
from qrpo.interrupts import Interrupts
from qrpo.journal import RecordFile
from qrpo.local_models import local_model
from qrpo.models import load_tokenizer, load_trainable
from qrpo.pairs import PairRow
from qrpo.records import ScoredRollout
from qrpo.trainer import QRPOConfig, QRPOTrainer
from qrpo.training_rows import leaves_out_equal, training_rows

log = logging.getLogger(__name__)

MODEL = "model"
LOG = "log.jsonl"
_STATE = "trainer_state.json"
"""The file of a checkpoint that is written last."""
_PART = 1024
"""Rows turned into columns at a time."""


def train(config: PipelineConfig, stage: Stage, display: Display, interrupts: Interrupts) -> None:
    """Trains from the last checkpoint, or from the start.

    A first Ctrl-C lets the current step end and saves a checkpoint, from which the same numbers follow as in a run
    that was never stopped.

    Raises:
        PipelineError: a completion has no reward, no row is left to train on, or options do not fit.
    """
    rollouts = RecordFile(config.paths.scored, ScoredRollout)
    with display.wait("reading scored completions"):
        rows, what, varied = training_rows(rollouts, config.data, config.train)
    with PartialState().main_process_first():  # it may be converted
        name = local_model(
            config.model_name,
            config.paths.reference,
            revision=config.model.model_revision,
            temperature=config.generate.policy_temperature,
        )
    drop = leaves_out_equal(config.train)
    dropped = ", the others are left out" if drop else ""
    if drop and not varied:
        raise PipelineError(
            f"the rewards of each of the {len(rollouts)} prompts are all equal, so there is nothing to learn from; "
            "take easier problems, more --num_completions, or a stronger model"
        )
    display.note(f"{config.train.algorithm}: {len(rows)} {what}; rewards differ within {len(varied)}{dropped}")
    if unused := config.train.unused():
        options = ", ".join(f"{name}={value}" for name, value in unused.items())
        display.note(f"{config.train.algorithm} has no use for {options}")
    used = sum(("chosen_ids" in row) + 1 for row in rows if row["problem_id"] in varied or not drop)
    fit(config, stage, display, interrupts, Work(rows=rows, used=used, policy=name))


class Work(NamedTuple):
    """What a training stage is given."""

    rows: Sequence[PointwiseRow] | Sequence[PairRow]
    used: int
    """Completions that are not left out, for the bar."""
    policy: str
    """The model to start from, as transformers loads it."""
    reference: str | None = None
    """None: the policy as it is before training."""


def fit(config: PipelineConfig, stage: Stage, display: Display, interrupts: Interrupts, work: Work) -> None:
    """Trains from the last checkpoint in the stage's folder, or from the start; writes model and log there.

    Raises:
        PipelineError: no row is left to train on, or the trainer refuses its options.
    """
    if config.train.deepspeed_plugin is not None:
        # transformers looks at that of the options made last, which were defaults to compare with, and are gone again.
        config.train.deepspeed_plugin.set_deepspeed_weakref()
    model = load_trainable(config.model, work.policy)
    reference = None if work.reference is None else load_trainable(config.model, work.reference)
    with _forward_bar(reference or model, display, "reference log-probabilities", work.used):
        try:
            trainer = QRPOTrainer(
                model=model,
                ref_model=reference,
                args=_arguments(config, stage.path),
                train_dataset=as_dataset(work.rows),
                processing_class=load_tokenizer(work.policy, revision=config.model.model_revision),
                peft_config=get_peft_config(config.model),
            )
        except (ValueError, ImportError) as error:  # options that do not fit each other, the rows or the installation
            raise PipelineError(f"training cannot begin: {error}") from error
    trainer.remove_callback(PrinterCallback)
    with PartialState().main_process_first():  # which removes what is not whole
        checkpoint = last_checkpoint(stage.path)
    if checkpoint is not None:
        _check_processes(checkpoint)
        display.note(f"continuing from {checkpoint.name}")
    notice = "Finishing this step and saving a checkpoint; press Ctrl-C again to stop at once."
    with ExitStack() as shown, interrupts.deferred(notice):
        progress = _Progress(display, shown, interrupts)
        trainer.add_callback(progress)
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint is not None else None)
        except Exception as error:
            # Each file of a checkpoint has a reader of its own, with errors of its own.
            if checkpoint is None or progress.begun:
                raise
            raise PipelineError(
                f"{checkpoint} cannot be gone on from: {error}; if it is damaged, delete it, to go on from the one "
                "before or from the start"
            ) from error
        if processes.in_any(interrupts.requested):  # one that came after the last step ends all, too
            interrupts.request()
    _save(trainer, stage, config, work)


def as_dataset(rows: Sequence[PointwiseRow] | Sequence[PairRow]) -> Dataset:
    """Rows as a data set, in their order.

    In parts, since what turns lists into columns holds copies of all that it is given: at the paper's size 0.7 GB more.
    """
    starts = range(0, len(rows), _PART)
    return concatenate_datasets([Dataset.from_list([dict(row) for row in rows[at : at + _PART]]) for at in starts])


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; removes those that were being written when the process was killed."""
    whole: list[Path] = []
    for path in folder.glob("checkpoint-*"):
        if (path / _STATE).is_file():
            whole.append(path)
        else:
            shutil.rmtree(path)
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _check_processes(checkpoint: Path) -> None:
    """Refuses to go on in another number of processes: batches would be others, and shards would not fit.

    Raises:
        PipelineError: saying how many there were.
    """
    before = max(1, len(list(checkpoint.glob("rng_state_*.pth"))))  # transformers writes one for each
    if before != processes.count():
        raise PipelineError(
            f"{checkpoint} is of a training in {before} processes, and this one has {processes.count()}; go on with "
            f"accelerate launch --num_processes {before}, or delete {checkpoint.parent} to train anew"
        )


class _Progress(TrainerCallback):
    """Shows the steps, and ends training after the step in which the user asked for it."""

    def __init__(self, display: Display, shown: ExitStack, interrupts: Interrupts) -> None:
        self._display = display
        self._shown = shown
        self._interrupts = interrupts
        self._bar: Bar | None = None
        self._note = ""

    @property
    def begun(self) -> bool:
        """Whether a step was."""
        return self._bar is not None

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Starts the bar when the first step is about to run, so that its rate means steps."""
        if self._bar is None:
            bar = self._display.bar("training", total=state.max_steps, done=state.global_step, unit="steps")
            self._bar = self._shown.enter_context(bar)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Advances the bar; saves and stops where a signal came, in whichever process."""
        assert self._bar is not None
        self._bar.advance(note=self._note)
        if processes.in_any(self._interrupts.requested):
            self._interrupts.request()
            control.should_save = True
            control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Keeps the latest numbers for the bar."""
        if logs is not None and "loss" in logs:
            shown = {"loss": "loss", "logratio_pass": "log-ratio pass", "logratio_fail": "fail"}
            self._note = "  ".join(f"{label} {float(logs[key]):.2f}" for key, label in shown.items() if key in logs)


@contextmanager
def _forward_bar(model: PreTrainedModel, display: Display, what: str, rows: int) -> Iterator[None]:
    """Shows how many rows ran through the model inside the block; nothing where none did."""
    with ExitStack() as stack:
        bars: list[Bar] = []

        def count(module: nn.Module, args: object, kwargs: dict[str, torch.Tensor], output: object) -> None:
            if not bars:
                bars.append(stack.enter_context(display.bar(what, total=rows, unit="completions")))
            bars[0].advance(len(kwargs["input_ids"]) * processes.count())

        stack.callback(model.register_forward_hook(count, with_kwargs=True).remove)
        yield


def _arguments(config: PipelineConfig, folder: Path) -> QRPOConfig:
    """The trainer's options as given, with what the pipeline decides."""
    args = copy.copy(config.train)
    args.output_dir = str(folder)
    args.disable_tqdm = True
    args.ref_logps_dir = args.ref_logps_dir or str(config.paths.reference / "logps")
    return args


def _save(trainer: QRPOTrainer, stage: Stage, config: PipelineConfig, work: Work) -> None:
    """Writes the model, whole even where an adapter was trained, and the log."""
    folder, adapter = stage.path / MODEL, stage.path / "adapter"
    outputs = [MODEL, LOG]
    model = trainer.accelerator.unwrap_model(trainer.model)
    trainer.save_model(str(adapter if isinstance(model, PeftModel) else folder))  # in all processes: each has a part
    if isinstance(model, PeftModel):
        outputs.append(adapter.name)
        if processes.count() > 1:
            unset_hf_deepspeed_config()  # else ZeRO-3 would load the next model in shards
    if processes.is_main():
        if isinstance(model, PeftModel):
            if processes.count() > 1:  # what is in memory may be shards
                model = PeftModel.from_pretrained(load_trainable(config.model, work.policy), str(adapter))
            model.merge_and_unload().save_pretrained(folder)
        assert trainer.processing_class is not None
        trainer.processing_class.save_pretrained(folder)
        # A pickle with paths in it; the options lie in config.yaml.
        (folder / "training_args.bin").unlink(missing_ok=True)
        lines = [entry for entry in trainer.state.log_history if "loss" in entry]
        write_atomically(stage.path / LOG, "".join(json.dumps(entry, sort_keys=True) + "\n" for entry in lines))
        stage.finish(outputs)
    trainer.accelerator.wait_for_everyone()
    del trainer, model
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
