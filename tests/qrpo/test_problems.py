"""Which problems a run trains on, and which it only looks at."""

import json
from pathlib import Path

import pytest

from qrpo.config import parse
from qrpo.contamination import main as contamination
from qrpo.data_options import DataConfig
from qrpo.errors import ConfigError
from qrpo.problems import load_all, load_answers, load_split
from rewards import Entry, load_problems
from rewards.cases import count_tests
from sandbox import Problem


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


def test_a_problem_without_a_prompt_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"id": "a", "tests": ["assert f()"]}\n')
    with pytest.raises(ConfigError, match="problem 'a' has no prompt"):
        load_all(DataConfig(train_problems=str(tmp_path / "p.jsonl"), heldout_problems=None))


def test_all_problems_are_those_of_both_sides(tmp_path: Path) -> None:
    data = DataConfig(
        train_problems=write(tmp_path / "a.jsonl", "1"), heldout_problems=write(tmp_path / "b.jsonl", "2")
    )
    assert [problem.id for problem in load_all(data)] == ["1", "2"]


def test_a_data_set_is_read_once_however_many_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages of a command and the checks ahead of them ask ten times; to read the paper's takes a minute."""
    read: list[object] = []

    def load(source: str, **of: str | None) -> list[Entry]:
        read.append(source)
        return load_problems(source, **of)

    monkeypatch.setattr("qrpo.problems.load_problems", load)
    train, heldout = write(tmp_path / "a.jsonl", "1"), write(tmp_path / "b.jsonl", "2")
    for _ in range(3):
        data = DataConfig(train_problems=train, heldout_problems=heldout)
        load_split(data, "train").clear()  # what one caller does with its list is nothing to the next
        assert len(load_all(data)) == 2
    assert read == [train, heldout]
    write(tmp_path / "a.jsonl", "3")
    assert [problem.id for problem in load_all(data)] == ["3", "2"]


def test_no_heldout_problems(tmp_path: Path) -> None:
    data = DataConfig(train_problems=write(tmp_path / "a.jsonl", "1"), heldout_problems=None)
    assert load_split(data, "heldout") == []


CHECK = "def check(candidate):\n    assert candidate(n = 1) == 2\n    assert candidate(n = 2) == 3\n    assert {}\n"


def leetcode(path: Path, *prompts: str) -> str:
    """Problems with three tests each."""
    rows = [
        {
            "id": f"{path.stem}{k}",
            "prompt": prompt,
            "tests": [CHECK.format("candidate(n = 3) == 4")],
            "prelude": "N = 3",
        }
        for k, prompt in enumerate(prompts)
    ]
    path.write_text("".join(json.dumps({**row, "entry_point": "f"}) + "\n" for row in rows))
    return str(path)


SHOWN = "Add one. Input: n = 1 Output: 2. Input: n = 2 Output: 3"


def test_problems_with_few_tests_are_left_out_and_of_many_the_first_are_kept(tmp_path: Path) -> None:
    few, many = write(tmp_path / "a.jsonl", "1"), leetcode(tmp_path / "b.jsonl", "Add one.")
    data = DataConfig(train_problems=few, heldout_problems=many, min_tests=2, max_tests=2)
    [problem] = load_split(data, "heldout")
    assert count_tests(problem) == 2
    with pytest.raises(ConfigError, match=r"a\.jsonl: none of 1 problems is left with min_tests=2"):
        load_split(data, "train")


def test_shown_tests_go_before_tests_are_counted(tmp_path: Path) -> None:
    path = leetcode(tmp_path / "a.jsonl", "Add one.", SHOWN)
    data = DataConfig(train_problems=path, heldout_problems=None, drop_shown_tests=True, max_tests=1)
    kept = [problem.tests[0] for problem in load_split(data, "train")]
    assert ["n = 1" in test for test in kept] == [True, False]
    assert ["n = 3" in test for test in kept] == [False, True]
    with_two = DataConfig(train_problems=path, heldout_problems=None, drop_shown_tests=True, min_tests=2)
    assert [problem.prompt for problem in load_split(with_two, "train")] == ["Add one."]


def test_a_training_problem_that_is_held_out_is_not_trained_on(tmp_path: Path) -> None:
    train = leetcode(tmp_path / "a.jsonl", "Another one.", "Add one.")
    heldout = leetcode(tmp_path / "b.jsonl", "ADD one!")
    for drop in (False, True):
        data = DataConfig(train_problems=train, heldout_problems=heldout, drop_duplicates=drop)
        assert [problem.id for problem in load_split(data, "train")] == ["a0", "a1"][: 2 - drop]
        assert [problem.id for problem in load_split(data, "heldout")] == ["b0"]


def test_prompts_show_the_prelude_ahead_of_where_an_answer_begins(tmp_path: Path) -> None:
    path = leetcode(tmp_path / "a.jsonl", "Add one.\n\n### Answer: (in backticks)\n", "Add one.")
    for problem in load_split(DataConfig(train_problems=path, heldout_problems=None, show_prelude=True), "train"):
        before, prelude, after = problem.prompt.partition("```python\nN = 3\n```\n")
        assert prelude
        assert before.startswith("Add one.\n\n")
        assert after in {"", "\n### Answer: (in backticks)\n"}


def test_options_of_the_preparation_are_among_those_of_the_stages_that_read_problems() -> None:
    config = parse(["--bf16", "false", "--min_tests", "20", "--max_tests", "100", "--drop_shown_tests"])
    for stage in ("generate", "score", "evaluate"):
        assert config.data.preparation().items() <= config.stage_options(stage).items()
    assert config.data.preparation()["max_tests"] == 100


def test_a_revision_is_that_of_a_hub_data_set_alone_and_an_option_of_the_stages_that_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DataConfig(train_problems=write(tmp_path / "a.jsonl", "1"), train_revision="a9ec", heldout_revision="v1")
    with pytest.raises(ConfigError, match="is a file"):
        load_split(data, "train")
    with pytest.raises(ConfigError, match="heldout_revision is 'v1'; builtin problems have none"):
        load_split(data, "heldout")
    asked: list[object] = []

    def load(source: str, **options: object) -> list[Entry]:
        asked.append((source, options))
        return [Entry(Problem(id=source, tests=("assert f()",) * 20))]

    monkeypatch.setattr("qrpo.problems.load_problems", load)
    config = parse(["--bf16", "false", "--config", "leetcode_paper"])
    load_split(config.data, "train")
    revision = config.data.train_revision
    assert asked == [("newfacade/LeetCodeDataset", {"split": "train", "revision": revision})]
    assert len(revision or "") == 40
    for stage, names in (("generate", {"train"}), ("score", {"train"}), ("evaluate", {"train", "heldout"})):
        options = config.stage_options(stage)
        assert {side for side in ("train", "heldout") if options.get(f"{side}_revision") == revision} == names


def test_answers_are_those_of_the_problems_that_are_left(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"id": str(k), "prompt": "p", "tests": ["assert f()"] * k, "entry_point": "f"} for k in (1, 2, 3)]
    solved = [{**row, "solution": f"f = {k}"} for k, row in enumerate(rows)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [rows[0], *solved[1:]]))
    data = DataConfig(train_problems=str(path), heldout_problems=None, min_tests=2)
    assert load_answers(data) == {"2": "```python\nf = 1\n```", "3": "```python\nf = 2\n```"}
    with pytest.raises(ConfigError, match=r"a\.jsonl: 1 of 3 problems have no answer, such as '1'"):
        load_answers(DataConfig(train_problems=str(path), heldout_problems=None))


def test_what_could_be_copied_is_told_as_a_table_and_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, heldout = leetcode(tmp_path / "a.jsonl", SHOWN, "Add one."), leetcode(tmp_path / "b.jsonl", "add one")
    arguments = ["--train_problems", train, "--heldout_problems", heldout]
    assert contamination(arguments) == 0
    assert "2 (33.3%)" in capsys.readouterr().out
    assert contamination([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    counted = {"problems": 2, "tests": 6, "problems_with_shown": 1, "shown": 2, "problems_all_shown": 0}
    assert found["shown"]["train"] == counted
    assert found["duplicates"] == [{"train_id": "a1", "heldout_id": "b0", "overlap": 1.0}]
    assert contamination(["--train_problems", str(tmp_path / "none.jsonl")]) == 1
    assert "none.jsonl" in capsys.readouterr().err
