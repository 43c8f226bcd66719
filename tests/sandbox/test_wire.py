from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sandbox.errors import ClosedError, InfrastructureError, ProblemError, SandboxError, UnsupportedLanguageError
from sandbox.problem import Kind, Problem
from sandbox.records import ProblemRecord
from sandbox.result import RunResult
from sandbox.verdict import Verdict
from sandbox.wire import (
    JudgeRow,
    ProgramBody,
    RowError,
    RunRecord,
    RunRow,
    SubmissionBody,
    encode_text,
    key_of,
)

ADD = Problem(id="add", tests=("assert f(1) == 2",))
ANY_TEXT = st.text(max_size=20) | st.text(st.characters(categories=["Cs"]), min_size=1, max_size=3)
RUNS = st.builds(
    RunResult,
    verdict=st.sampled_from(Verdict),
    stdout=st.binary(max_size=30),
    stderr=st.binary(max_size=30),
    exit_code=st.none() | st.integers(0, 255),
    message=st.text(max_size=20),
    cpu_s=st.floats(0, 1e6),
    wall_s=st.floats(0, 1e6),
    peak_memory_bytes=st.integers(0, 1 << 46),
    enforcement=st.sampled_from(["userns", "landlock"]),
)


@given(RUNS)
def test_a_run_comes_back_as_it_was(run: RunResult) -> None:
    line = RunRow(index=0, result=RunRecord.from_result(run)).model_dump_json(exclude_none=True)
    row = RunRow.model_validate_json(line)
    assert row.result is not None
    assert row.result.to_result() == run


@pytest.mark.parametrize(
    "error",
    [
        ProblemError("p", "tests", "why"),
        ProblemError("p", "", "why"),
        UnsupportedLanguageError("no gcc"),
        ClosedError("bye"),
        InfrastructureError("no memory"),
    ],
)
def test_an_error_comes_back_as_it_was(error: SandboxError) -> None:
    line = JudgeRow(index=0, error=RowError.from_error(error)).model_dump_json(exclude_none=True)
    row = JudgeRow.model_validate_json(line)
    assert row.error is not None
    back = row.error.to_error()
    assert (type(back), str(back)) == (type(error), str(error))


@given(ANY_TEXT)
def test_code_that_utf8_cannot_carry_arrives_as_it_is(code: str) -> None:
    submission = SubmissionBody(problem="0" * 64, code_base64=encode_text(code)).model_dump_json(exclude_none=True)
    assert SubmissionBody.model_validate_json(submission).text() == code
    program = ProgramBody(code_base64=encode_text(code)).model_dump_json(exclude_unset=True)
    assert ProgramBody.model_validate_json(program).text() == code


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (ProgramBody, {}),
        (ProgramBody, {"code": "", "code_base64": ""}),
        (ProgramBody, {"code_base64": "!"}),
        (ProgramBody, {"code_base64": base64.b64encode(b"\xff").decode()}),
        (ProgramBody, {"code": "", "stdin": "a", "stdin_base64": ""}),
        (ProgramBody, {"code": "", "stdin_base64": "!"}),
        (SubmissionBody, {"problem": "0" * 64, "code": "", "code_base64": ""}),
        (SubmissionBody, {"problem": "0" * 64, "code_base64": "!"}),
        (SubmissionBody, {"problem": "0" * 63}),
    ],
)
def test_a_body_that_says_two_things_or_none_is_refused(model: type[ProgramBody], fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate_json(json.dumps(fields))


def test_what_the_judge_does_not_read_does_not_change_a_problems_key() -> None:
    key = key_of(ProblemRecord.from_problem(ADD))
    for same in (replace(ADD, prompt="p"), replace(ADD, answer_start="a"), replace(ADD, meta={"a": "b"})):
        assert key_of(ProblemRecord.from_problem(same)) == key
    for other in (replace(ADD, id="b"), replace(ADD, prelude="x = 1"), replace(ADD, kind=Kind.SHARED)):
        assert key_of(ProblemRecord.from_problem(other)) != key


def test_the_key_of_a_problem_is_that_of_all_versions_of_this_api() -> None:
    """Computed once: clients and servers of different versions must agree on it."""
    expected = "635a3d06d3fc0f8ebed60a0b27a2cc7d4fa80546594c0f1c517e3775a4ab7ef5"
    assert key_of(ProblemRecord(id="add", tests=["assert f(1) == 2"])) == expected
