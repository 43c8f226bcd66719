from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.checker import Checker, Compare, Order
from sandbox.errors import RecordError
from sandbox.jsonl import Line, parse_line, write_atomically
from sandbox.limits import Limits
from sandbox.problem import Kind, Problem, StdioTest
from sandbox.records import (
    LimitsRecord,
    ProblemRecord,
    ResultRecord,
    Submission,
    read_problems,
    read_submissions,
)
from sandbox.result import JudgeResult
from sandbox.result import TestResult as CaseResult
from sandbox.verdict import Verdict
from sandbox.wire import key_of
from sandbox.worker.languages import NAMES

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
FINITE = st.floats(min_value=0.001, max_value=1e6)
LIMITS = st.builds(
    Limits,
    cpu_s=FINITE,
    total_cpu_s=st.none() | FINITE,
    idle_s=FINITE,
    memory_bytes=st.integers(32 << 20, 1 << 40),
    output_bytes=st.integers(1, 1 << 31),
    processes=st.integers(1, 1000),
    disk_bytes=st.integers(1, 1 << 46),
    open_files=st.integers(16, 1 << 16),
)
COMMON = {
    "id": TEXT.filter(bool),
    "prompt": TEXT,
    "answer_start": TEXT,
    "limits": LIMITS,
    "meta": st.dictionaries(TEXT, TEXT, max_size=3),
}
CHECKERS = st.builds(
    Checker,
    compare=st.sampled_from([Compare.EXACT, Compare.TOKENS, Compare.FLOATS]),
    abs_tol=st.floats(0, 1e6),
    rel_tol=st.floats(0, 0.5),
    ignore_case=st.booleans(),
    order=st.sampled_from(Order),
)
PROGRAMS = st.builds(Checker, compare=st.just(Compare.PROGRAM), program=TEXT.filter(str.strip))
PROBLEMS = st.one_of(
    st.builds(
        Problem,
        kind=st.just(Kind.FUNCTION),
        tests=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
        entry_point=st.none() | TEXT,
        prelude=TEXT,
        checker=st.none() | CHECKERS,
        **COMMON,
    ),
    st.builds(
        Problem,
        kind=st.just(Kind.SHARED),
        tests=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
        entry_point=st.none() | TEXT,
        prelude=TEXT,
        **COMMON,
    ),
    st.builds(
        Problem,
        kind=st.just(Kind.STDIO),
        tests=st.lists(st.builds(StdioTest, stdin=TEXT, stdout=TEXT), min_size=1, max_size=3).map(tuple),
        checker=st.none() | CHECKERS | PROGRAMS,
        language=st.sampled_from(NAMES),
        **COMMON,
    ),
)
ADD = Problem(id="add", tests=("assert add(1, 2) == 3",), entry_point="add")
RESULT = JudgeResult(
    verdict=Verdict.WA,
    passed=1,
    total=4,
    tests=(CaseResult(verdict=Verdict.AC, message="", wall_s=0.25),),
    message="test 2: 3 != 4",
    cpu_s=0.5,
    wall_s=0.75,
    peak_memory_bytes=1 << 20,
    enforcement="userns",
    tamper_proof=True,
)

RESULTS = st.builds(
    JudgeResult,
    verdict=st.sampled_from(Verdict),
    passed=st.integers(0, 9),
    total=st.integers(1, 9),
    tests=st.lists(
        st.builds(CaseResult, verdict=st.sampled_from(Verdict), message=TEXT, wall_s=st.floats(0, 1e6)), max_size=3
    ).map(tuple),
    message=TEXT,
    cpu_s=st.floats(0, 1e6),
    wall_s=st.floats(0, 1e6),
    peak_memory_bytes=st.integers(0, 1 << 46),
    enforcement=st.sampled_from(["userns", "landlock"]),
    tamper_proof=st.booleans(),
)


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@given(PROBLEMS)
def test_a_problem_comes_back_as_it_was(problem: Problem) -> None:
    text = json.dumps(dataclasses.asdict(problem))
    assert parse_line(ProblemRecord, Line(1, text), Path("p")).to_problem() == problem


@given(PROBLEMS)
def test_a_problem_that_is_sent_comes_back_as_it_was_and_keeps_its_key(problem: Problem) -> None:
    sent = ProblemRecord.from_problem(problem)
    for line in (sent.model_dump_json(), sent.model_dump_json(exclude_defaults=True)):
        received = ProblemRecord.model_validate_json(line)
        assert received.to_problem() == problem
        assert key_of(received) == key_of(sent)


@given(LIMITS)
def test_limits_come_back_as_they_were(limits: Limits) -> None:
    sent = LimitsRecord.from_limits(limits).model_dump_json(exclude_none=True)
    assert LimitsRecord.model_validate_json(sent).to_limits() == limits


def test_whole_seconds_given_as_integers_come_back_equal_and_with_the_same_key() -> None:
    problem = dataclasses.replace(ADD, limits=Limits(cpu_s=3, idle_s=1))
    sent = ProblemRecord.from_problem(problem)
    received = ProblemRecord.model_validate_json(sent.model_dump_json())
    assert received.to_problem() == problem
    assert key_of(received) == key_of(sent)


@given(RESULTS)
def test_a_result_comes_back_as_it_was(result: JudgeResult) -> None:
    line = ResultRecord.from_result(Submission(ADD, "", None), result).model_dump_json(exclude_none=True)
    assert ResultRecord.model_validate_json(line).to_result() == result


def test_problems_are_read_in_order(tmp_path: Path) -> None:
    echo = Problem(id="Echo", kind=Kind.STDIO, tests=(StdioTest(stdin="a", stdout="a\n"),))
    write(tmp_path / "p.jsonl", dataclasses.asdict(echo), dataclasses.asdict(ADD))
    assert list(read_problems(tmp_path / "p.jsonl").values()) == [echo, ADD]


def test_a_problem_needs_only_an_id_and_tests(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", {"id": "a", "tests": ["assert f() == 1"]})
    assert read_problems(path) == {"a": Problem(id="a", tests=("assert f() == 1",))}


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ({"tests": ["assert True"]}, "id", "required"),
        ({"id": "b"}, "tests", "required"),
        ({"id": "b", "tests": []}, "tests", "at least 1"),
        ({"id": "b", "tests": ["assert True"], "test": 1}, "test", "not permitted"),
        ({"id": "b", "tests": ["assert True"], "limits": {"cpu": 1}}, "limits.cpu", "not permitted"),
        ({"id": "b", "tests": ["assert True"], "limits": {"cpu_s": -1}}, "", "Limits.cpu_s is -1"),
        ({"id": "b", "tests": ["assert True"], "meta": {"level": 3}}, "meta.level", "valid string"),
        ({"id": "b", "tests": ["assert True"], "kind": "stdio"}, "", "test 0 is a str"),
        ({"id": "b", "tests": ["assert f( == 1"]}, "tests", "test 0 does not compile: .*line 1"),
        ({"id": "b", "tests": ["f(1)"]}, "tests", "asserts anything"),
        ({"id": "b", "tests": ["x = 1"], "kind": "shared"}, "tests", "no test method"),
        ({"id": "b", "tests": ["def test_a(:"], "kind": "shared"}, "tests", "test 0 does not compile: .*line 1"),
        ({"id": "b", "tests": ["assert f()"], "prelude": "import"}, "prelude", "not Python: line 1"),
        ({"id": "b", "tests": ["assert f()"], "entry_point": "f("}, "entry_point", "not Python: line 1"),
        ({"id": "b", "tests": ["def check(candidate):\n  assert candidate()"]}, "entry_point", "missing"),
        ({"id": "b", "tests": ["assert f()"], "limits": {"memory_bytes": 10**30}}, "", "Limits.memory_bytes is 1000"),
        ({"id": "b", "tests": ["assert f()"], "checker": "fuzzy"}, "", "problem 'b': .*fuzzy.*known are exact"),
        ({"id": "b", "tests": ["assert f()"], "checker": {}}, "checker.compare", "required"),
        (
            {"id": "b", "tests": ["assert f()"], "checker": {"compare": "exact", "tol": 1}},
            "checker.tol",
            "not permitted",
        ),
        ({"id": "b", "tests": ["assert f()"], "checker": {"compare": "floats", "abs_tol": -1}}, "", "abs_tol is -1"),
        (
            {"id": "b", "tests": ["assert f()"], "checker": {"compare": "program", "program": "exit(0)"}},
            "",
            "problem 'b': a checker program is for kind 'stdio'",
        ),
        (
            {
                "id": "b",
                "kind": "stdio",
                "tests": [{"stdin": "", "stdout": ""}],
                "checker": {"compare": "program", "program": "exit("},
            },
            "checker",
            "not Python: line 1",
        ),
        ({"id": "b", "tests": ["assert True"], "language": "rust"}, "", "needs kind 'stdio'"),
        ({"id": "a", "tests": ["assert True"]}, "id", "already the id of line 1"),
    ],
)
def test_a_malformed_problem_is_reported_with_its_place(tmp_path: Path, row: object, field: str, reason: str) -> None:
    path = write(tmp_path / "p.jsonl", {"id": "a", "tests": ["assert f() == 1"]}, row)
    with pytest.raises(RecordError, match=reason) as caught:
        read_problems(path)
    assert (caught.value.path, caught.value.line, caught.value.field) == (str(path), 2, field)


def test_a_checker_is_a_name_or_an_object(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "tests": ["assert f() == 1"], "checker": "floats"},
        {"id": "b", "tests": ["assert f() == 1"], "checker": {"compare": "floats", "abs_tol": 1, "order": "any"}},
    ]
    named, written = read_problems(write(tmp_path / "p.jsonl", *rows)).values()
    assert named.checker == Checker(compare=Compare.FLOATS)
    assert written.checker == Checker(compare=Compare.FLOATS, abs_tol=1, order=Order.ANY)


def test_the_rows_in_the_documentation_are_problems(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "verdicts.md").read_text()
    rows = [json.loads(line) for line in text.splitlines() if line.startswith('    {"id"')]
    problems = read_problems(write(tmp_path / "p.jsonl", *rows))
    assert [problem.checker.compare.value for problem in problems.values() if problem.checker] == [
        "floats",
        "program",
        "floats",
    ]


def test_a_file_without_problems_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="at least one"):
        read_problems(write(tmp_path / "p.jsonl"))


def test_submissions_hold_code_or_a_completion(tmp_path: Path) -> None:
    completion = "```python\nx = 1\n```\nor\n```python\nx = 2\n```"
    path = write(
        tmp_path / "s.jsonl",
        {"problem_id": "add", "code": "```", "id": "s1"},
        {"problem_id": "add", "completion": completion},
        {"problem_id": "add", "completion": "I cannot."},
        {"problem_id": "add", "code": ""},
    )
    known = {"add": ADD}
    assert list(read_submissions(path, known)) == [
        Submission(ADD, "```", "s1"),
        Submission(ADD, "x = 2", None),
        Submission(ADD, None, None),
        Submission(ADD, "", None),
    ]
    assert [submission.code for submission in read_submissions(path, known, "first")][1] == "x = 1"


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ({"problem_id": "sub", "code": ""}, "problem_id", "no problem has the id 'sub'"),
        ({"problem_id": "add"}, "", "exactly one"),
        ({"problem_id": "add", "code": "", "completion": ""}, "", "exactly one"),
        ({"problem_id": "add", "code": 1}, "code", "valid string"),
        ({"problem_id": "add", "codes": ""}, "codes", "not permitted"),
        ({"problem_id": "add", "code": "", "language": "rust"}, "language", "needs kind 'stdio'"),
        ({"problem_id": "add", "code": "", "language": "cobol"}, "language", "known are python"),
    ],
)
def test_a_malformed_submission_is_reported_with_its_place(
    tmp_path: Path, row: object, field: str, reason: str
) -> None:
    path = write(tmp_path / "s.jsonl", {"problem_id": "add", "code": ""}, row)
    with pytest.raises(RecordError, match=reason) as caught:
        list(read_submissions(path, {"add": ADD}))
    assert (caught.value.line, caught.value.field) == (2, field)


def test_a_submission_may_be_in_another_language_than_its_problem(tmp_path: Path) -> None:
    echo = Problem(id="echo", kind=Kind.STDIO, language="cpp", tests=(StdioTest(stdin="a", stdout="a\n"),))
    completion = "```python\nin Python\n```\n```c++\nin C++\n```\n"
    path = write(
        tmp_path / "s.jsonl",
        {"problem_id": "echo", "completion": completion},
        {"problem_id": "echo", "completion": completion, "language": "python"},
        {"problem_id": "echo", "code": "in Rust", "language": "rust"},
        {"problem_id": "echo", "code": "in Rust", "language": "rust"},
    )
    found = list(read_submissions(path, {"echo": echo}))
    assert [(submission.code, submission.problem.language) for submission in found] == [
        ("in C++", "cpp"), ("in Python", "python"), ("in Rust", "rust"), ("in Rust", "rust"),
    ]  # fmt: skip
    assert found[2].problem is found[3].problem, "so that its tests are read once"
    assert found[2].problem == dataclasses.replace(echo, language="rust")


def test_a_result_is_written_whole_with_its_rate(tmp_path: Path) -> None:
    record = ResultRecord.from_result(Submission(ADD, "", "s1"), RESULT)
    write_atomically(tmp_path / "r.jsonl", [record])
    row = json.loads((tmp_path / "r.jsonl").read_text())
    added = {name: row.pop(name) for name in ("problem_id", "id", "pass_rate")}
    assert added == {"problem_id": "add", "id": "s1", "pass_rate": 0.25}
    assert row == dataclasses.asdict(RESULT) | {"tests": [{"verdict": "AC", "message": "", "wall_s": 0.25}]}


def test_a_message_that_utf8_cannot_carry_is_written_as_escapes() -> None:
    result = JudgeResult(**{name: getattr(RESULT, name) for name in RESULT.__slots__} | {"message": "a\udcffb"})
    assert '"a\\\\udcffb"' in ResultRecord.from_result(Submission(ADD, "", None), result).model_dump_json()
