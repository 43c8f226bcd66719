"""Completions and verdicts of initial models, kept for the runs that share a folder (`--reference_dir`).

    FOLDER/evaluations/<hash of what they depend on>.<set of problems>.jsonl

A grid of runs on one model evaluates it once, and not once for each. Runs that start together each do; the first to be
done is the one whose completions all have.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from qrpo.artifacts import package_versions
from qrpo.config import PipelineConfig
from qrpo.errors import PipelineError
from qrpo.journal import read_records, write_records
from qrpo.models import default_device, sampling_dtype
from qrpo.problems import Split
from qrpo.records import ScoredRollout
from sandbox import Problem

log = logging.getLogger(__name__)

_NOT_OF_COMPLETIONS = ("kl_completions", "pass_k", "bootstrap_samples", "eval_checkpoints")
"""Options of the stage that say what is made of completions, not which they are."""


class InitialEvaluations:
    """What is kept of a run's initial model; nothing is, and nothing written, where the run shares no folder."""

    def __init__(self, config: PipelineConfig, inputs: Mapping[str, str]) -> None:
        """Looks at nothing yet.

        Args:
            config: of the run.
            inputs: hashes of what its evaluation is made from, `qrpo.artifacts.Stage.inputs`.
        """
        options = config.stage_options("evaluate")
        made_from = {
            **{name: value for name, value in options.items() if name not in _NOT_OF_COMPLETIONS},
            **{name: digest for name, digest in inputs.items() if name != "trained model"},
            # What a sample can depend on, in its last bit, and a verdict.
            "numbers": str(sampling_dtype(config.generate.sampling_dtype)),
            "device": default_device().type,
            "python": platform.python_version(),
            "qrpo-sandbox": metadata.version("qrpo-sandbox"),
            **package_versions(),
        }
        key = json.dumps(made_from, sort_keys=True, default=str)
        self._folder = config.paths.reference / "evaluations" if config.run.reference_dir is not None else None
        self._name = hashlib.sha256(key.encode()).hexdigest()[:32]
        self._completions = config.evaluate.eval_completions * config.evaluate.eval_seeds

    def read(self, problems: Mapping[Split, Sequence[Problem]]) -> dict[Split, list[ScoredRollout]]:
        """Those of the sets of problems that are kept.

        Raises:
            PipelineError: a file does not hold all of them.
        """
        found = {}
        for split, wanted in problems.items():
            path = self._path(split)
            if path is not None and path.is_file():
                rollouts = read_records(path, ScoredRollout)
                there = {rollout.problem_id: len(rollout.completions) for rollout in rollouts}
                if there != {problem.id: self._completions for problem in wanted}:
                    raise PipelineError(f"{path} lacks completions of the initial model; delete it, to make it anew")
                found[split] = rollouts
        return found

    def keep(self, split: Split, rollouts: list[ScoredRollout]) -> list[ScoredRollout]:
        """Keeps those of a set of problems, unless another run was first.

        Returns:
            What is kept, the same for all runs; where that fails, what was given.
        """
        path = self._path(split)
        if path is None:
            return rollouts
        try:
            return _kept(path, rollouts)
        except OSError as error:
            log.warning("%s cannot be kept (%s); the next run evaluates the initial model again", path, error)
            return rollouts

    def _path(self, split: Split) -> Path | None:
        return None if self._folder is None else self._folder / f"{self._name}.{split}.jsonl"


def _kept(path: Path, rollouts: list[ScoredRollout]) -> list[ScoredRollout]:
    """What the file holds: these, or those of the run that was first.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        draft = Path(folder) / path.name
        write_records(draft, rollouts)
        try:
            os.link(draft, path)
        except FileExistsError:
            return read_records(path, ScoredRollout)
    return rollouts
