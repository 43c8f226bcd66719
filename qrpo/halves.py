"""Two halves of the held-out problems: a model is chosen on one and reported on the other.

What was best of many on some problems was lucky on them as well; problems that took no part in the choice know better.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from qrpo.files import write_atomically
from sandbox import Problem

_SALT = "qrpo halves 1"
"""Fixed, so that every run of every seed and algorithm divides the same problems alike."""


class Halves(BaseModel):
    """Ids of problems; in no order that means anything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    selection: tuple[str, ...]
    reporting: tuple[str, ...]

    def write(self, path: Path) -> None:
        """As JSON, at once or not at all."""
        write_atomically(path, self.model_dump_json(indent=1) + "\n")


def split_halves(problems: Sequence[Problem]) -> Halves | None:
    """Divides problems by a hash of their ids, each difficulty (`meta["difficulty"]`) for itself.

    A half has half of each difficulty, give or take one, and half of all; nothing but ids and difficulties decide.

    Returns:
        None where there are fewer than two problems.
    """
    if len(problems) < 2:
        return None
    ordered = [problem.id for problem in sorted(problems, key=_place)]
    # One of the halves has every second problem: of each run of one difficulty, and of all.
    return Halves(selection=tuple(ordered[1::2]), reporting=tuple(ordered[::2]))


def _place(problem: Problem) -> tuple[str, bytes]:
    return problem.meta.get("difficulty", ""), hashlib.sha256(f"{_SALT}\0{problem.id}".encode()).digest()
