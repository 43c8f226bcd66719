"""Samples to be evaluated: our own rows, those of human-eval and EvalPlus, those of LiveCodeBench."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from rewards.entry import Entry
from rewards.sources import SourceRow, read_rows
from sandbox.errors import RecordError
from sandbox.extraction import Which, extract_code
from sandbox.jsonl import record_error
from sandbox.records import Submission, SubmissionRecord


class _Row(Protocol):
    """A row of some format, checked."""

    @property
    def names(self) -> str:
        """The problem, as the row calls it."""

    def submissions(self, entry: Entry, which: Which) -> list[Submission]:
        """The programs in it.

        Raises:
            ValueError: they are of no use for this problem.
        """


class _OwnRow(SubmissionRecord):
    """`problem_id`, and `code` or `completion`: a program, or a text that holds one."""

    @property
    def names(self) -> str:
        return self.problem_id

    def submissions(self, entry: Entry, which: Which) -> list[Submission]:
        problem = entry.problem
        if self.language is not None and self.language != problem.language:
            problem = replace(problem, language=self.language)
        code = self.code if self.completion is None else extract_code(self.completion, which, problem.language)
        return [Submission(problem, code, self.id)]


class _ForeignRow(BaseModel):
    """A row of another project; it may have fields that are of no interest here."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class _TaskRow(_ForeignRow):
    """`task_id`, and `solution` or `completion`: a whole program, or what continues the problem's stub.

    Sources: human-eval; EvalPlus, which prefers `solution` where there are both.
    """

    task_id: str | int
    completion: str | None = None
    solution: str | None = None

    @property
    def names(self) -> str:
        return str(self.task_id)

    def submissions(self, entry: Entry, which: Which) -> list[Submission]:  # noqa: ARG002  # they are no Markdown
        if self.solution is not None:
            return [Submission(entry.problem, _or_none(self.solution), None)]
        assert self.completion is not None  # by the fields that tell the format
        if not entry.stub:
            reason = f"continues a function's head, and the set of {entry.problem.id!r} has none; give whole programs"
            raise ValueError(f"completion: with `task_id` it {reason} as `solution`")
        return [Submission(entry.problem, entry.stub + self.completion, None)]


class _QuestionRow(_ForeignRow):
    """`question_id`, and `code_list` or `output_list`: programs, or texts that hold one each. Source: LiveCodeBench."""

    question_id: str | int
    code_list: list[str] | None = None
    output_list: list[str] | None = None

    @property
    def names(self) -> str:
        return str(self.question_id)

    def submissions(self, entry: Entry, which: Which) -> list[Submission]:
        codes: Iterable[str | None]
        if self.code_list is not None:
            codes = map(_or_none, self.code_list)
        else:
            codes = (extract_code(text, which, entry.problem.language) for text in self.output_list or [])
        return [Submission(entry.problem, code, None) for code in codes]


class _Form(NamedTuple):
    """A format, and the fields of which one row has all of a set."""

    row: type[_OwnRow | _TaskRow | _QuestionRow]
    signs: tuple[frozenset[str], ...]


_FORMS: Final = (
    _Form(_OwnRow, (frozenset({"problem_id", "code"}), frozenset({"problem_id", "completion"}))),
    _Form(_TaskRow, (frozenset({"task_id", "solution"}), frozenset({"task_id", "completion"}))),
    _Form(_QuestionRow, (frozenset({"question_id", "code_list"}), frozenset({"question_id", "output_list"}))),
)


def read_samples(path: Path, entries: Sequence[Entry], which: Which = "last") -> list[Submission]:
    """The samples of a file, in its order; each row's fields tell its format.

    Args:
        path: .jsonl or .json, either with .gz.
        entries: the problems that samples may be of. A sample may leave out what stands before the first slash of an
            id, where only one problem ends so, and the case of letters.
        which: block of a text that is the program.

    Raises:
        RecordError: a row is malformed or in no known format, samples are of unknown problems, or there are none.
        OSError: the file cannot be read.
        ValueError: the file's name says that it is something else.
    """
    names = _Names(entries)
    found: list[Submission] = []
    unknown: dict[str, int] = {}
    for source in read_rows(path):
        row = _parsed(path, source)
        entry = names.get(row.names)
        if entry is None:
            unknown.setdefault(row.names, source.number)
            continue
        try:
            found += row.submissions(entry, which)
        except ValueError as error:
            raise RecordError(str(path), source.number, "", str(error)) from None
    if unknown:
        raise _unknown_problems(path, unknown, entries)
    if not found:
        raise RecordError(str(path), 1, "", "no samples; there must be at least one")
    return found


class _Names:
    """Finds problems by what samples call them."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._exact = {entry.problem.id: entry for entry in entries}
        loose: dict[str, list[Entry]] = {}
        for entry in entries:
            whole = entry.problem.id.casefold()
            for name in {whole, whole.partition("/")[2]} - {""}:
                loose.setdefault(name, []).append(entry)
        self._loose = {name: those[0] for name, those in loose.items() if len(those) == 1}

    def get(self, name: str) -> Entry | None:
        """The problem meant, None where there is none or more than one."""
        return self._exact.get(name) or self._loose.get(name.casefold())


def _parsed(path: Path, source: SourceRow) -> _Row:
    fields = {name: value for name, value in source.fields.items() if value is not None}
    for form in _FORMS:
        if any(signs <= fields.keys() for signs in form.signs):
            try:
                return form.row.model_validate(fields)
            except ValidationError as error:
                raise record_error(error, path, source.number) from None
    known = "; ".join(" or ".join("+".join(sorted(signs, key=_ids_first)) for signs in form.signs) for form in _FORMS)
    has = ", ".join(sorted(fields)) or "none"
    raise RecordError(str(path), source.number, "", f"unknown format of samples: the fields are {has}. Known: {known}")


def _ids_first(field: str) -> tuple[bool, str]:
    return not field.endswith("_id"), field


def _or_none(code: str) -> str | None:
    """A blank program is how these formats write that there is none."""
    return code if code.strip() else None


def _unknown_problems(path: Path, unknown: Mapping[str, int], entries: Sequence[Entry]) -> RecordError:
    listed = ", ".join(map(repr, list(unknown)[:5]))
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    problems = ", ".join(repr(entry.problem.id) for entry in entries[:3])
    reason = f"no problem has the id {listed}{more}; {len(entries)} are known, such as {problems}"
    return RecordError(str(path), min(unknown.values()), "", reason)
