"""Which problems a run trains on and which it only looks at."""

from __future__ import annotations

import dataclasses
import functools
import gc
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from qrpo.data_options import DataConfig
from qrpo.errors import ConfigError
from rewards import Entry, load_builtin, load_problems
from rewards.cases import count_tests, first_tests, without_tests
from rewards.contamination import duplicates, shown_tests
from rewards.prompts import with_prelude
from sandbox import Problem

Split = Literal["train", "heldout"]
States = tuple[tuple[int, ...], ...]
BUILTIN = "builtin"


def load_split(data: DataConfig, split: Split) -> list[Problem]:
    """The problems of one side, in their data set's order; none where no held-out problems are asked for.

    Read once in a process, and again where a file has changed: stages and the checks ahead of them all ask, and to
    parse 100 tests of each of 2,600 problems takes a minute.

    Raises:
        ConfigError: the data set cannot be read, or no problem is left of it.
        RecordError: one of its rows is malformed.
    """
    return list(_load_split(data, split, _states(data)))


def _states(data: DataConfig) -> States:
    """What tells the files of problems from others in their places."""
    sources = (data.train_problems, data.heldout_problems)
    found = [Path(source).stat() for source in sources if source is not None and Path(source).is_file()]
    return tuple((item.st_size, item.st_mtime_ns, item.st_ctime_ns, item.st_ino) for item in found)


@functools.lru_cache(maxsize=4)
def _load_split(data: DataConfig, split: Split, _of: States) -> tuple[Problem, ...]:
    with _no_collection():
        return tuple(_read_split(data, split))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Lets Python's collector of cycles rest, which half of the time of parsing goes to; syntax trees have none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read_split(data: DataConfig, split: Split) -> list[Problem]:
    training = split == "train"
    source = _source(data, split)
    if source is None:
        return []
    problems = prepared([entry.problem for entry in _entries(data, split, source, _states(data))], data, source)
    if training and data.drop_duplicates:
        problems = _without_duplicates(problems, load_split(data, "heldout"), data.duplicate_overlap)
    return problems[: data.max_train_problems if training else data.max_heldout_problems]


def load_answers(data: DataConfig) -> dict[str, str]:
    """The data set's own answer to each training problem, by id (see `rewards.Entry.as_answer`).

    Raises:
        ConfigError: a problem has none; or as `load_split`.
        RecordError: a row is malformed.
    """
    source = _source(data, "train")
    assert source is not None  # it is only held-out problems that a run can do without
    known = {entry.problem.id: entry.as_answer() for entry in _entries(data, "train", source, _states(data))}
    wanted = [problem.id for problem in load_split(data, "train")]
    answers = {name: answer for name in wanted if (answer := known[name]) is not None}
    if len(answers) < len(wanted):
        without = next(name for name in wanted if name not in answers)
        raise ConfigError(
            f"{source}: {len(wanted) - len(answers)} of {len(wanted)} problems have no answer, such as {without!r}; "
            "the generator 'answers' needs a data set with solutions"
        )
    return answers


def _source(data: DataConfig, split: Split) -> str | None:
    return data.train_problems if split == "train" else data.heldout_problems


@functools.lru_cache(maxsize=4)
def _entries(data: DataConfig, split: Split, source: str, _of: States) -> tuple[Entry, ...]:
    """All rows of one side's data set."""
    training = split == "train"
    name = data.train_split if training else data.heldout_split
    revision = data.train_revision if training else data.heldout_revision
    if source == BUILTIN:
        if revision is not None:
            raise ConfigError(f"{split}_revision is {revision!r}; {BUILTIN} problems have none")
        return tuple(load_builtin(split))
    try:
        return tuple(load_problems(source, split=name, revision=revision))
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(f"{split} problems cannot be read from {source!r}: {error}") from error


def prepared(problems: Sequence[Problem], data: DataConfig, source: str) -> list[Problem]:
    """The problems that are left, with the tests and the prompt that are asked for.

    Shown tests go before `max_tests` are counted, and `min_tests` counts those that are left.

    Args:
        problems: as the data set has them.
        data: how they are prepared.
        source: the data set's name, for messages.

    Raises:
        ConfigError: none is left, or tests cannot be counted.
    """
    try:
        left = [found for problem in problems if (found := _prepared(problem, data)) is not None]
    except ValueError as error:
        raise ConfigError(f"{source}: {error}; leave out min_tests, max_tests and drop_shown_tests") from error
    if not left:
        raise ConfigError(
            f"{source}: none of {len(problems)} problems is left with min_tests={data.min_tests} and "
            f"drop_shown_tests={data.drop_shown_tests}"
        )
    return left


def _prepared(problem: Problem, data: DataConfig) -> Problem | None:
    found: Problem | None = problem
    if data.drop_shown_tests:
        found = without_tests(problem, shown_tests(problem))
    if found is None or (data.min_tests is not None and count_tests(found) < data.min_tests):
        return None
    if data.max_tests is not None:
        found = first_tests(found, data.max_tests)
    return with_prelude(found) if data.show_prelude else found


def _without_duplicates(train: list[Problem], heldout: Sequence[Problem], least: float) -> list[Problem]:
    doubled = {pair.train_id for pair in duplicates(train, heldout, least=least)}
    return [problem for problem in train if problem.id not in doubled]


def load_all(data: DataConfig) -> list[Problem]:
    """The problems of both sides.

    Raises:
        ConfigError: as `load_split`; or an id is on both sides, so that a completion's problem would be ambiguous, and
            a held-out problem perhaps trained on; or a problem has no prompt.
        RecordError: a row is malformed.
    """
    train, heldout = load_split(data, "train"), load_split(data, "heldout")
    shared = sorted({problem.id for problem in train} & {problem.id for problem in heldout})
    if shared:
        raise ConfigError(
            f"{len(shared)} ids are both among the training and the held-out problems, such as {shared[0]!r}; "
            "every problem needs an id of its own, and held-out problems must not be trained on"
        )
    for problem in (*train, *heldout):
        if not problem.prompt.strip():
            raise ConfigError(f"problem {problem.id!r} has no prompt, which is all that a model is shown; give it one")
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
