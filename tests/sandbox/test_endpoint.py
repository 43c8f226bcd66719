import os
import stat
import subprocess
from pathlib import Path

import pytest

from sandbox import endpoint
from sandbox.endpoint import EndpointRecord, endpoints, is_gone, prepare_folder, publish, token_path, touch, withdraw
from sandbox.errors import RecordError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "a" / "b"
    prepare_folder(path)
    return path


def record(**changes: object) -> EndpointRecord:
    mine = EndpointRecord.of_this_process("http://127.0.0.1:1", 2, "0")
    return EndpointRecord(**(mine.model_dump() | changes))


def test_what_is_published_is_found_and_what_is_withdrawn_is_not(folder: Path) -> None:
    first, second = record(), record(url="unix:/s", pid=1)
    publish(folder, first.name, first, "secret")
    publish(folder, second.name, second, None)
    found = {found.record: found.token for found in endpoints(folder)}
    assert found == {first: "secret", second: None}
    assert stat.S_IMODE(token_path(folder, first.name).stat().st_mode) == 0o600
    withdraw(folder, first.name)
    withdraw(folder, first.name)
    assert [found.record for found in endpoints(folder)] == [second]


def test_a_token_is_never_written_through_a_link(folder: Path, tmp_path: Path) -> None:
    token_path(folder, record().name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="exists"):
        publish(folder, record().name, record(), "secret")
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_is_made_for_its_user_alone(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701])
def test_a_folder_that_others_can_open_is_refused(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    with pytest.raises(PermissionError, match="chmod 700"):
        prepare_folder(folder)


def test_a_link_to_a_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(PermissionError):
        prepare_folder(tmp_path / "link")


def test_a_process_that_is_gone_is_gone_and_this_one_is_not() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert not is_gone(record())
    assert is_gone(record(pid=ended.pid))


def test_the_same_number_later_is_another_process() -> None:
    assert is_gone(record(started_ticks=record().started_ticks - 1))


def test_a_process_that_only_waits_to_be_noticed_is_gone() -> None:
    ended = subprocess.Popen(["true"])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    assert is_gone(record(pid=ended.pid))
    ended.wait()


def test_a_server_before_the_last_boot_is_gone_and_one_of_another_node_is_not() -> None:
    assert is_gone(record(boot_id="another"))
    assert not is_gone(record(boot_id="another", host="another", pid=1))


def test_a_server_of_another_container_cannot_be_seen_and_is_left_alone() -> None:
    assert not is_gone(record(pid_namespace=1, started_ticks=1))


def test_a_server_that_has_not_been_heard_of_for_long_is_dead_wherever_it_is(folder: Path) -> None:
    away = record(boot_id="another", host="another")
    path = publish(folder, away.name, away, None)
    assert not next(endpoints(folder)).is_dead
    os.utime(path, (0, 0))
    assert next(endpoints(folder)).is_dead
    touch(folder, away.name, away, None)
    assert not next(endpoints(folder)).is_dead


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({}, ""),
        ({"SLURM_JOB_ID": "7"}, "7"),
        ({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}, "7_0"),
    ],
)
def test_an_entry_names_its_slurm_job_as_squeue_does(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], job: str
) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert record().job == job


def test_what_is_no_endpoint_file_is_an_error_with_its_place(folder: Path) -> None:
    (folder / "x.json").write_text("{}")
    with pytest.raises(RecordError, match=r"x\.json:1"):
        list(endpoints(folder))


def test_a_folder_without_locks_still_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(endpoint.fcntl, "flock", refuse)
    publish(folder, record().name, record(), None)
    assert len(list(endpoints(folder))) == 1
