"""The checkpoints of a training run as policies to evaluate."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from peft import PeftModel
from transformers import PreTrainedModel
from transformers.trainer_utils import SaveStrategy

from qrpo import processes
from qrpo.artifacts import read_manifest
from qrpo.config import PipelineConfig
from qrpo.errors import ConfigError, PipelineError
from qrpo.local_models import local_model
from qrpo.models import Policy, load_policy
from qrpo.problems import load_split

_STATE = "trainer_state.json"
_ADAPTER = "adapter_config.json"


class Checkpoint(NamedTuple):
    """A checkpoint folder."""

    step: int
    path: Path


class Trained(NamedTuple):
    """The trained models to evaluate."""

    between: Sequence[Checkpoint]
    """With `eval_checkpoints` those before the last."""
    last: Checkpoint


def trained_models(config: PipelineConfig) -> Trained:
    """What the train stage has left.

    Raises:
        PipelineError: a checkpoint is missing.
    """
    between = scheduled_checkpoints(config)[:-1] if config.evaluate.eval_checkpoints else []
    return Trained(between, Checkpoint(last_step(config), config.paths.model))


def check_kept(config: PipelineConfig) -> None:
    """Refuses options under which `eval_checkpoints` would not find every checkpoint; before any work.

    Raises:
        ConfigError: none are saved, too few are kept, or there are no held-out problems to choose on.
    """
    if not config.evaluate.eval_checkpoints:
        return
    if len(load_split(config.data, "heldout")) < 2:
        raise ConfigError("eval_checkpoints needs two held-out problems at least; give --heldout_problems")
    if config.train.save_strategy not in {"steps", "epoch"}:
        raise ConfigError(
            "eval_checkpoints needs checkpoints, and save_strategy is "
            f"{SaveStrategy(config.train.save_strategy).value!r}; give --save_strategy steps and --save_steps"
        )
    manifest = read_manifest(config.paths.stage("train"))
    if manifest is not None and manifest.done:
        return  # in so many processes as it may have been: `scheduled_checkpoints` sees what is there
    limit, most = config.train.save_total_limit, most_checkpoints(config)
    if limit is not None and limit < most:
        raise ConfigError(
            f"eval_checkpoints evaluates up to {most} checkpoints, and save_total_limit={limit} removes the older "
            f"ones; give --save_total_limit {most} (mind the disk), or a larger --save_steps"
        )


def most_checkpoints(config: PipelineConfig) -> int:
    """How many checkpoints training can make, if every completion of every training problem is trained on."""
    train, per_prompt = config.train, config.generate.num_completions
    data = config.data
    if data.completions_per_prompt is not None and data.pairing is None:
        per_prompt = min(per_prompt, data.completions_per_prompt)
    if data.pairs_per_prompt is not None and data.pairing is not None:
        per_prompt = min(per_prompt, 2 * data.pairs_per_prompt)
    rows = per_prompt * len(load_split(data, "train"))
    batch = train.per_device_train_batch_size * train.gradient_accumulation_steps * processes.count()
    steps = train.max_steps if train.max_steps > 0 else math.ceil(train.num_train_epochs * math.ceil(rows / batch))
    if train.save_strategy == "epoch":
        return math.ceil(train.num_train_epochs) if train.max_steps <= 0 else steps
    every = train.save_steps if train.save_steps >= 1 else math.ceil(train.save_steps * steps)
    return math.ceil(steps / every)


def scheduled_checkpoints(config: PipelineConfig) -> list[Checkpoint]:
    """All checkpoints that the options ask for, by step; those that an interruption left besides are not among them.

    Raises:
        PipelineError: one is missing.
    """
    states = {}
    for path in config.paths.stage("train").glob("checkpoint-*"):
        if (path / _STATE).is_file():
            state = json.loads((path / _STATE).read_text(encoding="utf-8"))
            states[int(state["global_step"])] = (path, state)
    if not states:
        raise PipelineError(f"{config.paths.stage('train')} holds no checkpoints; train with --save_strategy steps")
    last, (_, state) = max(states.items())
    if config.train.save_strategy == "epoch":
        wanted = [step for step, (_, state) in states.items() if step == last or float(state["epoch"]).is_integer()]
    else:
        every = int(state["save_steps"])  # as training had it, in whole steps
        wanted = [*range(every, last, every), last]
    missing = [step for step in wanted if step not in states]
    if missing:
        raise PipelineError(
            f"{config.paths.stage('train')} lacks checkpoint-{missing[0]} (save_total_limit removed it); leave out "
            "--eval_checkpoints, or delete the folder to train again"
        )
    return [Checkpoint(step, states[step][0]) for step in sorted(wanted)]


def last_step(config: PipelineConfig) -> int:
    """The step of the trained model, by the newest checkpoint, or where none was saved the last line of the log."""
    found = [int(path.name.rpartition("-")[2]) for path in config.paths.stage("train").glob("checkpoint-*")]
    logged = config.paths.training_log.read_text(encoding="utf-8").splitlines()
    return max([*found, *(int(json.loads(line)["step"]) for line in logged[-1:])])


def load_initial(config: PipelineConfig) -> Policy:
    """The policy that training began with.

    Raises:
        ModelError: it cannot be loaded.
    """
    name = local_model(
        config.model_name,
        config.paths.reference,
        revision=config.model.model_revision,
        temperature=config.generate.policy_temperature,
    )
    return _load(config, name, config.model.model_revision)


def load_trained(config: PipelineConfig, folder: Path) -> Policy:
    """The trained model, or a checkpoint: whole, or an adapter upon the initial model.

    Raises:
        ModelError: it cannot be loaded.
    """
    if not (folder / _ADAPTER).is_file():
        return _load(config, str(folder), "main")
    initial = load_initial(config)
    model = PeftModel.from_pretrained(initial.model, str(folder)).merge_and_unload()
    assert isinstance(model, PreTrainedModel)
    return Policy(model=model.eval(), tokenizer=initial.tokenizer, end_ids=initial.end_ids)


def _load(config: PipelineConfig, name: str, revision: str) -> Policy:
    return load_policy(
        name,
        dtype=config.generate.sampling_dtype,
        revision=revision,
        attn_implementation=config.model.attn_implementation,
    )
