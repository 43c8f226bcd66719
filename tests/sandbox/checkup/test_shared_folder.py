import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from containers.file_system import FileSystem
from sandbox.checkup.check import Check
from sandbox.checkup.shared_folder import SharedFolder, default_folder, judged, look_at_shared_folder


def mounted(type_: str) -> FileSystem:
    return FileSystem(type=type_, mount_point=PurePosixPath("/shared"), options=frozenset())


GOOD = SharedFolder(
    folder=Path("/shared/fleet"), exists=True, fault="", file_system=mounted("nfs4"), renames="", locks="", skew_s=0.2
)


def by_name(checks: Sequence[Check]) -> dict[str, Check]:
    assert all(bool(check.remedy) != check.ok for check in checks)
    return {check.name: check for check in checks}


def looked_at(folder: Path) -> dict[str, Check]:
    return by_name(look_at_shared_folder(folder, required=True, in_job=False))


def test_a_shared_folder_of_ones_own_has_no_gap() -> None:
    assert all(check.ok for check in judged(GOOD, required=True, in_job=True))


def test_a_disk_of_the_node_is_a_gap_only_where_there_are_other_nodes() -> None:
    local = replace(GOOD, file_system=mounted("ext4"))
    assert not by_name(judged(local, required=True, in_job=True))["file system"].ok
    assert by_name(judged(local, required=True, in_job=False))["file system"].ok


def test_an_unknown_file_system_is_no_gap() -> None:
    assert by_name(judged(replace(GOOD, file_system=None), required=True, in_job=True))["file system"].ok


@pytest.mark.parametrize("skew_s", [-30.0, 30.0])
def test_clocks_that_do_not_agree_are_a_gap(skew_s: float) -> None:
    check = by_name(judged(replace(GOOD, skew_s=skew_s), required=True, in_job=True))["clock"]
    assert (check.ok, check.required) == (False, False)
    assert "30.0 s apart" in check.detail


def test_without_locks_servers_go_on() -> None:
    check = by_name(judged(replace(GOOD, locks="Function not implemented"), required=True, in_job=True))["locks"]
    assert (check.ok, check.required) == (False, False)
    assert "flock" in check.remedy


def test_what_makes_servers_refuse_is_required_of_a_folder_that_was_named_only() -> None:
    refused = replace(GOOD, fault="it belongs to user 0")
    for required in (True, False):
        (check,) = judged(refused, required=required, in_job=True)
        assert check.required is required


def test_a_folder_that_is_there_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    folder.mkdir(mode=0o700)
    checks = looked_at(folder)
    assert all(check.ok for check in checks.values()), checks
    assert {"folder", "file system", "rename", "locks", "clock"} == checks.keys()
    assert list(folder.iterdir()) == []


def test_a_folder_that_is_not_there_is_tried_above_and_not_made(tmp_path: Path) -> None:
    checks = looked_at(tmp_path / "a" / "b")
    assert "can be made" in checks["folder"].detail
    assert checks["rename"].ok
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_others_can_open_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    folder.mkdir()
    folder.chmod(0o750)
    assert "0750" in looked_at(folder)["folder"].detail


def test_a_link_and_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    assert "it is a link" in looked_at(tmp_path / "link")["folder"].detail
    assert "no folder" in looked_at(tmp_path / "file")["folder"].detail


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_somebody_else_is_refused() -> None:
    assert "user 0" in looked_at(Path("/usr"))["folder"].detail
    assert "may not write" in looked_at(Path("/usr/fleet"))["folder"].detail


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    look = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from sandbox.checkup.shared_folder import look_at_shared_folder\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "(check,) = look_at_shared_folder(Path(sys.argv[1]), required=True, in_job=False)\n"
        "sys.exit('nothing can be written' not in check.detail)"
    )
    assert subprocess.run([sys.executable, "-c", look, tmp_path], check=False).returncode == 0


def test_by_default_it_is_in_the_home_folder() -> None:
    assert default_folder({"HOME": "/home/me"}) == Path("/home/me/.qrpo-sandbox/fleet")


def test_locks_that_fail_or_lock_nobody_out_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(file: object, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuses)
    assert looked_at(tmp_path / "fleet")["locks"].detail == "Function not implemented"
    monkeypatch.setattr("fcntl.flock", lambda file, operation: None)
    assert "two processes" in looked_at(tmp_path / "fleet")["locks"].detail


def test_a_rename_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(old: Path, new: Path) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "replace", refuses)
    check = looked_at(tmp_path / "fleet")["rename"]
    assert (check.ok, check.required, check.detail) == (False, True, "Operation not permitted")


@pytest.mark.parametrize("behind_s", [-100.0, 100.0])
def test_a_clock_that_is_off_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind_s: float) -> None:
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() - behind_s)
    assert not looked_at(tmp_path / "fleet")["clock"].ok
