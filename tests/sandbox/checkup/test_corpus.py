import json
from collections import Counter
from pathlib import Path

import pytest

from sandbox import Kind, Level, RecordError, Verdict
from sandbox.checkup.corpus import PROGRAMS, load
from sandbox.checkup.guards import GUARDS

# The kinds of attack that docs/security.md names.
GROUPS = {
    "early_exit", "forged_channel", "lying_objects", "reading_answers", "persistence", "resources", "judge_traps",
    "escapes",
}  # fmt: skip
NOT_TRIED_BY_A_PROGRAM = {"control_group", "pid_limit", "interpreter"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hostile" / "group").mkdir(parents=True)
    return tmp_path


def write(folder: Path, *lines: dict[str, object], files: tuple[str, ...] = ("one",)) -> None:
    group = folder / "hostile" / "group"
    (group / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name in files:
        (group / f"{name}.py.txt").write_text("pass\n")


LINE = {"name": "one", "guard": "seccomp", "expect": ["RE"], "why": "tries something forbidden"}


def test_the_corpus_is_large_and_has_every_kind_of_attack() -> None:
    programs = load()
    hostile = [program for program in programs if program.is_hostile]
    assert len(hostile) >= 120
    assert len(programs) - len(hostile) >= 60
    assert {program.name.split("/")[0] for program in hostile} == GROUPS
    assert min(Counter(program.name.split("/")[0] for program in hostile).values()) >= 15
    assert len({program.name for program in programs}) == len(programs)
    assert len({(program.code, program.problem.tests) for program in programs}) == len(programs)


def test_every_guard_has_a_hostile_program() -> None:
    tried = {program.guard for program in load() if program.is_hostile}
    assert GUARDS.keys() - tried == NOT_TRIED_BY_A_PROGRAM


def test_no_program_that_looks_for_the_answers_has_them() -> None:
    for program in load():
        if program.name.startswith("reading_answers/"):
            assert "7391" not in program.code, program.name


def test_most_of_the_corpus_has_a_point_at_the_lower_level() -> None:
    programs = load()
    assert sum(program.runs_at(Level.LANDLOCK) for program in programs) > 0.6 * len(programs)
    assert all(program.runs_at(Level.USERNS) for program in programs)


def test_a_line_and_a_file_make_a_program(folder: Path) -> None:
    write(folder, {**LINE, "by": "stdio", "runs": 2, "limits": {"cpu_s": 1.5}, "needs": ["files"]})
    (program,) = load(folder)
    assert (program.name, program.code, program.runs, program.expect) == ("group/one", "pass\n", 2, {Verdict.RE})
    assert (program.problem.kind, program.problem.limits.cpu_s) == (Kind.STDIO, 1.5)
    assert not program.runs_at(Level.LANDLOCK)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"guard": "wishes"}, "guard is 'wishes'"),
        ({"expect": ["AC"]}, "never to be AC"),
        ({"expect": ["FAST"]}, "expect"),
        ({"name": "two"}, "there is no two.py.txt"),
        ({"name": "../one"}, "name"),
        ({"colour": "red"}, "colour"),
        ({"runs": 0}, "runs"),
        ({"limits": {"cpu_s": -1.0}}, "cpu_s is -1.0"),
        ({"why": ""}, "why"),
        ({"by": {"tests": ["assert ("]}}, "does not compile"),
        ({"by": {"tests": ["f(1)"]}}, "asserts anything"),
    ],
)
def test_a_bad_line_names_its_place_and_its_fault(folder: Path, change: dict[str, object], said: str) -> None:
    write(folder, {**LINE, **change})
    with pytest.raises(RecordError, match=rf"manifest.jsonl:1: .*{said}"):
        load(folder)


def test_a_program_without_a_line_and_one_named_twice_are_errors(folder: Path) -> None:
    write(folder, LINE, files=("one", "forgotten"))
    with pytest.raises(RecordError, match="without a line: forgotten"):
        load(folder)
    write(folder, LINE, LINE)
    (folder / "hostile" / "group" / "forgotten.py.txt").unlink()
    with pytest.raises(RecordError, match="named twice"):
        load(folder)


def test_a_group_without_a_manifest_is_an_error_and_not_left_out(folder: Path) -> None:
    write(folder, LINE)
    (folder / "hostile" / "group" / "manifest.jsonl").unlink()
    with pytest.raises(RecordError, match=r"manifest.jsonl:1: there is no such file, and so no line for one"):
        load(folder)


def test_an_honest_program_is_expected_to_be_ac(folder: Path) -> None:
    (folder / "hostile").rename(folder / "honest")
    group = folder / "honest" / "group"
    (group / "one.py.txt").write_text("pass\n")
    (group / "manifest.jsonl").write_text(json.dumps(LINE) + "\n")
    with pytest.raises(RecordError, match="always to be AC"):
        load(folder)


def test_every_file_is_named_as_the_others() -> None:
    assert {path.name for path in PROGRAMS.rglob("*") if path.is_file()} == {
        "manifest.jsonl",
        *(f"{program.name.split('/')[1]}.py.txt" for program in load()),
    }
