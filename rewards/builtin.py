"""The problem set of this project: short Python problems by topic, whole topics held out."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from rewards.entry import Entry
from rewards.prompts import code_request
from sandbox.errors import ProblemError, RecordError
from sandbox.jsonl import record_error
from sandbox.limits import Limits
from sandbox.problem import Problem
from sandbox.records import StrictRecord
from sandbox.syntax import check_syntax, parse

Split = Literal["train", "heldout"]
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
"""libyaml reads the set ten times as fast; a PyYAML built without it still works."""
FOLDER = Path(__file__).with_name("problemset")
LIMITS = Limits(cpu_s=2.0)
"""Every reference solution needs milliseconds; a program that runs into this limit loops for ever."""


class _ProblemRow(StrictRecord):
    """One problem of a topic."""

    id: str = Field(pattern=r"^[a-z0-9_-]+/[a-z0-9_-]+$")
    difficulty: Literal["trivial", "easy", "moderate"]
    statement: str = Field(min_length=1)
    signature: str = Field(pattern=r"^def \w+\(.*\).*:$")
    example: str
    """An expression that is true, such as `add(1, 2) == 3`; the prompt shows it."""
    tests: list[str] = Field(min_length=8)
    solution: str
    wrong: list[str] = Field(min_length=2)
    """Plausible programs that fail at least one test."""

    @model_validator(mode="after")
    def _example_is_no_test(self) -> Self:
        """A test whose answer stands in the prompt rewards copying."""
        shown = ast.dump(parse(f"assert {self.example}"))
        if any(ast.dump(parse(test)) == shown for test in self.tests):
            raise ValueError(f"the example {self.example!r} is also a test")
        return self

    def to_entry(self, topic: str, split: Split) -> Entry:
        """The problem; its prompt shows statement, signature and example, and the answer is begun with the signature.

        A model of 135M parameters, sampled at temperature 1, seldom gets as far as the signature by itself. The
        start ends at the colon: after a newline of its own, tokenisers would split the indentation as never seen.
        """
        problem = Problem(
            id=self.id,
            prompt=code_request(" ".join(self.statement.split()), self.signature, self.example),
            answer_start=f"```python\n{self.signature}",
            tests=tuple(self.tests),
            limits=LIMITS,
            meta={"set": "builtin", "topic": topic, "difficulty": self.difficulty, "split": split},
        )
        check_syntax(problem)
        return Entry(problem, self.solution, tuple(self.wrong))


class _TopicFile(StrictRecord):
    """A file of the set. All problems of a topic are on one side of the split, so that held-out ones are new."""

    topic: str
    split: Split
    problems: list[_ProblemRow] = Field(min_length=1)


def load_builtin(split: Split | None = None) -> list[Entry]:
    """The problems of one split, or all of them, by topic and then in file order.

    Raises:
        RecordError: a file of the set is malformed.
    """
    if split not in ("train", "heldout", None):
        raise ValueError(f"split is {split!r}; it must be 'train', 'heldout' or None for both")
    return [entry for entry in _entries(FOLDER) if split in (None, entry.problem.meta["split"])]


@cache
def _entries(folder: Path) -> tuple[Entry, ...]:
    """All problems in a folder of topic files."""
    entries: list[Entry] = []
    places: dict[str, str] = {}
    for path in sorted(folder.glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        topic = _parsed(path, text)
        for row in topic.problems:
            if row.id in places:
                raise RecordError(str(path), _line_of(text, row.id), "id", f"{row.id!r} is also in {places[row.id]}")
            places[row.id] = path.name
            try:
                entries.append(row.to_entry(topic.topic, topic.split))
            except ProblemError as error:
                raise RecordError(str(path), _line_of(text, row.id), error.field, error.reason) from None
            except ValueError as error:
                raise RecordError(str(path), _line_of(text, row.id), "", str(error)) from None
    return tuple(entries)


def _parsed(path: Path, text: str) -> _TopicFile:
    """A file of the set as its record."""
    try:
        content = yaml.load(text, _LOADER)  # noqa: S506  # both are safe loaders
        return _TopicFile.model_validate(content)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RecordError(str(path), line, "", f"not YAML: {error.problem}") from None
    except ValidationError as error:
        place = error.errors()[0]["loc"]
        in_problem = len(place) > 1 and isinstance(place[1], int)
        row = content["problems"][place[1]] if in_problem else None
        line = _line_of(text, row["id"]) if isinstance(row, dict) and "id" in row else 1
        raise record_error(error, path, line) from None


def _line_of(text: str, problem_id: str) -> int:
    """Line of the problem with this id, 1 if it is not found."""
    match = re.search(rf"^\s*-?\s*id:\s*['\"]?{re.escape(problem_id)}['\"]?\s*$", text, re.MULTILINE)
    return text.count("\n", 0, match.start() + 1) + 1 if match else 1
