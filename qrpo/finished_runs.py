"""Finished runs of the pipeline, as they lie on disk."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from qrpo.artifacts import Manifest, check_outputs, read_manifest
from qrpo.borrowed import missing, recorded_source
from qrpo.comparison import by_seed, metrics
from qrpo.data_options import DataConfig
from qrpo.errors import PipelineError
from qrpo.generate_options import GenerateConfig
from qrpo.halves import Halves
from qrpo.journal import read_records
from qrpo.paths import SHARDED, RunPaths, at_step
from qrpo.records import ScoredRollout
from qrpo.results import SelectionResult, StepResult, read_results
from qrpo.score_options import JUDGING
from qrpo.trainer_config import QRPOConfig

_EVALUATION = (
    *("eval_completions", "eval_temperature", "eval_top_p", "eval_seeds"),
    *("max_new_tokens", "stop_after", *JUDGING),
)
"""Options that two runs must share for their results to be compared."""

_PASS_AT = "pass_at_"

LAST = -1
"""The key of a run's last step: how many steps there are can differ with the references."""


class Replicate(NamedTuple):
    """What tells replicates apart."""

    seed: int
    """Of training."""
    sampling_seed: int
    """Of the references, and of evaluation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """A run that was evaluated on held-out problems."""

    path: Path
    algorithm: str
    model: str
    """What training began with."""
    beta: float
    learning_rate: float
    num_refs: int
    """With how many rewards of the reference a completion is compared, if the algorithm does that."""
    replicate: Replicate
    hyperparameters: str
    """All options that its trained model depends on but the seeds, as JSON; equal for replicates."""
    evaluation: Mapping[str, object]
    halves: Halves
    selection: SelectionResult

    @property
    def trained(self) -> dict[int, StepResult]:
        """The evaluated checkpoints by step, the last by `LAST`."""
        *between, last = [item for item in self.selection.steps if item.step > 0]
        return {**{item.step: item for item in between}, LAST: last}

    @property
    def initial(self) -> StepResult:
        """What training began with."""
        return self.selection.steps[0]

    @property
    def pass_k(self) -> int:
        """The largest k of pass@k that was evaluated."""
        return max(int(name.removeprefix(_PASS_AT)) for name in self.selection.metrics if name.startswith(_PASS_AT))

    def rollouts(self, step: StepResult) -> list[ScoredRollout]:
        """Completions of the held-out problems at a step.

        Raises:
            OSError: the file is gone.
        """
        when = at_step(step.step)
        if step == self.trained[LAST]:
            when = "after"
        elif step == self.initial:
            when = "before"
        return read_records(RunPaths(self.path).evaluated(when, "heldout"), ScoredRollout)

    def reported(self, step: StepResult, metric: str) -> NDArray[np.float64]:
        """Values of a metric on the problems of the reporting half, [problems], means over sampling seeds.

        Args:
            step: of `selection`.
            metric: of `qrpo.comparison.metrics`; `pass_at_K` for any K up to the completions of a sampling seed.
        """
        by_id = {rollout.problem_id: rollout for rollout in self.rollouts(step)}
        seeds = len(self.selection.metrics["pass_fraction"].after_seeds.means)
        mine = [by_id[name] for name in self.halves.reporting]
        k = int(metric.removeprefix(_PASS_AT)) if metric.startswith(_PASS_AT) else 1
        values: NDArray[np.float64] = by_seed(mine, metrics(k)[metric], seeds).mean(axis=1)
        return values

    def log(self) -> list[dict[str, float]]:
        """The lines of the training log; none where it is gone.

        Raises:
            PipelineError: it is no log.
        """
        file = RunPaths(self.path).training_log
        try:
            found = [json.loads(line) for line in file.read_bytes().splitlines()] if file.is_file() else []
        except ValueError as error:
            raise PipelineError(f"{file} cannot be read: {error}") from error
        if not all(isinstance(line, dict) for line in found):
            raise PipelineError(f"{file} is no log of training")
        return found


def read_run(path: Path) -> FinishedRun:
    """Reads what a run's folder says of it.

    Raises:
        PipelineError: it is missing, unfinished, or without held-out problems; says which.
    """
    paths = RunPaths(path)
    if not path.is_dir():
        raise PipelineError("there is no such folder")
    paths = RunPaths(path, completions_from=recorded_source(paths))
    finished_evaluation(path)
    try:
        selection = read_results(paths.metrics)["heldout"].selection
        halves = Halves.model_validate_json(paths.halves.read_bytes())
        options = read_options(path)
    except KeyError:
        raise PipelineError("it has no held-out problems") from None
    except (OSError, ValidationError) as error:
        raise PipelineError(f"it cannot be read: {error}") from error
    if selection is None:
        raise PipelineError("it has fewer than two held-out problems")
    return FinishedRun(
        path=path,
        algorithm=("online " if "iterations" in options else "") + options["algorithm"],
        model=options["model_name_or_path"],
        beta=options["beta"],
        learning_rate=options["learning_rate"],
        num_refs=_num_refs(options),
        replicate=Replicate(options["seed"], options["sampling_seed"]),
        hyperparameters=_hyperparameters(paths),
        evaluation={name: options.get(name) for name in _EVALUATION},
        halves=halves,
        selection=selection,
    )


def finished_evaluation(path: Path) -> Manifest:
    """What says how a run was evaluated.

    Raises:
        PipelineError: it is not finished, or what it has made was changed since.
    """
    folder = RunPaths(path).stage("evaluate")
    manifest = read_manifest(folder)
    if manifest is None or not manifest.done:
        raise PipelineError("its evaluation is not finished")
    check_outputs(folder, manifest)
    return manifest


def model_name(model: str) -> str:
    """A short one for figures; a model that a run has trained is known by its run."""
    return Path(model.removesuffix(f"/{RunPaths(Path()).model}")).name


def check_comparable(runs: Sequence[FinishedRun]) -> None:
    """Refuses runs whose results mean different things.

    Raises:
        PipelineError: the problems or the way of evaluating differ; names two runs and what differs.
    """
    first = runs[0]
    for run in runs[1:]:
        if run.halves != first.halves:
            raise PipelineError(f"{first.path} and {run.path} were evaluated on different problems; collect them apart")
        for name, value in run.evaluation.items():
            if value != first.evaluation[name]:
                raise PipelineError(
                    f"{first.path} was evaluated with {name} {first.evaluation[name]!r} and {run.path} with {value!r}; "
                    "collect them apart"
                )


def read_options(path: Path) -> dict[str, Any]:
    """The options of a run, with those that its `config.yaml` leaves out as they are by default.

    Raises:
        PipelineError: it holds something else.
        OSError: it cannot be read.
    """
    configs = (DataConfig, GenerateConfig, QRPOConfig)
    defaults = {field.name: field.default for config in configs for field in dataclasses.fields(config)}
    file = RunPaths(path).config
    try:
        recorded = yaml.safe_load(file.read_bytes())
    except yaml.YAMLError as error:
        raise PipelineError(f"{file} cannot be read: {error}") from error
    if not isinstance(recorded, dict):
        raise PipelineError(f"{file} holds no options")
    return defaults | recorded


def _num_refs(options: Mapping[str, Any]) -> int:
    """See `qrpo.data.References`."""
    there = int(options["num_completions"])
    if options["references"] == "leave_one_out":
        there -= 1
    elif options["references"] == "disjoint":
        there -= int(options["completions_per_prompt"] or 0)
    return min(there, int(options["num_refs"] or there))


def _hyperparameters(paths: RunPaths) -> str:
    """Options of all stages up to training, from their manifests.

    Raises:
        PipelineError: the completions are another run's, and gone or made anew since.
    """
    manifests = {name: read_manifest(paths.stage(name)) for name in (*SHARDED, "train")}
    scored, trained = manifests["score"], manifests["train"]
    if paths.completions_from is not None:
        if scored is None:
            raise PipelineError(missing(paths.completions_from))
        if trained is None or trained.inputs["scored completions"] != scored.outputs.get(paths.scored.name):
            raise PipelineError(f"{paths.scored} was made anew since it was trained on it")
    options: dict[str, object] = {}
    for manifest in manifests.values():
        if manifest is not None:
            options |= manifest.config
    for seed in Replicate._fields:
        options.pop(seed, None)
    return json.dumps(options, sort_keys=True)
