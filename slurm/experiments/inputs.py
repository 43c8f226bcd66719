"""What tasks read: files of the user's, and what other tasks make."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from slurm.experiments.made_paths import is_made, made_by
from slurm.experiments.task import Task

_HASHED_BYTES = 64 * 2**20
"""Larger files are known by their size: a model would take minutes."""


def with_content(tasks: Sequence[Task]) -> list[Task]:
    """The tasks, with the hashes of the inputs that no task makes: who changes such a file changes what is run."""
    made = made_by(tasks)
    known: dict[Path, str] = {}
    found = []
    for task in tasks:
        content = {}
        for text in task.inputs:
            path = Path(task.workdir, text)
            if path.is_file() and not is_made(path, made):
                if path not in known:
                    known[path] = _hash(path)
                content[text] = known[path]
        found.append(task.model_copy(update={"content": content}))
    return found


def missing_inputs(tasks: Sequence[Task]) -> list[tuple[Task, Path]]:
    """Inputs that are not there, and that no task makes."""
    made = made_by(tasks)
    paths = [(task, Path(task.workdir, text)) for task in tasks for text in task.inputs]
    return [(task, path) for task, path in paths if not is_made(path, made) and not path.exists()]


def _hash(path: Path) -> str:
    size = path.stat().st_size
    return f"{size} bytes" if size > _HASHED_BYTES else hashlib.sha256(path.read_bytes()).hexdigest()
