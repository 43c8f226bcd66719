"""Options of the pipeline: one dataclass per stage, filled from YAML and the command line by TRL's parser."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, get_args

import torch
import yaml
from trl import ModelConfig, TrlParser

from qrpo.data_options import DataConfig, at_least
from qrpo.errors import ConfigError
from qrpo.evaluate_options import EvaluateConfig
from qrpo.models import has_fast_bfloat16
from qrpo.paths import SHARDED, RunPaths, Shard
from qrpo.sampling import StopAfter
from qrpo.trainer_config import QRPOConfig

STAGES = ("generate", "score", "train", "evaluate", "report")
MERGE = "merge"
GENERATORS = ("transformers", "vllm")
CONFIGS = Path(__file__).with_name("configs")
DEFAULT_CONFIG = "smollm2_cpu"

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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """What to do."""

    stage: str = field(
        default="all",
        metadata={
            "help": f"One stage alone, or all in order. {MERGE}: shards into what the stage would have made without "
            "them; a later stage does that too.",
            "choices": ["all", *STAGES, MERGE],
        },
    )
    num_shards: int = field(
        default=1,
        metadata={
            "help": f"Do the stage in so many parts, each with a command of its own: {' or '.join(SHARDED)}. In every "
            "stage the same number."
        },
    )
    shard: int | None = field(
        default=None, metadata={"help": "Which part this command does, from 0; SLURM_ARRAY_TASK_ID of a job array."}
    )

    def __post_init__(self) -> None:
        """Checks the numbers."""
        at_least(1, self, "num_shards")
        if self.shard is None and self.num_shards > 1:
            raise ValueError(f"num_shards is {self.num_shards}; say which of them by --shard, from 0")
        if self.shard is not None and not 0 <= self.shard < self.num_shards:
            raise ValueError(
                f"shard is {self.shard}; with num_shards={self.num_shards} it is 0 to {self.num_shards - 1}"
            )
        if self.num_shards > 1 and self.stage not in SHARDED:
            raise ValueError(f"stage {self.stage} is not done in shards; give --stage {' or '.join(SHARDED)}")

    @property
    def part(self) -> Shard | None:
        """The shard that is asked for; None: the whole."""
        return None if self.shard is None or self.num_shards == 1 else Shard(self.shard, self.num_shards)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateConfig:
    """Reference completions; always from the whole distribution at temperature 1."""

    generator: str = field(
        default="transformers",
        metadata={
            "help": "What samples them. vllm: one engine on each GPU; give a --batch_completions of thousands.",
            "choices": list(GENERATORS),
        },
    )
    vllm_python: str | None = field(
        default=None, metadata={"help": "The Python that has vllm, if it is not this one; it needs nothing else."}
    )
    tensor_parallel_size: int = field(default=1, metadata={"help": "GPUs of one engine of vllm."})
    num_completions: int = field(default=20, metadata={"help": "Reference completions per training problem."})
    max_new_tokens: int = field(default=1024, metadata={"help": "Completions are cut there, in every stage."})
    max_prompt_tokens: int | None = field(
        default=None, metadata={"help": "Problems with longer prompts are left out, in every stage. null: none."}
    )
    stop_after: str = field(
        default="end",
        metadata={
            "help": "Where completions end, in every stage. end: where the model ends them. block: also where their "
            "first code block closes. function: also where the function ends that the answer was begun with. What "
            "would follow can neither earn nor cost a reward then, and is never sampled nor trained on.",
            "choices": list(get_args(StopAfter)),
        },
    )
    policy_temperature: float = field(
        default=1.0,
        metadata={
            "help": "The policy is the model at this temperature: its logits are divided by it, for good. "
            "References, loss, evaluation and the trained model are all of that policy, at temperature 1. "
            "Small models write little that runs at their own."
        },
    )
    batch_completions: int = field(default=128, metadata={"help": "Completions sampled at a time, in every stage."})
    sampling_dtype: str = field(
        default="auto",
        metadata={
            "help": "Number format for sampling; auto: bfloat16 where it is fast.",
            "choices": ["auto", "float32", "bfloat16", "float16"],
        },
    )

    def __post_init__(self) -> None:
        """Checks the numbers."""
        at_least(1, self, "num_completions", "max_new_tokens", "max_prompt_tokens")
        at_least(1, self, "batch_completions", "tensor_parallel_size")
        if self.generator not in GENERATORS:
            raise ValueError(f"generator is {self.generator!r}; it must be one of {GENERATORS}")
        if not self.policy_temperature > 0:
            raise ValueError(f"policy_temperature is {self.policy_temperature}; it must be greater than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreConfig:
    """How completions are judged."""

    which_block: str = field(
        default="last",
        metadata={"help": "Which code block of a completion is the program.", "choices": ["last", "first"]},
    )
    reward: str = field(
        default="fraction",
        metadata={"help": "fraction of tests passed, or 1 where all pass, else 0.", "choices": ["fraction", "all"]},
    )
    sandbox_workers: int | None = field(
        default=None, metadata={"help": "Programs judged at a time. null: one per core."}
    )
    score_chunk: int = field(default=32, metadata={"help": "Problems judged between two writes to disk."})

    def __post_init__(self) -> None:
        """Checks the numbers."""
        at_least(1, self, "sandbox_workers", "score_chunk")


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineConfig:
    """All options of a run."""

    run: RunConfig
    data: DataConfig
    model: ModelConfig
    generate: GenerateConfig
    score: ScoreConfig
    train: QRPOConfig
    evaluate: EvaluateConfig

    @property
    def paths(self) -> RunPaths:
        """The folder of the run."""
        assert self.train.output_dir is not None
        return RunPaths(Path(self.train.output_dir), self.run.part)

    @property
    def model_name(self) -> str:
        """The model, as `qrpo.models.local_model` takes it."""
        assert self.model.model_name_or_path is not None  # `parse` refuses to go without
        return str(self.model.model_name_or_path)

    def stage_options(self, stage: str) -> dict[str, object]:
        """The options that the outputs of a stage depend on, beyond its input files; by name, JSON values."""
        data, generate = _plain(self.data), _plain(self.generate)
        model = {name: getattr(self.model, name) for name in ("model_name_or_path", "model_revision")}
        model["policy_temperature"] = self.generate.policy_temperature
        how = {"attn_implementation": self.model.attn_implementation}
        generator = {"generator": generate.pop("generator")}
        for name in ("vllm_python", "tensor_parallel_size"):  # where it runs
            generate.pop(name)
        sampling = {**generate, **how, "seed": self.train.seed}
        judging = {name: getattr(self.score, name) for name in ("which_block", "reward")}
        part: dict[str, object] = {} if self.run.part is None else {"shard": str(self.run.part)}
        match stage:
            case "generate":
                return {**_only(data, "train"), **self.data.preparation(), **model, **sampling, **generator, **part}
            case "score":
                return {**judging, **_only(data, "train"), **self.data.preparation(), **part}
            case "train":
                chosen = self.data.choice()
                return {**chosen, **model, **_changed(self.model), **_training_options(self.train)}
            case "evaluate":
                sampling.pop("num_completions")
                data = {name: value for name, value in data.items() if name not in self.data.choice()}
                return {**data, **model, **sampling, **judging, **_plain(self.evaluate)}
            case "report":
                return {}
        raise ValueError(f"there is no stage {stage!r}; known are {', '.join(STAGES)}")

    def to_yaml(self) -> str:
        """All options as a file for `--config`; where it equals the default, TrainingArguments is left out."""
        sections = {
            "Data": _plain(self.data),
            "Model": {"model_name_or_path": self.model.model_name_or_path, **_changed(self.model)},
            "Generate": _plain(self.generate),
            "Score": _plain(self.score),
            "Train": {
                "output_dir": str(self.paths.root),
                "use_cpu": self.train.use_cpu,
                **_changed_training(self.train),
            },
            "Evaluate": _plain(self.evaluate),
        }
        return "".join(f"# {title}\n{yaml.safe_dump(part, sort_keys=False)}" for title, part in sections.items())


class Parsed(NamedTuple):
    """What the command line and a file say."""

    config: PipelineConfig
    more: tuple[object, ...]
    """Of the other dataclasses that were asked for."""


def parse(argv: Sequence[str]) -> PipelineConfig:
    """Options from the command line, over those of `--config` (default: the shipped `smollm2_cpu`).

    Raises:
        ConfigError: an option is unknown or has a value that cannot be used; or the file cannot be read.
        SystemExit: `--help`, or argparse's own complaint about the command line.
    """
    return parse_with(
        argv,
        prog="python -m qrpo.train_code",
        description="Take a language model to a QRPO-aligned one: generate -> score -> train -> evaluate -> report.",
    ).config


def parse_with(argv: Sequence[str], *more: type, prog: str, description: str) -> Parsed:
    """Likewise, with the options of further dataclasses.

    Args:
        argv: the command line.
        more: dataclasses, whose options come last.
        prog: the command.
        description: what it does.

    Raises:
        ConfigError, SystemExit: see `parse`.
    """
    rest, path = _config_file(list(argv))
    try:
        parser = TrlParser(
            # transformers calls a type of dataclasses what no dataclass's type is
            (RunConfig, DataConfig, ModelConfig, GenerateConfig, ScoreConfig, QRPOConfig, EvaluateConfig, *more),  # type: ignore[arg-type]
            prog=prog,
            description=f"{description} Files go to --output_dir; started again with the same options, a run continues "
            f"where it was. --config takes a YAML file or one of: {', '.join(shipped_configs())} "
            f"(default {DEFAULT_CONFIG}).",
        )
        # transformers refuses bf16 on a machine without a GPU unless it is told so; TRL's default is bf16 everywhere.
        parser.set_defaults_with_config(use_cpu=not torch.cuda.is_available(), bf16=has_fast_bfloat16())
        *parts, in_file, in_command = parser.parse_args_and_config(
            [*rest, "--config", str(path)], return_remaining_strings=True, separate_remaining_strings=True
        )
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{error} (options of the command line and of {path})") from error
    for unknown, place in ((list(in_file), str(path)), (list(in_command), "the command line")):
        if unknown:
            raise ConfigError(f"unknown options in {place}: {' '.join(unknown)} (--help lists all)")
    run, data, model, generate, score, train, evaluate, *others = parts
    config = PipelineConfig(
        run=run, data=data, model=model, generate=generate, score=score, train=train, evaluate=evaluate
    )
    if not config.model.model_name_or_path:
        raise ConfigError("no model is named; give --model_name_or_path")
    return Parsed(config, tuple(others))


def shipped_configs() -> list[str]:
    """Names of the configurations that come with the package."""
    return sorted(file.stem for file in CONFIGS.glob("*.yaml"))


def _config_file(argv: list[str]) -> tuple[list[str], Path]:
    """The command line without `--config`, and the file it names."""
    rest: list[str] = []
    name = DEFAULT_CONFIG
    words = iter(argv)
    for word in words:
        if word == "--config":
            name = next(words, "")
        elif word.startswith("--config="):
            name = word.removeprefix("--config=")
        else:
            rest.append(word)
    path = CONFIGS / f"{name}.yaml" if name in shipped_configs() else Path(name)
    if not path.is_file():
        raise ConfigError(f"--config {name}: no such file, nor one of {', '.join(shipped_configs())}")
    return rest, path


def _training_options(train: QRPOConfig) -> dict[str, object]:
    """Options of the trainer that differ from its defaults and change its numbers."""
    return {name: value for name, value in _changed_training(train).items() if name not in _COSMETIC}


def _changed_training(train: QRPOConfig) -> dict[str, object]:
    """Options of the trainer that differ from its defaults, and those whose default is found on the machine."""
    default = QRPOConfig(output_dir=train.output_dir, use_cpu=train.use_cpu)
    return {"seed": train.seed, "bf16": train.bf16, **_changed(train, default)}


def _changed(config: ModelConfig | QRPOConfig, default: ModelConfig | QRPOConfig | None = None) -> dict[str, object]:
    """Fields that differ from a default instance, as JSON values."""
    default = type(config)() if default is None else default
    names = [item.name for item in dataclasses.fields(config) if item.init]
    return {name: _json(getattr(config, name)) for name in names if getattr(config, name) != getattr(default, name)}


def _plain(config: DataConfig | GenerateConfig | ScoreConfig | EvaluateConfig) -> dict[str, object]:
    return dataclasses.asdict(config)


def _only(options: Mapping[str, object], word: str) -> dict[str, object]:
    return {name: value for name, value in options.items() if word in name.split("_")}


def _json(value: object) -> object:
    """Enumerations and paths as text, the rest as it is."""
    plain: object = json.loads(json.dumps(value, default=str))
    return plain
