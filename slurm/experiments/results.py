"""What came out of an experiment: each task's outputs, so that two runs of it can be compared.

Nothing here tells how often a task was tried, when or where, nor in which folder the outputs lie.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypedDict

from slurm.experiments.standing import Standing
from slurm.experiments.state import Kind, State

_THREADS = min(8, os.cpu_count() or 1)


class OutputResult(TypedDict):
    """An output; of a folder, of all files in it."""

    path: str
    """From the folder that holds all outputs."""
    bytes: int
    sha256: str | None
    """Of a folder: of the names and hashes of its files."""


class TaskResult(TypedDict):
    """Of one task."""

    id: str
    succeeded: bool
    outputs: list[OutputResult]
    """Of a task that has succeeded."""


def results_of(standing: Standing, *, has_hashes: bool) -> list[TaskResult]:
    """Of today's tasks, in the order of their ids."""
    states = sorted(standing.states, key=lambda state: state.task.id)
    root = _root(states)
    with ThreadPoolExecutor(_THREADS) as pool:
        paths = {path for state in states if state.kind is Kind.SUCCEEDED for path in state.task.output_paths}
        ordered = sorted(paths)
        found = dict(zip(ordered, pool.map(lambda path: _measured(path, has_hashes=has_hashes), ordered), strict=True))
    return [_result(state, root, found) for state in states]


def _result(state: State, root: Path, found: Mapping[Path, tuple[int, str | None]]) -> TaskResult:
    has_succeeded = state.kind is Kind.SUCCEEDED
    outputs: list[OutputResult] = []
    for path in state.task.output_paths if has_succeeded else ():
        size, digest = found[path]
        outputs.append({"path": os.path.relpath(path, root), "bytes": size, "sha256": digest})
    return {"id": state.task.id, "succeeded": has_succeeded, "outputs": outputs}


def _root(states: Sequence[State]) -> Path:
    folders = [str(path.parent) for state in states for path in state.task.output_paths]
    return Path(os.path.commonpath(folders)) if folders else Path("/")


def _measured(path: Path, *, has_hashes: bool) -> tuple[int, str | None]:
    if not path.is_dir():
        return _file(path, has_hashes=has_hashes)
    files = sorted(item for item in path.rglob("*") if item.is_file())
    measured = [(str(item.relative_to(path)), *_file(item, has_hashes=has_hashes)) for item in files]
    whole = hashlib.sha256("".join(f"{digest} {name}\n" for name, _, digest in measured).encode())
    return sum(size for _, size, _ in measured), whole.hexdigest() if has_hashes else None


def _file(path: Path, *, has_hashes: bool) -> tuple[int, str | None]:
    if not has_hashes:
        return path.stat().st_size, None
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return stream.tell(), digest
