"""What sacct says, in the format in which it says it; source: sacct(1) and its source, of 20.11 to 24.05."""

from pathlib import Path

import pytest

from slurm.experiments.accounting import Record, job_named, read, records_of
from slurm.experiments.job_ids import in_calls

ARRAY = """\
7_0|COMPLETED|0:0|61|node1|None
7_0.batch|COMPLETED|0:0|61|node1|
7_0.extern|COMPLETED|0:0|61|node1|
7_1|FAILED|1:0|5|node2|None
7_1.batch|FAILED|1:0|5|node2|
7_[2-9%4]|PENDING|0:0|0|None assigned|Resources
"""
OUT_OF_MEMORY = """\
8|FAILED|1:0|30|node1|None
8.batch|FAILED|1:0|30|node1|
8.extern|COMPLETED|0:0|30|node1|
8.0|OUT_OF_MEMORY|0:125|29|node1|
9|OUT_OF_MEMORY|0:125|30|node1|None
9.batch|FAILED|137:0|30|node1|
10|COMPLETED|0:0|30|node1|None
10.0|OUT_OF_MEMORY|0:125|3|node1|
"""
REQUEUED = """\
11|PREEMPTED|0:0|40|node1|None
11.batch|CANCELLED|0:15|40|node1|
11|NODE_FAIL|1:0|20|node2|None
11|CANCELLED by 0|0:0|10|node3|None
11.batch|CANCELLED|0:15|10|node3|
"""


@pytest.fixture
def sacct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script of the test's own."""
    path = tmp_path / "bin" / "sacct"
    path.parent.mkdir()
    path.touch(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
    return path


def parsed(text: str) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    read(text, found)
    return found


def test_jobs_of_an_array_are_told_apart() -> None:
    found = parsed(ARRAY)
    assert found["7_0"][0] == Record(
        job="7_0", state="COMPLETED", code=0, node="node1", elapsed_s=61, steps=["COMPLETED", "COMPLETED"]
    )
    assert (found["7_1"][0].state, found["7_1"][0].code, found["7_1"][0].node) == ("FAILED", 1, "node2")


def test_a_lack_of_memory_may_be_noted_for_a_step_only_or_for_the_job_only() -> None:
    found = parsed(OUT_OF_MEMORY)
    assert (found["8"][0].state, found["9"][0].state) == ("OUT_OF_MEMORY", "OUT_OF_MEMORY")


def test_a_job_that_has_survived_a_lack_of_memory_in_a_step_has_completed() -> None:
    assert parsed(OUT_OF_MEMORY)["10"][0].state == "COMPLETED"


def test_each_run_of_a_job_that_was_queued_again_has_a_record() -> None:
    records = parsed(REQUEUED)["11"]
    assert [record.state for record in records] == ["PREEMPTED", "NODE_FAIL", "CANCELLED"]
    assert records[-1].canceller == "root"


def test_lines_that_cannot_be_read_are_passed_over() -> None:
    assert parsed("\nsacct: something\n7.batch|COMPLETED|0:0|1|n|\n7|COMPLETED|?|?|?|\n")["7"][0].code is None


@pytest.mark.parametrize(
    "script",
    [
        "echo 'Slurm accounting storage is disabled' >&2; exit 1",
        "echo 'Slurm accounting storage is disabled' >&2; exit 0",
        "echo 'sacct: error: slurm_persist_conn_open_without_init: failed to open persistent connection to host:db:6819: Connection refused' >&2; exit 1",  # noqa: E501
        "exit 0",
    ],
)
def test_without_accounts_there_is_less_evidence_and_no_error(sacct: Path, script: str) -> None:
    sacct.write_text(f"#!/bin/sh\n{script}\n")
    assert records_of(["7"]) == {}
    assert job_named("train-0123", 0) is None


def test_without_sacct_likewise(sacct: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sacct.unlink()
    monkeypatch.setenv("PATH", str(sacct.parent))
    assert records_of(["7"]) == {}


def test_a_slow_sacct_is_not_waited_for_for_long(sacct: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slurm.commands._TIMEOUT_S", 0.2)
    sacct.write_text("#!/bin/sh\nexec sleep 30\n")
    assert records_of(["7"]) == {}


def test_one_call_is_enough_for_a_thousand_jobs(sacct: Path, tmp_path: Path) -> None:
    sacct.write_text(f"#!/bin/sh\necho \"$*\" >>'{tmp_path}/calls'\n")
    records_of([f"{1000 + number}" for number in range(1000)] + [f"7_{number}" for number in range(1000)])
    (call,) = (tmp_path / "calls").read_text().splitlines()
    assert "--jobs=7,1000,1001," in call
    assert "--duplicates" in call


def test_more_ids_than_an_argument_can_hold_are_split() -> None:
    calls = list(in_calls(str(10**7 + number) for number in range(30_000)))
    assert len(calls) > 1
    assert all(len(call) < 131_072 for call in calls)
    assert ",".join(calls).split(",") == [str(10**7 + number) for number in range(30_000)]


def test_a_job_is_found_by_its_name(sacct: Path) -> None:
    sacct.write_text("#!/bin/sh\ncase $* in *--name=train-0123*) echo '7_0'; echo '7_1';; esac\n")
    assert job_named("train-0123", 1.7e9) == "7"
