from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.errors import RecordError
from sandbox.judging_file import JudgingFile, digest_of
from sandbox.records import ResultRecord
from sandbox.verdict import Verdict


def result(name: str) -> ResultRecord:
    return ResultRecord(
        problem_id=name,
        verdict=Verdict.AC,
        passed=1,
        total=1,
        pass_rate=1.0,
        tests=[],
        message="",
        cpu_s=0.0,
        wall_s=0.0,
        peak_memory_bytes=0,
        enforcement="userns",
        tamper_proof=True,
    )


def test_results_are_in_input_order_and_nothing_else_is_left(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    with JudgingFile(out, inputs="x", total=3) as file:
        for index in (2, 0, 1):
            assert not out.exists()
            file.add(index, result(str(index)))
        file.finish()
    assert [json.loads(line)["problem_id"] for line in out.read_text().splitlines()] == ["0", "1", "2"]
    assert list(tmp_path.iterdir()) == [out]


def test_an_interrupted_judging_goes_on_with_what_it_had(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    with JudgingFile(out, inputs="x", total=2) as file:
        file.add(1, result("b"))
    assert not out.exists()
    with JudgingFile(out, inputs="x", total=2) as file:
        assert file.done == {1: result("b")}
        file.add(0, result("a"))
        file.finish()
    assert [json.loads(line)["problem_id"] for line in out.read_text().splitlines()] == ["a", "b"]


@pytest.mark.parametrize("lost", [1, 5, 40])
def test_a_line_torn_by_a_kill_is_judged_again(tmp_path: Path, lost: int) -> None:
    with JudgingFile(tmp_path / "r", inputs="x", total=2) as file:
        file.add(0, result("a"))
        file.add(1, result("b"))
    partial = tmp_path / "r.partial"
    partial.write_bytes(partial.read_bytes()[:-lost])
    with JudgingFile(tmp_path / "r", inputs="x", total=2) as file:
        assert list(file.done) == [0]
        file.add(1, result("b"))
        file.finish()
    assert (tmp_path / "r").read_text().count("\n") == 2


def test_a_torn_first_line_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "r.partial").write_text('{"inp')
    with JudgingFile(tmp_path / "r", inputs="x", total=0) as file:
        assert file.done == {}
    assert json.loads((tmp_path / "r.partial").read_text()) == {"inputs": "x"}


def test_results_of_other_inputs_are_refused(tmp_path: Path) -> None:
    with JudgingFile(tmp_path / "r", inputs="x", total=1) as file:
        file.add(0, result("a"))
    with pytest.raises(RecordError, match="other inputs"):
        JudgingFile(tmp_path / "r", inputs="y", total=1)
    with JudgingFile(tmp_path / "r", inputs="x", total=1) as file:
        assert list(file.done) == [0]


def test_a_damaged_line_is_reported_and_not_dropped(tmp_path: Path) -> None:
    with JudgingFile(tmp_path / "r", inputs="x", total=2) as file:
        file.add(0, result("a"))
        file.add(1, result("b"))
    partial = tmp_path / "r.partial"
    lines = partial.read_text().splitlines(keepends=True)
    partial.write_text(lines[0] + "garbage\n" + lines[2])
    with pytest.raises(RecordError, match=r"r\.partial:2"):
        JudgingFile(tmp_path / "r", inputs="x", total=2)


def test_two_judgings_of_one_file_do_not_mix(tmp_path: Path) -> None:
    with (
        JudgingFile(tmp_path / "r", inputs="x", total=1),
        pytest.raises(OSError, match="another judging"),
    ):
        JudgingFile(tmp_path / "r", inputs="x", total=1)


def test_an_incomplete_file_never_looks_complete(tmp_path: Path) -> None:
    with JudgingFile(tmp_path / "r", inputs="x", total=2) as file:
        file.add(1, result("b"))
        with pytest.raises(ValueError, match="1 of 2 results are missing, the first of submission 0"):
            file.finish()
    assert not (tmp_path / "r").exists()


def test_the_digest_tells_all_parts_apart(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("ab")
    assert digest_of("ab", "c") != digest_of("a", "bc")
    assert digest_of(tmp_path / "a") == digest_of("ab") != digest_of("ba")
