"""Why tasks were held back, kept until the next submission."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from slurm.experiments.folder import ExperimentFolder, write_atomically


def read_held(folder: ExperimentFolder) -> dict[str, str]:
    """Reasons by the task's id."""
    try:
        found = json.loads(_path(folder).read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): str(reason) for name, reason in found.items()} if isinstance(found, dict) else {}


def write_held(folder: ExperimentFolder, reasons: Mapping[str, str]) -> None:
    """In place of those before."""
    folder.submissions.mkdir(parents=True, exist_ok=True)
    write_atomically(_path(folder), json.dumps(reasons, indent=1) + "\n")


def _path(folder: ExperimentFolder) -> Path:
    return folder.submissions / "held.json"
