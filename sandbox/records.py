"""The files of `qrpo-sandbox judge`: problems, submissions and results, one JSON object a line.

Nothing is dropped: a row that does not fit its record, a repeated problem or a submission to an unknown one is an
error with its file, line and field. Blank lines are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sandbox.checker import Checker
from sandbox.errors import ProblemError, RecordError
from sandbox.extraction import Which, extract_code
from sandbox.jsonl import parse_line, read_lines
from sandbox.limits import Limits
from sandbox.problem import Kind, Problem, StdioTest
from sandbox.result import JudgeResult, TestResult
from sandbox.syntax import check_syntax
from sandbox.verdict import Verdict
from sandbox.worker.languages import PYTHON


class StrictRecord(BaseModel):
    """Base of all rows: unknown fields are errors, and so is a string where a number belongs."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class LimitsRecord(StrictRecord):
    """Fields of `sandbox.limits.Limits`; those left out keep its defaults."""

    cpu_s: float | None = None
    total_cpu_s: float | None = None
    idle_s: float | None = None
    memory_bytes: int | None = None
    output_bytes: int | None = None
    processes: int | None = None
    disk_bytes: int | None = None
    open_files: int | None = None

    @classmethod
    def from_limits(cls, limits: Limits) -> Self:
        """The row of limits."""
        return cls(**asdict(limits))

    def to_limits(self) -> Limits:
        """The limits.

        Raises:
            ValueError: a limit is out of range.
        """
        return Limits(**self.model_dump(exclude_none=True))


class CheckerRecord(StrictRecord):
    """Fields of `sandbox.checker.Checker`, or its `compare` alone; those left out keep its defaults."""

    compare: str
    abs_tol: float | None = None
    rel_tol: float | None = None
    ignore_case: bool | None = None
    order: str | None = None
    program: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, row: object) -> object:
        """A text is short for an object that has only `compare`."""
        return {"compare": row} if isinstance(row, str) else row

    @classmethod
    def from_checker(cls, checker: Checker) -> Self:
        """The row of a checker: what is not its default."""
        plain = asdict(checker) | {"compare": checker.compare.value, "order": checker.order.value}
        defaults = {field.name: field.default for field in fields(Checker)}
        return cls(**{name: value for name, value in plain.items() if name == "compare" or value != defaults[name]})

    def to_checker(self, problem_id: str) -> Checker:
        """The checker.

        Raises:
            ValueError: a field is out of range, or has no meaning beside the others.
        """
        try:
            return Checker(**self.model_dump(exclude_none=True))
        except ValueError as error:
            raise ValueError(f"problem {problem_id!r}: {error}") from None


class StdioTestRecord(StrictRecord):
    """A test of a `stdio` problem."""

    stdin: str
    stdout: str


class ProblemRecord(StrictRecord):
    """A problem in our own format: the fields of `sandbox.problem.Problem`."""

    id: str = Field(min_length=1)
    prompt: str = ""
    answer_start: str = ""
    kind: Literal["function", "stdio", "shared"] = "function"
    tests: list[str | StdioTestRecord] = Field(min_length=1, fail_fast=True)
    prelude: str = ""
    language: str = PYTHON
    entry_point: str | None = None
    checker: CheckerRecord | None = None
    limits: LimitsRecord = LimitsRecord()
    meta: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def from_problem(cls, problem: Problem) -> Self:
        """The row of a problem."""
        tests = [
            StdioTestRecord(stdin=test.stdin, stdout=test.stdout) if isinstance(test, StdioTest) else test
            for test in problem.tests
        ]
        return cls(
            id=problem.id,
            prompt=problem.prompt,
            answer_start=problem.answer_start,
            kind=problem.kind.value,
            tests=tests,
            prelude=problem.prelude,
            language=problem.language,
            entry_point=problem.entry_point,
            checker=None if problem.checker is None else CheckerRecord.from_checker(problem.checker),
            limits=LimitsRecord.from_limits(problem.limits),
            meta=dict(problem.meta),
        )

    def to_problem(self) -> Problem:
        """The problem.

        Raises:
            ValueError: tests of one kind in a problem of the other, a checker, a language or limits out of range.
        """
        tests = tuple(
            test if isinstance(test, str) else StdioTest(stdin=test.stdin, stdout=test.stdout) for test in self.tests
        )
        return Problem(
            id=self.id,
            prompt=self.prompt,
            answer_start=self.answer_start,
            kind=Kind(self.kind),
            tests=tests,  # type: ignore[arg-type]  # Problem checks that all are of the kind's type
            prelude=self.prelude,
            language=self.language,
            entry_point=self.entry_point,
            checker=None if self.checker is None else self.checker.to_checker(self.id),
            limits=self.limits.to_limits(),
            meta=self.meta,
        )


class SubmissionRecord(StrictRecord):
    """A program, or a completion that holds one."""

    problem_id: str
    code: str | None = None
    completion: str | None = None
    language: str | None = None
    """That of the problem, where there is none."""
    id: str | None = None
    """Comes back in the result."""

    @model_validator(mode="after")
    def _has_one_text(self) -> Self:
        if (self.code is None) == (self.completion is None):
            raise ValueError("a submission has exactly one of `code` and `completion`")
        return self


class ResultTestRecord(StrictRecord):
    """One test of a result."""

    verdict: Verdict
    message: str
    wall_s: float


class ResultRecord(StrictRecord):
    """What became of a submission: the fields of `sandbox.result.JudgeResult`."""

    problem_id: str
    id: str | None = None
    verdict: Verdict
    passed: int
    total: int
    pass_rate: float
    tests: list[ResultTestRecord]
    message: str
    cpu_s: float
    wall_s: float
    peak_memory_bytes: int
    enforcement: str
    tamper_proof: bool

    @classmethod
    def from_result(cls, submission: Submission, result: JudgeResult) -> Self:
        """The row of a result."""
        return cls(
            problem_id=submission.problem.id,
            id=submission.id,
            verdict=result.verdict,
            passed=result.passed,
            total=result.total,
            pass_rate=result.pass_rate,
            tests=[
                ResultTestRecord(verdict=test.verdict, message=_printable(test.message), wall_s=test.wall_s)
                for test in result.tests
            ],
            message=_printable(result.message),
            cpu_s=result.cpu_s,
            wall_s=result.wall_s,
            peak_memory_bytes=result.peak_memory_bytes,
            enforcement=result.enforcement,
            tamper_proof=result.tamper_proof,
        )

    def to_result(self) -> JudgeResult:
        """The result."""
        return JudgeResult(
            verdict=self.verdict,
            passed=self.passed,
            total=self.total,
            tests=tuple(
                TestResult(verdict=test.verdict, message=test.message, wall_s=test.wall_s) for test in self.tests
            ),
            message=self.message,
            cpu_s=self.cpu_s,
            wall_s=self.wall_s,
            peak_memory_bytes=self.peak_memory_bytes,
            enforcement=self.enforcement,
            tamper_proof=self.tamper_proof,
        )


class Submission(NamedTuple):
    """A program for a problem."""

    problem: Problem
    """In the language of the program."""
    code: str | None
    """None: the completion holds no code block, verdict NO_CODE."""
    id: str | None


def read_problems(path: Path) -> dict[str, Problem]:
    """Problems by id, in file order.

    Raises:
        RecordError: a row is malformed, an id occurs twice, or there is no row.
        OSError: the file cannot be read.
    """
    problems: dict[str, Problem] = {}
    first_lines: dict[str, int] = {}
    for line in read_lines(path):
        record = parse_line(ProblemRecord, line, path)
        if record.id in problems:
            reason = f"{record.id!r} is already the id of line {first_lines[record.id]}; ids must differ"
            raise RecordError(str(path), line.number, "id", reason)
        try:
            problems[record.id] = record.to_problem()
            check_syntax(problems[record.id])
        except ProblemError as error:
            raise RecordError(str(path), line.number, error.field, error.reason) from None
        except ValueError as error:
            raise RecordError(str(path), line.number, "", str(error)) from None
        first_lines[record.id] = line.number
    if not problems:
        raise RecordError(str(path), 1, "", "no problem in this file; it must have at least one")
    return problems


def read_submissions(path: Path, problems: Mapping[str, Problem], which: Which = "last") -> Iterator[Submission]:
    """Submissions in file order; `which` block of a completion is its program.

    Raises:
        RecordError: a row is malformed, names a problem that is not in `problems`, or a language that is not known or
            does not fit the problem.
        OSError: the file cannot be read.
    """
    translated: dict[tuple[str, str], Problem] = {}
    for line in read_lines(path):
        record = parse_line(SubmissionRecord, line, path)
        problem = problems.get(record.problem_id)
        if problem is None:
            reason = f"no problem has the id {record.problem_id!r}; {len(problems)} are known"
            raise RecordError(str(path), line.number, "problem_id", reason)
        if record.language is not None and record.language != problem.language:
            key = (problem.id, record.language)
            try:
                problem = translated.get(key) or replace(problem, language=record.language)
            except ValueError as error:
                raise RecordError(str(path), line.number, "language", str(error)) from None
            translated[key] = problem
        code = record.code
        if record.completion is not None:
            code = extract_code(record.completion, which, problem.language)
        yield Submission(problem, code, record.id)


def _printable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot carry and programs may raise, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
