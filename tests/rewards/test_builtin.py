from __future__ import annotations

from pathlib import Path

import pytest

from rewards.builtin import _entries, load_builtin
from rewards.entry import Entry
from sandbox import Sandbox, Verdict
from sandbox.errors import RecordError
from sandbox.extraction import extract_code

ENTRIES = load_builtin()
TOPICS = sorted({entry.problem.meta["topic"] for entry in ENTRIES})

TOPIC = """\
topic: sums
split: train
problems:
  - id: sums/add
    difficulty: trivial
    statement: Add.
    signature: 'def add(a, b):'
    example: add(1, 2) == 3
    tests:
      - assert add(0, 0) == 0
      - assert add(0, 1) == 1
      - assert add(0, 2) == 2
      - assert add(0, 3) == 3
      - assert add(0, 4) == 4
      - assert add(0, 5) == 5
      - assert add(0, 6) == 6
      - assert add(0, 7) == 7
    solution: |
      def add(a, b):
          return a + b
    wrong:
      - 'add = max'
      - 'add = min'
"""


def of_topic(topic: str) -> list[Entry]:
    return [entry for entry in ENTRIES if entry.problem.meta["topic"] == topic]


@pytest.mark.parametrize("topic", TOPICS)
def test_every_reference_solution_is_accepted(box: Sandbox, topic: str) -> None:
    entries = of_topic(topic)
    results = box.judge_batch([(entry.problem, entry.solution) for entry in entries])
    rejected = [
        f"{entry.problem.id}: {result.verdict} {result.message}"
        for entry, result in zip(entries, results, strict=True)
        if result.verdict is not Verdict.AC or result.total < 8
    ]
    assert rejected == []


@pytest.mark.parametrize("topic", TOPICS)
def test_no_wrong_solution_is_accepted(box: Sandbox, topic: str) -> None:
    programs = [(entry.problem, wrong) for entry in of_topic(topic) for wrong in entry.wrong]
    results = box.judge_batch(programs, stop_on_first_failure=True)
    accepted = [
        f"{problem.id}: {wrong}"
        for (problem, wrong), result in zip(programs, results, strict=True)
        if result.verdict is Verdict.AC
    ]
    assert accepted == []


def test_there_are_a_hundred_problems_of_both_splits_and_all_grades() -> None:
    assert len(ENTRIES) >= 100
    assert all(len(entry.wrong) >= 2 and len(entry.problem.tests) >= 8 for entry in ENTRIES)
    for split in ("train", "heldout"):
        assert {entry.problem.meta["difficulty"] for entry in load_builtin(split)} == {"trivial", "easy", "moderate"}


def test_no_topic_is_in_both_splits() -> None:
    train, heldout = load_builtin("train"), load_builtin("heldout")
    assert len(train) + len(heldout) == len(ENTRIES)
    assert not {e.problem.meta["topic"] for e in train} & {e.problem.meta["topic"] for e in heldout}
    assert not {e.problem.id for e in train} & {e.problem.id for e in heldout}


def test_every_answer_goes_on_where_its_prompt_begins_it() -> None:
    for entry in load_builtin():
        assert (entry.as_answer() or "").startswith(entry.problem.answer_start)


def test_no_solution_is_in_both_splits() -> None:
    train, heldout = ({entry.solution for entry in load_builtin(split)} for split in ("train", "heldout"))
    assert not train & heldout


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.problem.id)
def test_a_prompt_is_short_and_shows_the_stub_of_the_tested_function(entry: Entry) -> None:
    stub = extract_code(entry.problem.prompt, "first")
    assert stub is not None
    name = stub.removeprefix("def ").partition("(")[0]
    assert len(entry.problem.prompt) < 700
    assert all(f"{name}(" in test for test in entry.problem.tests)
    assert f"Example: {name}(" in entry.problem.prompt
    assert f"def {name}(" in (entry.solution or "")
    assert not any(test.removeprefix("assert ") in entry.problem.prompt for test in entry.problem.tests)


def test_an_unknown_split_is_an_error() -> None:
    with pytest.raises(ValueError, match="'test'"):
        load_builtin("test")  # type: ignore[arg-type]


def test_a_file_of_the_set_is_read_as_it_says(tmp_path: Path) -> None:
    (tmp_path / "sums.yaml").write_text(TOPIC)
    (entry,) = _entries(tmp_path)
    assert entry.problem.meta == {"set": "builtin", "topic": "sums", "difficulty": "trivial", "split": "train"}
    assert (entry.solution, entry.wrong) == ("def add(a, b):\n    return a + b\n", ("add = max", "add = min"))


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("difficulty: trivial", "difficulty: hard", 4, "problems.0.difficulty"),
        ("    statement: Add.\n", "", 4, r"problems\.0\.statement: Field required"),
        ("wrong:", "wrongs:", 4, "problems.0"),
        ("add(0, 7) == 7", "add(1,2)==3", 4, "is also a test"),
        ("add(0, 7) == 7", "add(0, 7", 4, "not Python"),
        ("      - assert add(0, 7) == 7\n", "", 4, "at least 8"),
        ("split: train", "split: test", 1, "split"),
        ("split: train", "split: a: b", 2, "not YAML"),
    ],
)
def test_a_malformed_file_is_reported_with_its_place(
    tmp_path: Path, old: str, new: str, line: int, reason: str
) -> None:
    (tmp_path / "sums.yaml").write_text(TOPIC.replace(old, new))
    with pytest.raises(RecordError, match=reason) as caught:
        _entries(tmp_path)
    assert (Path(caught.value.path).name, caught.value.line) == ("sums.yaml", line)


def test_an_id_in_two_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TOPIC)
    (tmp_path / "b.yaml").write_text(TOPIC)
    with pytest.raises(RecordError, match=r"b\.yaml:4: id: 'sums/add' is also in a\.yaml"):
        _entries(tmp_path)
