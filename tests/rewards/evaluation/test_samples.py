from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from rewards.entry import Entry
from rewards.evaluation.samples import read_samples
from sandbox import Problem, RecordError, StdioTest

STUB = "def twice(n):\n"
ENTRIES = [
    Entry(Problem(id="HumanEval/0", tests=("assert twice(2) == 4",)), stub=STUB),
    Entry(Problem(id="mbpp/11", tests=("assert f(2) == 4",))),
    Entry(Problem(id="livecodebench/abc_a", kind="stdio", tests=(StdioTest(stdin="", stdout=""),))),  # type: ignore[arg-type]
]


def codes(path: Path, *rows: object) -> list[tuple[str, str | None]]:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [(sample.problem.id, sample.code) for sample in read_samples(path, ENTRIES)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "samples.jsonl"


def test_our_own_rows_hold_code_or_a_completion_that_holds_some(file: Path) -> None:
    text = "```python\nx = 1\n```\nor\n```python\nx = 2\n```"
    assert codes(
        file,
        {"problem_id": "mbpp/11", "code": "x = 0"},
        {"problem_id": "mbpp/11", "completion": text},
        {"problem_id": "mbpp/11", "completion": "no"},
    ) == [("mbpp/11", "x = 0"), ("mbpp/11", "x = 2"), ("mbpp/11", None)]
    assert read_samples(file, ENTRIES, "first")[1].code == "x = 1"


def test_our_own_rows_may_name_a_language_and_themselves(file: Path) -> None:
    file.write_text(json.dumps({"problem_id": "abc_a", "code": "echo", "language": "bash", "id": "s1"}))
    (sample,) = read_samples(file, ENTRIES)
    assert (sample.problem.language, sample.id) == ("bash", "s1")


def test_a_completion_of_human_eval_continues_the_stub(file: Path) -> None:
    row = {"task_id": "HumanEval/0", "completion": "    return 2 * n\n", "passed": True, "result": "passed"}
    assert codes(file, row) == [("HumanEval/0", "def twice(n):\n    return 2 * n\n")]


def test_a_solution_of_evalplus_is_the_whole_program_and_comes_before_a_completion(file: Path) -> None:
    rows = [
        {"task_id": "Mbpp/11", "solution": "def f(n): return 4", "_identifier": "Mbpp/11_0"},
        {"task_id": "HumanEval/0", "solution": "twice = int", "completion": "    return 0"},
        {"task_id": "HumanEval/0", "solution": " \n"},
    ]
    assert codes(file, *rows) == [
        ("mbpp/11", "def f(n): return 4"),
        ("HumanEval/0", "twice = int"),
        ("HumanEval/0", None),
    ]


def test_livecodebench_has_lists_of_programs_or_of_texts_that_hold_them(tmp_path: Path) -> None:
    path = tmp_path / "output.json"
    rows = [
        {"question_id": "abc_a", "code_list": ["print(1)", ""], "output_list": ["ignored", "too"]},
        {"question_id": "abc_a", "output_list": ["```python\nprint(2)\n```", "none"], "question_title": "A"},
    ]
    path.write_text(json.dumps(rows))
    assert [sample.code for sample in read_samples(path, ENTRIES)] == ["print(1)", None, "print(2)", None]


def test_files_may_be_compressed(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"problem_id": "mbpp/11", "code": "x"}\n'))
    assert [sample.code for sample in read_samples(path, ENTRIES)] == ["x"]


def test_an_id_may_leave_out_the_set_and_be_a_number(file: Path) -> None:
    assert codes(file, {"task_id": 11, "solution": "x"}, {"task_id": "11", "solution": "y"}) == [
        ("mbpp/11", "x"),
        ("mbpp/11", "y"),
    ]


def test_an_id_that_two_problems_could_mean_means_none(file: Path) -> None:
    entries = [Entry(Problem(id=f"{name}/7", tests=("assert f()",))) for name in ("a", "b")]
    file.write_text('{"problem_id": "7", "code": "x"}')
    with pytest.raises(RecordError, match="no problem has the id '7'"):
        read_samples(file, entries)


def test_ids_that_name_no_problem_are_listed(file: Path) -> None:
    rows = [{"task_id": f"Other/{number}", "solution": "x"} for number in range(9)]
    with pytest.raises(
        RecordError, match=r"jsonl:2: no problem has the id 'Other/0', .*'Other/4' and 4 more; 3 are known"
    ):
        codes(file, {"task_id": "mbpp/11", "solution": "x"}, *rows)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"prompt": "p", "response": "r"},
            r"jsonl:1: unknown format of samples: the fields are prompt, response. Known",
        ),
        ({"task_id": "mbpp/11", "completion": "x"}, "continues a function's head, and the set of 'mbpp/11' has none"),
        ({"problem_id": "mbpp/11", "code": "x", "completion": "y"}, "exactly one of"),
        ({"problem_id": "mbpp/11", "code": "x", "extra": 1}, "extra"),
        ({"problem_id": "mbpp/11", "code": "x", "language": "bash"}, "'bash', which needs kind 'stdio'"),
        ({"question_id": "abc_a", "code_list": "print(1)"}, "code_list: .*list"),
        ({"task_id": "mbpp/11", "solution": None}, "unknown format of samples: the fields are task_id. Known"),
    ],
)
def test_rows_of_no_use_are_errors(file: Path, row: object, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        codes(file, row)


def test_no_samples_are_an_error(file: Path) -> None:
    with pytest.raises(RecordError, match="no samples"):
        codes(file)
