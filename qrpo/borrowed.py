"""Stages that a run takes from another one's folder (`--completions_from`): checked like its own, and never written."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import yaml

from qrpo.artifacts import changed_outputs, check_folder, hash_inputs, read_manifest
from qrpo.config import PipelineConfig
from qrpo.errors import PipelineError, StaleFolderError
from qrpo.paths import SHARDED, RunPaths


def borrowed_stages(config: PipelineConfig) -> tuple[str, ...]:
    """The stages that are another run's.

    Raises:
        PipelineError: this run has such stages of its own, or was begun with another run's and is asked to go on
            without; or the other run has no such folder.
    """
    paths = config.paths
    recorded = recorded_source(paths)
    if paths.completions_from is None:
        if recorded is not None:
            raise PipelineError(
                f"{paths.root} takes its completions from {recorded}; give --completions_from, also where that was "
                f"moved to, or another --output_dir"
            )
        return ()
    own = [name for name in SHARDED if (paths.root / name).exists() or paths.shards(name).exists()]
    if own:
        raise PipelineError(
            f"{paths.root} has completions of its own ({', '.join(own)}); leave out --completions_from "
            f"{paths.completions_from}, or give another --output_dir"
        )
    if not paths.completions_from.is_dir():
        raise PipelineError(missing(paths.completions_from))
    further = recorded_source(RunPaths(paths.completions_from))
    if further is not None:
        raise PipelineError(
            f"{paths.completions_from} takes its completions from {further} itself; give --completions_from {further}"
        )
    return SHARDED


def check_borrowed(config: PipelineConfig, name: str, inputs: Mapping[str, Path | str]) -> None:
    """Refuses a stage of another run that is not what this run would make.

    Args:
        config: of this run.
        name: of the stage.
        inputs: what this run would make it from.

    Raises:
        PipelineError: it is not there or not finished, with the command that does it; or its files were changed.
        StaleFolderError: it was made with other options or from other inputs; names each.
    """
    folder = config.paths.stage(name)
    manifest = read_manifest(folder)
    if manifest is None or not manifest.done:
        state = "not there" if manifest is None else "not finished"
        raise PipelineError(f"{folder} is {state}, which this run takes its completions from. {_to_do(folder)}")
    changed = changed_outputs(folder, manifest)
    if changed:
        raise PipelineError(
            f"{folder}: {', '.join(changed)} {'is' if len(changed) == 1 else 'are'} missing or changed since that run "
            "has made them; give another --completions_from"
        )
    try:
        check_folder(folder, stage=name, config=config.stage_options(name), hashes=hash_inputs(inputs, name))
    except StaleFolderError as error:
        advice = "Ask for the same, or give another --completions_from; the folder is another run's and stays as it is."
        raise StaleFolderError(name, str(folder), error.differences, advice) from None


def recorded_source(paths: RunPaths) -> Path | None:
    """Where a run that was begun takes its completions from; None: it makes its own, or was not begun.

    Raises:
        PipelineError: its `config.yaml` cannot be read.
    """
    try:
        options = yaml.safe_load(paths.config.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, yaml.YAMLError) as error:
        raise PipelineError(f"{paths.config} cannot be read; mend or delete it: {error}") from error
    source = options.get("completions_from") if isinstance(options, dict) else None
    return None if source is None else Path(source)


def missing(source: Path) -> str:
    """That a run is gone whose completions another takes."""
    return f"there is no {source}, whose completions it takes; if that was moved, give its place by --completions_from"


def _to_do(folder: Path) -> str:
    run, name = RunPaths(folder.parent), folder.name
    stage = "merge" if run.shards(name).is_dir() else name
    if not run.config.is_file():
        return f"Run this command with --output_dir {run.root} --stage {stage}, without --completions_from, first."
    config, root = shlex.quote(str(run.config)), shlex.quote(str(run.root))
    return f"First run: python -m qrpo.train_code --config {config} --output_dir {root} --stage {stage}"
