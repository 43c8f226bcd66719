"""Contest collections: APPS and TACO (`input_output`), LiveCodeBench (`public_test_cases`, `private_test_cases`).

Both mix programs that read stdin with functions to be called. Sources: Hendrycks et al. 2021, arXiv 2105.09938; Li et
al. 2023, arXiv 2312.14852; Jain et al. 2024, arXiv 2403.07974.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import io
import pickle
import zlib
from typing import Literal, NoReturn, TypeVar

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from rewards.entry import Entry
from rewards.formats.stdio import Text, stdio_tests
from sandbox.problem import Kind, Problem, StdioTest
from sandbox.records import StrictRecord

T = TypeVar("T")

# What starter codes and the contests' own judges take for granted.
_PRELUDE = """\
import math
from bisect import *
from collections import *
from functools import *
from heapq import *
from itertools import *
from typing import *
"""


class _Call(StrictRecord):
    """Arguments of a call and the value it must return."""

    args: list[JsonValue]
    expected: JsonValue


class _InputOutput(StrictRecord):
    """The text in `input_output`. Where `fn_name` stands, inputs are argument lists, else texts or lists of lines."""

    inputs: list[JsonValue] = Field(min_length=1)
    outputs: list[JsonValue] = Field(min_length=1)
    fn_name: str | None = None


class ContestRow(StrictRecord):
    """A row of APPS or TACO. The fields that TACO adds are named as it names them and are not used."""

    model_config = ConfigDict(populate_by_name=True)

    question: str
    input_output: str
    solutions: str | list[str] = ""
    starter_code: str | None = None
    problem_id: int | None = None
    difficulty: str | None = None
    url: str | None = None
    name: str | None = None
    source: str | None = None
    tags: JsonValue = None
    raw_tags: JsonValue = None
    skill_types: JsonValue = None
    date: str | dt.datetime | None = None
    picture_num: JsonValue = None
    time_limit: str | None = None
    memory_limit: str | None = None
    auxiliary_space: str | None = Field(default=None, alias="Expected Auxiliary Space")
    time_complexity: str | None = Field(default=None, alias="Expected Time Complexity")

    def to_entry(self) -> Entry:
        """The problem. TACO's rows have no id: theirs is a digest of the question.

        Raises:
            ValueError: `input_output` or `solutions` is not the JSON it should be, or a problem has no tests.
        """
        number = (
            self.problem_id if self.problem_id is not None else hashlib.sha256(self.question.encode()).hexdigest()[:16]
        )
        cases = _parsed(TypeAdapter(_InputOutput), self.input_output, "input_output")
        problem_id, meta = f"contest/{number}", {"difficulty": self.difficulty} if self.difficulty else {}
        solutions = self.solutions
        if isinstance(solutions, str):
            solutions = _parsed(TypeAdapter(list[str]), solutions or "[]", "solutions")
        solution = solutions[0] if solutions else None
        if cases.fn_name is None:
            texts = TypeAdapter(list[Text])
            inputs = _checked(texts, cases.inputs, "input_output.inputs")
            outputs = _checked(texts, cases.outputs, "input_output.outputs")
            tests = stdio_tests(inputs, outputs)
            prompt = self.question
            return Entry(Problem(id=problem_id, prompt=prompt, kind=Kind.STDIO, tests=tests, meta=meta), solution)
        if len(cases.inputs) != len(cases.outputs):
            raise ValueError(f"input_output: {len(cases.inputs)} inputs but {len(cases.outputs)} outputs")
        arguments = _checked(TypeAdapter(list[list[JsonValue]]), cases.inputs, "input_output.inputs")
        calls = [_Call(args=a, expected=e) for a, e in zip(arguments, cases.outputs, strict=True)]
        problem = _function_problem(problem_id, self.question, self.starter_code or "", cases.fn_name, calls, meta)
        return Entry(problem, solution)


class _LiveCase(StrictRecord):
    """A test of LiveCodeBench: texts, or for `functional` JSON, one argument a line."""

    input: str
    output: str
    testtype: Literal["stdin", "functional"]


class LiveCodeBenchRow(StrictRecord):
    """A row of LiveCodeBench's code generation set."""

    question_id: str
    question_title: str
    question_content: str
    public_test_cases: str
    private_test_cases: str
    starter_code: str = ""
    metadata: str = "{}"
    difficulty: str | None = None
    platform: str | None = None
    contest_id: str | None = None
    contest_date: str | dt.datetime | None = None

    def to_entry(self) -> Entry:
        """The problem; the public tests, which the question shows, are judged too, as the benchmark does.

        Raises:
            ValueError: the tests cannot be read, are of both kinds, or the function's name is missing.
        """
        adapter: TypeAdapter[list[_LiveCase]] = TypeAdapter(list[_LiveCase])
        cases = _parsed(adapter, self.public_test_cases, "public_test_cases")
        cases = [*cases, *_parsed(adapter, _unpacked(self.private_test_cases), "private_test_cases")]
        problem_id, meta = (
            f"livecodebench/{self.question_id}",
            {"difficulty": self.difficulty} if self.difficulty else {},
        )
        kinds = {case.testtype for case in cases}
        if kinds == {"stdin"}:
            tests = tuple(StdioTest(stdin=case.input, stdout=case.output) for case in cases)
            prompt = self.question_content
            return Entry(Problem(id=problem_id, prompt=prompt, kind=Kind.STDIO, tests=tests, meta=meta))
        name = _parsed(TypeAdapter(dict[str, JsonValue]), self.metadata, "metadata").get("func_name")
        if kinds != {"functional"} or not isinstance(name, str):
            raise ValueError(f"metadata: test types are {sorted(kinds)} and func_name is {name!r}; expected one type")
        value = TypeAdapter[JsonValue](JsonValue)
        calls = [
            _Call(
                args=[_parsed(value, line, "input") for line in case.input.splitlines()],
                expected=_parsed(value, case.output, "output"),
            )
            for case in cases
        ]
        return Entry(_function_problem(problem_id, self.question_content, self.starter_code, name, calls, meta))


def _function_problem(
    problem_id: str, question: str, starter: str, name: str, calls: list[_Call], meta: dict[str, str]
) -> Problem:
    """A problem of calls; contest functions are methods of `Solution` where the starter code says so."""
    tests = tuple(
        f"def check(candidate):\n    assert candidate({', '.join(map(repr, call.args))}) == {call.expected!r}"
        for call in calls
    )
    return Problem(
        id=problem_id,
        prompt=f"{question}\n\n{starter}".rstrip(),
        tests=tests,
        prelude=_PRELUDE,
        entry_point=f"Solution().{name}" if "class Solution" in starter else name,
        meta=meta,
    )


def _parsed(adapter: TypeAdapter[T], text: str, field: str) -> T:
    """JSON in a field.

    Raises:
        ValueError: it is not what `adapter` says; the message names the field.
    """
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise ValueError(f"{field}: {error.errors(include_url=False)[0]['msg']}") from None


def _checked(adapter: TypeAdapter[T], value: JsonValue, field: str) -> T:
    """A part of parsed JSON; raises as `_parsed` does."""
    try:
        return adapter.validate_python(value, strict=True)
    except ValidationError as error:
        raise ValueError(f"{field}: {error.errors(include_url=False)[0]['msg']}") from None


class _TextUnpickler(pickle.Unpickler):
    """Reads a pickled text, as LiveCodeBench packs its private tests; any class or function in it is an error."""

    def find_class(self, module_name: str, global_name: str, /) -> NoReturn:
        """Refuses."""
        raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}; only text is accepted")


def _unpacked(cases: str) -> str:
    """The private tests as JSON: they are that, or its pickle, compressed, in base 64.

    Raises:
        ValueError: they are neither.
    """
    if cases.lstrip().startswith("["):
        return cases
    try:
        text = _TextUnpickler(io.BytesIO(zlib.decompress(base64.b64decode(cases, validate=True)))).load()
    # A broken pickle may raise any of these; every one means the same here.
    except (ValueError, zlib.error, pickle.UnpicklingError, EOFError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"private_test_cases: neither JSON nor packed JSON: {error}") from None
    if not isinstance(text, str):
        raise ValueError(f"private_test_cases: packed is a {type(text).__name__}, not a text")
    return text
