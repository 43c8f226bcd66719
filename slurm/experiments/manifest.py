"""Which tasks an experiment has today: EXPERIMENT/manifest.json, written by `submit`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from slurm.errors import ExperimentError
from slurm.experiments.description import Limits
from slurm.experiments.folder import ExperimentFolder, write_atomically


class Manifest(BaseModel):
    """What the other commands need of the description, so that they do not read it again: it may have changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    file: str
    """Path of the description."""
    changes: tuple[str, ...]
    """As given by --set."""
    limits: Limits
    disk: Mapping[str, str]
    """`Stage.disk`, by stage, where it is given."""
    tasks: tuple[str, ...]
    """Ids, those that others wait for first. What the folder holds besides has left the description."""


def manifest_path(folder: ExperimentFolder) -> Path:
    """Where it is; a folder without it is no experiment."""
    return folder.path / "manifest.json"


def read_manifest(folder: ExperimentFolder) -> Manifest:
    """The manifest.

    Raises:
        ExperimentError: the folder is no experiment's.
    """
    path = manifest_path(folder)
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ExperimentError(
            f"{folder.path} is no experiment's folder; `qrpo-experiment submit FILE` makes one"
        ) from None
    except OSError as error:
        raise ExperimentError(f"{path}: {error.strerror}") from None
    except ValidationError:
        raise ExperimentError(f"{path} is damaged; `qrpo-experiment submit FILE` writes it again") from None


def write_manifest(folder: ExperimentFolder, manifest: Manifest) -> None:
    """Replaces it."""
    write_atomically(manifest_path(folder), manifest.model_dump_json(indent=1) + "\n")
