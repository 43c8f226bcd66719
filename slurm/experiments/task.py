"""A task: one job of a stage, with all that it does written out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from slurm.experiments.description import Resources, Scalar, Stopping
from slurm.times import seconds

_LONGEST = 120
"""Characters of a folder's name; file systems end at 255 bytes."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Expected(_Record):
    """An output, as `Output` with its templates filled in."""

    path: str
    format: Literal["any", "json", "jsonl"] = "any"
    lines: int | None = None
    check: str | None = None
    """For bash, as `script`."""


class Task(_Record):
    """What a job is told; written to its folder."""

    stage: str
    version: int
    parameters: Mapping[str, Scalar]
    """In the order of the description."""
    script: str
    """For bash: setup and command."""
    environment: Mapping[str, str]
    workdir: str
    inputs: tuple[str, ...]
    outputs: tuple[Expected, ...]
    content: Mapping[str, str]
    """SHA-256 of inputs that no task makes, by path."""
    needs: tuple[str, ...]
    """Ids of tasks that must have succeeded."""
    resources: Resources
    stopping: Stopping

    @property
    def id(self) -> str:
        """Of the task in its experiment: `train/beta=0.1,loss=dpo`; `train@2` from version 2 on."""
        return task_id(self.stage, self.version, self.parameters)

    @property
    def fingerprint(self) -> str:
        """Hash of what it does and makes; not of what it asks of Slurm, nor of what it waits for."""
        done = self.model_dump(exclude={"resources", "stopping", "needs"})
        return hashlib.sha256(json.dumps(done, sort_keys=True).encode()).hexdigest()

    @property
    def folder_name(self) -> str:
        """See `folder_name`."""
        return folder_name(self.id)

    def differences(self, other: Task) -> list[str]:
        """What another task of this id does otherwise, a line for each part."""
        mine, theirs = (item.model_dump(exclude={"resources", "stopping", "needs"}) for item in (self, other))
        return [f"{name}: {theirs[name]!r} then, {mine[name]!r} now" for name in mine if mine[name] != theirs[name]]

    @property
    def limit_s(self) -> int:
        """Its time limit; 0: none."""
        return seconds(self.resources.time)

    @property
    def ahead_s(self) -> int:
        """How long before its time limit it is told; of a short one at its half, since it would be told at once."""
        ahead_s = seconds(self.stopping.ahead)
        return min(ahead_s, self.limit_s // 2) if self.limit_s else ahead_s

    @property
    def output_paths(self) -> list[Path]:
        """Where its outputs are."""
        return [Path(self.workdir, output.path) for output in self.outputs]


def task_id(stage: str, version: int, parameters: Mapping[str, Scalar]) -> str:
    """See `Task.id`."""
    name = stage if version == 1 else f"{stage}@{version}"
    given = ",".join(f"{key}={value}" for key, value in parameters.items())
    return f"{name}/{given}" if given else name


def folder_name(task_id: str) -> str:
    """A task's id in the names that all file systems take; with a hash where something was lost."""
    words = task_id.replace("/", "--", 1)
    plain = "".join(char if char.isascii() and (char.isalnum() or char in "-_.,=@+") else "_" for char in words)
    if plain == words and len(plain) <= _LONGEST:
        return plain
    return f"{plain[: _LONGEST - 9]}-{hashlib.sha256(task_id.encode()).hexdigest()[:8]}"
