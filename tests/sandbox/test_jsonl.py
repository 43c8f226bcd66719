from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from sandbox.errors import RecordError
from sandbox.jsonl import Line, parse_line, read_lines, write_atomically


class Point(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    x: int
    names: list[str] = []
    note: str | None = None


def test_lines_are_numbered_as_an_editor_does_and_blank_ones_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('\ufeff{"x": 1}\r\n\n  \n{"x": 2}'.encode())
    assert [(line.number, line.text.strip()) for line in read_lines(path)] == [(1, '{"x": 1}'), (4, '{"x": 2}')]


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"x": 1}\n{"x": "\xff"}\n')
    with pytest.raises(RecordError, match=r"a\.jsonl:2: not UTF-8") as caught:
        list(read_lines(path))
    assert caught.value.line == 2


@pytest.mark.parametrize(
    ("text", "field", "reason"),
    [
        ('{"x": "1"}', "x", "valid integer, got '1'"),
        ('{"x": 1, "names": ["a", 2]}', "names.1", "valid string, got 2"),
        ("{}", "x", "required"),
        ('{"x": 1, "y": 2}', "y", "not permitted, got 2"),
        ('{"x": 1', "", "Invalid JSON"),
        ("[1]", "", "got"),
        ('{"x": "a", "y": 2}', "x", r"\(and 1 more\)"),
    ],
)
def test_a_malformed_line_is_reported_with_file_line_field_and_value(text: str, field: str, reason: str) -> None:
    with pytest.raises(RecordError, match=reason) as caught:
        parse_line(Point, Line(7, text), Path("p.jsonl"))
    assert (caught.value.path, caught.value.line, caught.value.field) == ("p.jsonl", 7, field)
    assert "\n" not in str(caught.value)


def test_a_long_value_does_not_flood_the_message() -> None:
    with pytest.raises(RecordError) as caught:
        parse_line(Point, Line(1, '{"x": "%s"}' % ("a" * 100_000)), Path("p.jsonl"))
    assert len(str(caught.value)) < 300


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_atomically(path, [Point(x=1)])

    def failing() -> Iterator[Point]:
        yield Point(x=2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, failing())
    assert path.read_text() == '{"x":1,"names":[]}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_has_the_permissions_of_an_ordinary_one(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    write_atomically(tmp_path / "a.jsonl", [])
    assert (tmp_path / "a.jsonl").stat().st_mode == ordinary.stat().st_mode
