"""When an output is whole."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm.experiments.outputs import invalid_output, sizes
from slurm.experiments.task import Expected


@pytest.mark.parametrize(
    ("text", "lines", "words"),
    [
        (b'{"a": 1}\n{}\n', 2, ""),
        (b'{"a": 1}\n{}\n', None, ""),
        (b'{"a": 1}\n', 2, "it has 1 lines, and not 2"),
        (b'{"a": 1}\n{"b', 2, "line 2, the last one, is cut: no newline ends it"),
        (b'{"a": 1}\n{}', 2, "line 2, the last one, is cut: no newline ends it"),
        (b'{"a": 1\n{}\n', 2, "line 1 is no JSON: Expecting ',' delimiter: line 2 column 1 (char 8)"),
        (b"", None, "it is empty"),
        (b"", 0, ""),
    ],
)
def test_lines_of_json_are_counted_and_each_is_read(prepared: Any, text: bytes, lines: int | None, words: str) -> None:
    task = prepared.task("", outputs=(Expected(path="out", format="jsonl", lines=lines),))
    (prepared.workdir / "out").write_bytes(text)
    assert invalid_output(task) == (words and f"output out: {words}")


@given(st.lists(st.dictionaries(st.text(), st.integers()), min_size=1, max_size=5), st.data())
def test_lines_of_json_that_are_cut_anywhere_are_invalid(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, int]], data: st.DataObject
) -> None:
    whole = "".join(json.dumps(row) + "\n" for row in rows).encode()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    path = Path(tmp_path_factory.mktemp("cut"), "out")
    path.write_bytes(cut)
    assert wrong(path, len(rows))
    path.write_bytes(whole)
    assert not wrong(path, len(rows))


def test_one_value_of_json_is_read(prepared: Any) -> None:
    task = prepared.task("", outputs=(Expected(path="out", format="json"),))
    (prepared.workdir / "out").write_text("[1, 2")
    assert invalid_output(task).startswith("output out: it is no JSON: ")
    (prepared.workdir / "out").write_text("[1, 2]")
    assert not invalid_output(task)


def test_a_folder_is_whole_with_anything_in_it_and_as_large_as_all_of_it(prepared: Any) -> None:
    task = prepared.task("", outputs=(Expected(path="model"),))
    (prepared.workdir / "model").mkdir()
    assert invalid_output(task) == "output model: the folder is empty"
    (prepared.workdir / "model" / "part").mkdir()
    (prepared.workdir / "model" / "part" / "weights").write_bytes(b"12345")
    (prepared.workdir / "model" / "gone").symlink_to("nowhere")
    assert not invalid_output(task)
    assert sizes(task) == {"model": 5 + len("nowhere")}


def wrong(path: Path, lines: int) -> str:
    from slurm.experiments.outputs import _wrong

    return _wrong(path, Expected(path=str(path), format="jsonl", lines=lines))
