"""Which problems a run trains on and which it only looks at."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Literal

from qrpo.data_options import DataConfig
from qrpo.errors import ConfigError
from rewards import load_builtin, load_problems
from sandbox import Problem

Split = Literal["train", "heldout"]
BUILTIN = "builtin"
NONE = "null"
"""As the command line spells it."""


def load_split(data: DataConfig, split: Split) -> list[Problem]:
    """The problems of one side, in their data set's order; none where no held-out problems are asked for.

    Raises:
        ConfigError: the data set cannot be read.
        RecordError: one of its rows is malformed.
    """
    training = split == "train"
    source = data.train_problems if training else data.heldout_problems
    if source is None or source == NONE:
        return []
    if source == BUILTIN:
        entries = load_builtin(split)
    else:
        try:
            entries = load_problems(source, split=data.train_split if training else data.heldout_split)
        except (OSError, ValueError, ImportError) as error:
            raise ConfigError(f"{split} problems cannot be read from {source!r}: {error}") from error
    problems = [entry.problem for entry in entries]
    return problems[: data.max_train_problems if training else data.max_heldout_problems]


def load_all(data: DataConfig) -> list[Problem]:
    """The problems of both sides.

    Raises:
        ConfigError: as `load_split`; or an id is on both sides, so that a completion's problem would be ambiguous, and
            a held-out problem perhaps trained on.
        RecordError: a row is malformed.
    """
    train, heldout = load_split(data, "train"), load_split(data, "heldout")
    shared = sorted({problem.id for problem in train} & {problem.id for problem in heldout})
    if shared:
        raise ConfigError(
            f"{len(shared)} ids are both among the training and the held-out problems, such as {shared[0]!r}; "
            "every problem needs an id of its own, and held-out problems must not be trained on"
        )
    return [*train, *heldout]


def digest(problems: Sequence[Problem]) -> str:
    """SHA-256 over all that is shown to the model or judged by, in hex."""
    sha = hashlib.sha256()
    for problem in problems:
        fields = {item.name: getattr(problem, item.name) for item in dataclasses.fields(problem) if item.name != "meta"}
        sha.update(json.dumps(fields, default=_plain, sort_keys=True).encode() + b"\n")
    return sha.hexdigest()


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)
