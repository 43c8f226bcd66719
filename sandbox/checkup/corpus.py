"""The corpus of hostile and honest programs that `qrpo-sandbox selftest` runs.

`programs/hostile/GROUP/` and `programs/honest/GROUP/` hold one file per program, NAME.py.txt, and a manifest.jsonl with
one line for each. To add a program is to add both; see the fields of `ManifestLine`.

A hostile program must earn nothing. One that looks for the answers does not know them; any other knows them and gives
them only if its attack worked. So AC means in every case that a guard is broken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from sandbox.checker import Checker, Compare
from sandbox.checkup.guards import GUARDS
from sandbox.errors import ProblemError, RecordError
from sandbox.jsonl import parse_line, read_lines
from sandbox.level import Level
from sandbox.limits import MIB
from sandbox.problem import Kind, Problem, StdioTest
from sandbox.records import LimitsRecord, StdioTestRecord, StrictRecord
from sandbox.syntax import check_syntax
from sandbox.verdict import Verdict

PROGRAMS = Path(__file__).parent / "programs"
_SUFFIX = ".py.txt"
# Small, so that what exceeds them does so at once.
_HOSTILE_LIMITS = {
    "cpu_s": 0.4,
    "total_cpu_s": 0.6,
    "idle_s": 0.5,
    "memory_bytes": 96 * MIB,
    "output_bytes": MIB,
    "processes": 16,
    "disk_bytes": 8 * MIB,
}
ANSWERS = (
    "assert f(2) == 'alpha-7391'",
    "assert f(3) == ['beta', 5023]",
    "assert f(4) == {'gamma': (1, 2)}",
)
_STDIO = StdioTestRecord(stdin="2\n", stdout="alpha-7391\n")
Need = Literal["files", "processes", "proc", "root", "packages"]
"""Files to write, other processes, /proc, a root file system of its own, third-party packages."""
_NOT_AT_LANDLOCK: frozenset[Need] = frozenset({"files", "processes", "proc", "root"})


class FunctionTests(StrictRecord):
    """A `function` problem."""

    tests: list[str] = Field(min_length=1)
    entry_point: str | None = None
    prelude: str = ""


class ManifestLine(StrictRecord):
    """What is said of one program."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Of the file, without its suffix."""
    guard: str
    """What stops it, or must not get in its way: a name in `sandbox.checkup.guards.GUARDS`."""
    expect: list[Verdict] = Field(default_factory=lambda: [Verdict.AC])
    """Verdicts that it may get; AC is for honest programs only."""
    by: Literal["function", "stdio"] | FunctionTests | StdioTestRecord = "function"
    """What it is judged by: one of the two standard problems, whose answers are secret, or one of its own."""
    runs: int = Field(default=1, ge=1, le=20)
    """How often in a row in the same slot; the second run of two looks for what the first left behind."""
    passed: int = Field(default=0, ge=0)
    """Tests that a hostile program may pass at most."""
    limits: LimitsRecord = LimitsRecord()
    """Those that differ from the corpus's."""
    needs: list[Need] = Field(default_factory=list)
    """What it has no point without; it is left out at levels that lack it."""
    why: str = Field(min_length=10)
    """What it tries, in a sentence."""

    @model_validator(mode="after")
    def _known(self) -> ManifestLine:
        if self.guard not in GUARDS:
            raise ValueError(f"guard is {self.guard!r}; known are {', '.join(GUARDS)}")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program of the corpus."""

    name: str
    """`GROUP/NAME`."""
    is_hostile: bool
    guard: str
    why: str
    expect: frozenset[Verdict]
    most_passed: int
    runs: int
    needs: frozenset[Need]
    problem: Problem
    code: str

    def runs_at(self, level: Level) -> bool:
        """Whether it has a point at this level."""
        return level is Level.USERNS or not self.needs & _NOT_AT_LANDLOCK


def load(folder: Path = PROGRAMS) -> list[Program]:
    """All programs, in a fixed order.

    Raises:
        RecordError: a line of a manifest is malformed, a program has no line, or a line no program.
    """
    found: list[Program] = []
    for kind in ("hostile", "honest"):
        for group in sorted(path for path in (folder / kind).glob("*") if path.is_dir()):
            found += _load_group(group / "manifest.jsonl", is_hostile=kind == "hostile")
    return found


def _load_group(manifest: Path, *, is_hostile: bool) -> Iterator[Program]:
    files = {path.name.removesuffix(_SUFFIX): path for path in manifest.parent.glob(f"*{_SUFFIX}")}
    if not manifest.exists():
        raise RecordError(str(manifest), 1, "", f"there is no such file, and so no line for {', '.join(sorted(files))}")
    for place in read_lines(manifest):
        line = parse_line(ManifestLine, place, manifest)
        path = files.pop(line.name, None)
        if path is None:
            reason = f"there is no {line.name}{_SUFFIX}, or it is named twice"
            raise RecordError(str(manifest), place.number, "name", reason)
        if is_hostile == (Verdict.AC in line.expect):
            hostile = "a hostile program is never to be AC; name the verdicts that it may get"
            reason = hostile if is_hostile else "an honest program is always to be AC"
            raise RecordError(str(manifest), place.number, "expect", reason)
        try:
            problem = _problem(line, is_hostile=is_hostile)
            check_syntax(problem)
        except (ValueError, ProblemError) as error:
            raise RecordError(str(manifest), place.number, "", str(error)) from None
        yield Program(
            name=f"{manifest.parent.name}/{line.name}",
            is_hostile=is_hostile,
            guard=line.guard,
            why=line.why,
            expect=frozenset(line.expect),
            most_passed=line.passed,
            runs=line.runs,
            needs=frozenset(line.needs),
            problem=problem,
            code=path.read_bytes().decode("utf-8", "surrogatepass"),
        )
    if files:
        raise RecordError(str(manifest), 1, "", f"programs without a line: {', '.join(sorted(files))}")


def _problem(line: ManifestLine, *, is_hostile: bool) -> Problem:
    limits = LimitsRecord(**(_HOSTILE_LIMITS if is_hostile else {}) | line.limits.model_dump(exclude_none=True))
    by = line.by
    if by == "function":
        by = FunctionTests(tests=list(ANSWERS), entry_point="f")
    elif by == "stdio":
        by = _STDIO
    if isinstance(by, FunctionTests):
        return Problem(
            id=line.name,
            tests=tuple(by.tests),
            entry_point=by.entry_point,
            prelude=by.prelude,
            limits=limits.to_limits(),
        )
    assert isinstance(by, StdioTestRecord)
    return Problem(
        id=line.name,
        kind=Kind.STDIO,
        tests=(StdioTest(stdin=by.stdin, stdout=by.stdout),),
        checker=Checker(compare=Compare.EXACT),
        limits=limits.to_limits(),
    )
