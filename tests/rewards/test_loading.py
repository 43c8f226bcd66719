from __future__ import annotations

import json
from pathlib import Path

import pytest

from rewards.formats.detection import Format
from rewards.loading import load_problems
from sandbox.errors import RecordError
from sandbox.problem import Problem

NATIVE = {"id": "a", "tests": ["assert f() == 1"], "solution": "def f():\n    return 1\n"}
MBPP = {"task_id": 1, "text": "Double.", "code": "def f(x):\n    return 2 * x\n", "test_list": ["assert f(1) == 2"]}


def write(folder: Path, *rows: object) -> Path:
    path = folder / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_problems_come_in_order_with_their_solutions(tmp_path: Path) -> None:
    entries = load_problems(write(tmp_path, NATIVE, NATIVE | {"id": "b", "solution": None}))
    assert [(entry.problem.id, entry.solution) for entry in entries] == [("a", NATIVE["solution"]), ("b", None)]
    assert entries[0].problem == Problem(id="a", tests=("assert f() == 1",))


@pytest.mark.parametrize("row_format", [None, "mbpp"])
def test_the_format_is_told_from_the_fields_or_named(tmp_path: Path, row_format: Format | None) -> None:
    (entry,) = load_problems(write(tmp_path, MBPP), row_format)
    assert entry.problem.id == "mbpp/1"


def test_another_format_by_name_is_checked_as_that(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="id: Field required"):
        load_problems(write(tmp_path, MBPP), "native")
    with pytest.raises(ValueError, match="row_format is 'csv'; known are mbpp"):
        load_problems(write(tmp_path, MBPP), "csv")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        (NATIVE, "id", "already the id of row 1"),
        (NATIVE | {"id": "b", "tests": "assert"}, "tests", "valid list"),
        (NATIVE | {"id": "b", "extra": 1}, "extra", "not permitted"),
        (NATIVE | {"id": "b", "tests": ["assert ("]}, "tests", "test 0 does not compile"),
        (NATIVE | {"id": "b", "tests": ["f()"]}, "tests", "asserts anything"),
        (NATIVE | {"id": "b", "entry_point": "f("}, "entry_point", "not Python"),
        (NATIVE | {"id": "b", "kind": "stdio"}, "", "test 0 is a str"),
        (MBPP, "id", "required"),
    ],
)
def test_a_malformed_row_is_reported_with_its_place(tmp_path: Path, row: object, field: str, reason: str) -> None:
    path = write(tmp_path, NATIVE, row)
    with pytest.raises(RecordError, match=reason) as caught:
        load_problems(path)
    assert (caught.value.path, caught.value.line, caught.value.field) == (str(path), 2, field)


def test_an_unknown_format_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"fields are a, b.*humaneval: canonical_solution"):
        load_problems(write(tmp_path, {"b": 1, "a": 2}))


def test_no_rows_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="at least one"):
        load_problems(write(tmp_path))
