"""Ids of jobs as Slurm's commands take many of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_LONGEST = 60_000
"""Characters of one argument; Linux ends at 131,072."""


def in_calls(jobs: Iterable[str]) -> Iterator[str]:
    """Lists for --jobs, one for each call that is needed. Of an array its number stands for all of its jobs."""
    line = ""
    for base in sorted({job.partition("_")[0] for job in jobs}, key=int):
        if len(line) + len(base) > _LONGEST:
            yield line
            line = ""
        line += f",{base}" if line else base
    if line:
        yield line
