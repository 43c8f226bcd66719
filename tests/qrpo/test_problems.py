"""Which problems a run trains on, and which it only looks at."""

import json
from pathlib import Path

import pytest

from qrpo.data_options import DataConfig
from qrpo.errors import ConfigError
from qrpo.problems import load_all, load_split


def write(path: Path, *ids: str, value: int = 1) -> str:
    """A file of problems in the native format."""
    rows = [{"id": name, "prompt": "p", "tests": [f"assert f() == {value}"], "entry_point": "f"} for name in ids]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_an_id_on_both_sides_is_refused(tmp_path: Path) -> None:
    """Else the completions of one problem would be judged by the tests of the other."""
    data = DataConfig(
        train_problems=write(tmp_path / "a.jsonl", "1", "2"),
        heldout_problems=write(tmp_path / "b.jsonl", "2", "3", value=2),
    )
    with pytest.raises(ConfigError, match="'2'"):
        load_all(data)


def test_all_problems_are_those_of_both_sides(tmp_path: Path) -> None:
    data = DataConfig(
        train_problems=write(tmp_path / "a.jsonl", "1"), heldout_problems=write(tmp_path / "b.jsonl", "2")
    )
    assert [problem.id for problem in load_all(data)] == ["1", "2"]


@pytest.mark.parametrize("none", [None, "null"])
def test_no_heldout_problems(tmp_path: Path, none: str | None) -> None:
    """The command line can only say `null` as text."""
    data = DataConfig(train_problems=write(tmp_path / "a.jsonl", "1"), heldout_problems=none)
    assert load_split(data, "heldout") == []
