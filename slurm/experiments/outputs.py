"""What tasks make, and whether it is whole."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from slurm.experiments.task import Expected, Task


def invalid_output(task: Task) -> str:
    """What is wrong with the first output that is not as the task promises, in words; empty where all are.

    Its check is another matter: it is a command.
    """
    for expected in task.outputs:
        words = _wrong(Path(task.workdir, expected.path), expected)
        if words:
            return f"output {expected.path}: {words}"
    return ""


def missing_input(task: Task) -> str:
    """As `invalid_output`: an input that is not there."""
    missing = next((text for text in task.inputs if not Path(task.workdir, text).exists()), None)
    return "" if missing is None else f"input {missing}: it is not there"


def sizes(task: Task) -> dict[str, int]:
    """Bytes of the outputs that are there, by path; of a folder, of all in it."""
    paths = {expected.path: Path(task.workdir, expected.path) for expected in task.outputs}
    return {text: _size(path) for text, path in paths.items() if path.exists()}


def _wrong(path: Path, expected: Expected) -> str:
    try:
        if path.is_dir():
            return "" if any(path.iterdir()) else "the folder is empty"
        if not path.stat().st_size:
            return "" if expected.lines == 0 else "it is empty"
        if expected.format == "jsonl":
            return _wrong_lines(path, expected.lines)
        if expected.format == "json":
            return _wrong_json(path.read_bytes(), "it")
    except FileNotFoundError:
        return "it is not there"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return ""


def _wrong_lines(path: Path, lines: int | None) -> str:
    number = 0
    line = b"\n"
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            words = _wrong_json(line, f"line {number}")
            if words and line.endswith(b"\n"):
                return words
    if not line.endswith(b"\n"):
        return f"line {number}, the last one, is cut: no newline ends it"
    return "" if lines in {None, number} else f"it has {number} lines, and not {lines}"


def _wrong_json(text: bytes, name: str) -> str:
    try:
        json.loads(text)
    except ValueError as error:  # UnicodeDecodeError is one
        return f"{name} is no JSON: {error}"
    except RecursionError:
        return f"{name} is no JSON that can be read: it is nested too deeply"
    return ""


def _size(path: Path) -> int:
    if not path.is_dir():
        return path.stat().st_size
    return sum(_own_sizes(path))


def _own_sizes(path: Path) -> Sequence[int]:
    return [Path(folder, name).lstat().st_size for folder, _, names in os.walk(path) for name in names]
