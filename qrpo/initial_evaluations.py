"""Completions and verdicts of initial models, kept for the runs that share a folder (`--reference_dir`).

    FOLDER/evaluations/<hash of what they depend on>.<set of problems>.jsonl

A grid of runs on one model evaluates it once, and not once for each. Runs that start together both do, and write the
same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from qrpo.config import PipelineConfig
from qrpo.journal import read_records, write_records
from qrpo.problems import Split
from qrpo.records import ScoredRollout

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
        options = {
            name: value for name, value in config.stage_options("evaluate").items() if name not in _NOT_OF_COMPLETIONS
        }
        made_from = {name: digest for name, digest in inputs.items() if name != "trained model"}
        key = json.dumps([options, made_from], sort_keys=True, default=str)
        self._folder = config.paths.reference / "evaluations" if config.run.reference_dir is not None else None
        self._name = hashlib.sha256(key.encode()).hexdigest()[:32]

    def read(self, splits: Sequence[Split]) -> dict[Split, list[ScoredRollout]]:
        """Those of the sets of problems that are kept.

        Raises:
            PipelineError: a file does not hold them.
        """
        paths = {split: self._path(split) for split in splits}
        return {split: read_records(path, ScoredRollout) for split, path in paths.items() if path and path.is_file()}

    def write(self, split: Split, rollouts: Sequence[ScoredRollout]) -> None:
        """Keeps those of a set of problems.

        Raises:
            OSError: the folder cannot be written.
        """
        path = self._path(split)
        if path is not None and not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_records(path, rollouts)

    def _path(self, split: Split) -> Path | None:
        return None if self._folder is None else self._folder / f"{self._name}.{split}.jsonl"
