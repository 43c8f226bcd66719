"""Options of transformers and TRL that differ from their defaults: too many are there to keep them all."""

from __future__ import annotations

import dataclasses
import json

from trl import ModelConfig

from qrpo.trainer_config import QRPOConfig

# Options of TrainingArguments that change where output goes or how it is shown, and no number in it.
_COSMETIC = frozenset(
    {
        *("output_dir", "run_name", "report_to", "project", "trackio_space_id", "disable_tqdm", "ref_logps_dir"),
        "collapse_nats",
        *("logging_dir", "logging_first_step", "log_level", "log_level_replica", "log_on_each_node"),
        *("save_strategy", "save_steps", "save_total_limit", "save_on_each_node", "resume_from_checkpoint"),
        *("dataloader_num_workers", "dataloader_pin_memory", "dataset_num_proc", "include_num_input_tokens_seen"),
        *("push_to_hub", "hub_model_id", "hub_strategy", "hub_token", "hub_private_repo", "hub_always_push"),
    }
)


def training_options(train: QRPOConfig) -> dict[str, object]:
    """Options of the trainer that differ from its defaults and change its numbers."""
    return {name: value for name, value in changed_training(train).items() if name not in _COSMETIC}


def changed_training(train: QRPOConfig) -> dict[str, object]:
    """Options of the trainer that differ from its defaults, and those whose default is found on the machine."""
    default = QRPOConfig(output_dir=train.output_dir, use_cpu=train.use_cpu)
    return {"seed": train.seed, "bf16": train.bf16, **changed(train, default)}


def changed(config: ModelConfig | QRPOConfig, default: ModelConfig | QRPOConfig | None = None) -> dict[str, object]:
    """Fields that differ from a default instance, as JSON values."""
    default = type(config)() if default is None else default
    names = [item.name for item in dataclasses.fields(config) if item.init]
    return {name: _json(getattr(config, name)) for name in names if getattr(config, name) != getattr(default, name)}


def _json(value: object) -> object:
    """Enumerations and paths as text, the rest as it is."""
    plain: object = json.loads(json.dumps(value, default=str))
    return plain
