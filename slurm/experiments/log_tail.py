"""The end of what a job has printed, as a terminal would show it."""

from __future__ import annotations

import os
import re
from pathlib import Path

RUN = "qrpo-experiment: run of "
"""Begins the line that a job prints first: a log holds all the times that it was queued again."""
_BYTES = 2**18
"""Of logs that can have gigabytes. What ranks print when one of them fails is a tenth of that."""
_CONTROL = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
_OVERWRITTEN = re.compile(rb"[^\n]*\r(?=[^\n])")
"""What a progress bar has shown before, up to the last carriage return that something follows."""


def tail_of(path: Path) -> str:
    """The end of the last run in a log; empty where there is none."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            start = max(0, size - _BYTES)
            stream.seek(start)
            data = stream.read(_BYTES)
    except OSError:
        return ""
    if start:
        data = data[data.find(b"\n") + 1 :]  # a line from its middle says something else
    return last_run(cleaned(data))


def cleaned(data: bytes) -> str:
    """Without colours, and of lines that were overwritten the last."""
    data = re.sub(rb"\r+\n", b"\n", data)
    if b"\r" in data:
        data = _OVERWRITTEN.sub(b"", data).replace(b"\r", b"")
    return _CONTROL.sub(b"", data).decode(errors="replace")


def last_run(text: str) -> str:
    """What was printed since a job began, for the last time."""
    start = 0 if text.startswith(RUN) else -1
    start = max(start, text.rfind("\n" + RUN) + 1 if "\n" + RUN in text else -1)
    return text if start < 0 else text[start:].partition("\n")[2]


def last_lines(text: str, count: int) -> str:
    """The last lines that are not empty."""
    found: list[str] = []
    for line in reversed(text.splitlines()):
        if line.strip():
            found.append(line.rstrip())
        if len(found) == count:
            break
    return "\n".join(reversed(found))
