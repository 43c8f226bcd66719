"""All options of a run, filled from YAML and the command line by TRL's parser; what each stage depends on."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import yaml
from trl import ModelConfig, TrlParser

from qrpo.changed_options import changed, changed_training, training_options
from qrpo.data_options import DataConfig
from qrpo.errors import ConfigError
from qrpo.evaluate_options import EvaluateConfig
from qrpo.generate_options import GenerateConfig
from qrpo.models import has_fast_bfloat16
from qrpo.paths import RunPaths
from qrpo.run_options import STAGES, RunConfig
from qrpo.score_options import ScoreConfig
from qrpo.trainer_config import QRPOConfig

CONFIGS = Path(__file__).with_name("configs")
DEFAULT_CONFIG = "smollm2_cpu"
_NULL = "null"


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
        others = [None if name is None else Path(name) for name in (self.run.completions_from, self.run.reference_dir)]
        return RunPaths(Path(self.train.output_dir), self.run.part, *others)

    @property
    def model_name(self) -> str:
        """The model, as `qrpo.local_models.local_model` takes it."""
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
        sampling = {**generate, **how}
        judging = self.score.judging()
        part: dict[str, object] = {} if self.run.part is None else {"shard": str(self.run.part)}
        match stage:
            case "generate":
                return {**_only(data, "train"), **self.data.preparation(), **model, **sampling, **generator, **part}
            case "score":
                return {**judging, **_only(data, "train"), **self.data.preparation(), **part}
            case "train":
                chosen = self.data.choice()
                return {**chosen, **model, **changed(self.model), **training_options(self.train)}
            case "evaluate":
                sampling.pop("num_completions")
                data = {name: value for name, value in data.items() if name not in self.data.choice()}
                return {**data, **model, **sampling, **judging, **_plain(self.evaluate)}
            case "report":
                return {}
        raise ValueError(f"there is no stage {stage!r}; known are {', '.join(STAGES)}")

    def to_yaml(self) -> str:
        """All options as a file for `--config`; where it equals the default, TrainingArguments is left out."""
        folders = {name: getattr(self.run, name) for name in ("completions_from", "reference_dir")}
        shared = {name: folder for name, folder in folders.items() if folder is not None}
        sections: dict[str, dict[str, object]] = {
            **({"Run": shared} if shared else {}),
            "Data": _plain(self.data),
            "Model": {"model_name_or_path": self.model.model_name_or_path, **changed(self.model)},
            "Generate": _plain(self.generate),
            "Score": _plain(self.score),
            "Train": {
                "output_dir": str(self.paths.root),
                "use_cpu": self.train.use_cpu,
                **changed_training(self.train),
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
    kinds = (RunConfig, DataConfig, ModelConfig, GenerateConfig, ScoreConfig, QRPOConfig, EvaluateConfig, *more)
    try:
        parser = TrlParser(
            kinds,  # type: ignore[arg-type]  # transformers calls a type of dataclasses what no dataclass's type is
            prog=prog,
            description=f"{description} Files go to --output_dir; started again with the same options, a run continues "
            f"where it was. --config takes a YAML file or one of: {', '.join(shipped_configs())} "
            f"(default {DEFAULT_CONFIG}).",
        )
        _let_null_be_said(parser, kinds)
        # transformers refuses bf16 on a machine without a GPU unless it is told so; TRL's default is bf16 everywhere.
        parser.set_defaults_with_config(use_cpu=not torch.cuda.is_available(), bf16=has_fast_bfloat16())
        *parts, in_file, in_command = parser.parse_args_and_config(
            [*rest, "--config", str(path)], return_remaining_strings=True, separate_remaining_strings=True
        )
    except (OSError, ValueError, ImportError, yaml.YAMLError) as error:  # ImportError: deepspeed
        raise ConfigError(f"{error} (options of the command line and of {path})") from error
    for unknown, place in ((list(in_file), str(path)), (list(in_command), "the command line")):
        if unknown:
            raise ConfigError(f"unknown options in {place}: {' '.join(unknown)} (--help lists all)")
    run, data, model, generate, score, train, evaluate, *others = parts
    config = PipelineConfig(
        run=run, data=data, model=model, generate=generate, score=score, train=train, evaluate=evaluate
    )
    _check(config)
    return Parsed(config, tuple(others))


def _check(config: PipelineConfig) -> None:
    """Refuses options that contradict each other, ahead of any work."""
    data, generate, algorithm = config.data, config.generate, config.train.algorithm
    if not config.model.model_name_or_path:
        raise ConfigError("no model is named; give --model_name_or_path")
    if generate.generator == "answers" and algorithm != "sft":
        raise ConfigError(
            f"algorithm is {algorithm!r}, which compares completions of the model; the generator 'answers' gives "
            "the data set's own: give --algorithm sft, or another --generator"
        )
    if config.evaluate.eval_train_problems == 0 and data.heldout_problems is None:
        raise ConfigError("eval_train_problems is 0 and there are no held-out problems, so nothing could be evaluated")
    trained_on = data.completions_per_prompt or generate.num_completions
    left = generate.num_completions - {"all": 0, "leave_one_out": 1}.get(data.references, trained_on)
    if left < (data.num_refs or 1):
        raise ConfigError(
            f"references is {data.references!r}: of num_completions={generate.num_completions} a completion has "
            f"{max(left, 0)} to be compared with, and num_refs is {data.num_refs or 'all of them'}; give more "
            "--num_completions, a smaller --num_refs"
            + (", or fewer --completions_per_prompt" if data.references == "disjoint" else "")
        )
    if data.pairing is None and algorithm in ("qrpo", "sft"):
        for name in ("pairs_per_prompt", "keep_ties", "selector"):
            if getattr(data, name) != getattr(DataConfig(), name):
                raise ConfigError(
                    f"{name} is {getattr(data, name)!r}, but algorithm {algorithm!r} has no pairs without a pairing; "
                    f"give --pairing, or leave out {name}"
                )


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


def _let_null_be_said(parser: TrlParser, kinds: Sequence[type]) -> None:
    """Lets options that may be None be given as null, as in YAML."""
    # Not of `dataclasses.fields`, of which transformers' parser makes "float" of "float | None".
    types = {
        name: str(given)
        for kind in kinds
        for base in reversed(kind.__mro__)
        for name, given in inspect.get_annotations(base).items()
    }
    for action in parser._actions:  # noqa: SLF001  # argparse has no other list of them
        if ("None" in (given := types.get(action.dest, "")) or "Optional" in given) and action.nargs not in ("+", "*"):
            action.type = _or_none(action.type if callable(action.type) else str)
            action.choices = None if action.choices is None else [*action.choices, None]


def _or_none(kind: Callable[[str], object]) -> Callable[[str], object]:
    @functools.wraps(kind, updated=())  # argparse tells its name
    def value(text: str) -> object:
        return None if text == _NULL else kind(text)

    return value


def _plain(config: DataConfig | GenerateConfig | ScoreConfig | EvaluateConfig) -> dict[str, object]:
    return dataclasses.asdict(config)


def _only(options: Mapping[str, object], word: str) -> dict[str, object]:
    return {name: value for name, value in options.items() if word in name.split("_")}
