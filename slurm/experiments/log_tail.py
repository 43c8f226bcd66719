"""The end of what a job has printed, as a terminal would show it."""

from __future__ import annotations

import os
import re
from pathlib import Path

RUN = "qrpo-experiment: run of "
"""Begins the line that a job prints first: a log holds all the times that it was queued again."""
_BYTES = 2**17
"""Of logs that can have gigabytes. What 64 ranks print when one of them fails is less."""
_LINE = 1000
"""Characters of a line that are shown."""
_ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_CONTROLS = bytes(set(range(32)) - set(b"\t\n")) + b"\x7f"


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
    if b"\r" in data:
        data = b"\n".join(line.rstrip(b"\r").rpartition(b"\r")[2] for line in data.split(b"\n"))
    if b"\x1b" in data:
        data = _ESCAPES.sub(b"", data)
    return data.translate(None, _CONTROLS).decode(errors="replace")


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
            found.append(shortened(line.rstrip()))
        if len(found) == count:
            break
    return "\n".join(reversed(found))


def shortened(line: str) -> str:
    """Its beginning and its end, where it is as long as a file without a newline."""
    half = _LINE // 2
    return line if len(line) <= _LINE else f"{line[:half]} … {line[-half:]}"
