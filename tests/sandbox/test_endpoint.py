import os
import stat
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from sandbox import endpoint
from sandbox.endpoint import EndpointRecord, endpoints, is_gone, prepare_folder, publish, token_path, touch, withdraw


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


def plant(path: Path, kind: str) -> None:
    """Something that a server would not write."""
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(path)
        case "socket":
            os.mknod(path, stat.S_IFSOCK | 0o600)
        case "unreadable":
            path.touch(0o000)
        case text:
            path.write_text(text)


@pytest.mark.parametrize("kind", ["fifo", "folder", "link", "socket", "unreadable", "", "{}", "\x00{{"])
def test_what_is_no_servers_file_hides_no_server_and_is_told_once(
    folder: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    publish(folder, record().name, record(), "secret")
    plant(folder / "x.json", kind)
    assert [found.token for _ in range(2) for found in endpoints(folder)] == ["secret"] * 2
    assert caplog.text.count("x.json") == 1


@pytest.mark.parametrize("kind", ["fifo", "folder", "link", "socket", "\u2026"])
def test_a_server_whose_token_is_none_is_left_out(folder: Path, kind: str) -> None:
    publish(folder, record().name, record(), None)
    plant(token_path(folder, record().name), kind)
    assert list(endpoints(folder)) == []


URLS = ["", "http://", "http://[", "http://[::1", "http://a b:1", "http://h:abc", "http://h:65536", "http://h:1\nX: y"]


@pytest.mark.parametrize("url", [*URLS, "ftp://h:1", "unix:", "unix:relative", "http://\u2100.org", "http://u:p@h:1"])
def test_a_url_that_leads_to_no_server_is_none(url: str) -> None:
    with pytest.raises(ValidationError, match="url"):
        record(url=url)


@pytest.mark.parametrize("url", ["http://node-1.cluster:1", "https://[::1]:1/a", "http://1.2.3.4", "unix:/a b"])
def test_a_url_of_a_server_is_one(url: str) -> None:
    assert record(url=url).url == url


@pytest.mark.parametrize("suffix", [".json", ".token"])
def test_a_server_writes_again_what_somebody_has_removed(folder: Path, suffix: str) -> None:
    mine = record()
    publish(folder, mine.name, mine, "secret")
    (folder / (mine.name + suffix)).unlink()
    touch(folder, mine.name, mine, "secret")
    assert [found.token for found in endpoints(folder)] == ["secret"]


def test_a_full_disk_is_told_and_keeps_no_token(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(endpoint, "write_atomically", refuse)
    with pytest.raises(OSError, match="No space") as caught:
        publish(folder, record().name, record(), "secret")
    assert str(caught.value.filename).endswith(".json")
    assert list(folder.glob("*.token")) == []


def test_a_token_is_as_young_as_its_server(folder: Path) -> None:
    mine = record()
    publish(folder, mine.name, mine, "secret")
    os.utime(token_path(folder, mine.name), (0, 0))
    touch(folder, mine.name, mine, "secret")
    assert token_path(folder, mine.name).stat().st_mtime > 0


def test_a_folder_without_locks_still_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(endpoint.fcntl, "flock", refuse)
    publish(folder, record().name, record(), None)
    assert len(list(endpoints(folder))) == 1
