import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pytest

from containers.file_system import FileSystem
from containers.images import default_store
from containers.runtime import ContainerError
from sandbox.checkup.check import Check
from sandbox.checkup.disk import Disk, judged, look_at_disk

GIB = 1 << 30


def mounted(type_: str = "xfs", *options: str) -> FileSystem:
    return FileSystem(type=type_, mount_point=PurePosixPath("/local"), options=frozenset(options))


def disk(file_system: FileSystem | None, free_bytes: int = 50 * GIB, free_files: int | None = 10**6) -> Disk:
    return Disk(
        folder=Path("/local/images"),
        named_by="SLURM_TMPDIR",
        fault="",
        file_system=file_system,
        free_bytes=free_bytes,
        free_files=free_files,
    )


def by_name(checks: Sequence[Check]) -> dict[str, Check]:
    assert all(bool(check.remedy) != check.ok for check in checks)
    assert not any(check.required for check in checks)
    return {check.name: check for check in checks}


def test_a_local_disk_with_room_has_no_gap() -> None:
    checks = by_name(judged(disk(mounted("xfs", "nodev", "nosuid"))))
    assert all(check.ok for check in checks.values())
    assert checks["image folder"].detail == "/local/images (SLURM_TMPDIR) on xfs"
    assert checks["image mount"].detail == "nodev, nosuid"


def test_a_shared_file_system_is_a_gap_that_names_another_place() -> None:
    check = by_name(judged(disk(mounted("lustre"))))["image folder"]
    assert not check.ok
    assert "QRPO_SANDBOX_IMAGES" in check.remedy


def test_memory_is_told_to_be_memory() -> None:
    check = by_name(judged(disk(mounted("tmpfs"))))["image folder"]
    assert check.ok
    assert "takes memory" in check.detail


@pytest.mark.parametrize("file_system", [None, mounted("newfs")])
def test_what_is_not_known_is_not_called_a_gap(file_system: FileSystem | None) -> None:
    check = by_name(judged(disk(file_system)))["image folder"]
    assert check.ok
    assert "cannot be told" in check.detail


@pytest.mark.parametrize(("free_bytes", "free_files"), [(GIB, 10**6), (50 * GIB, 100)])
def test_too_little_room_is_a_gap(free_bytes: int, free_files: int) -> None:
    assert not by_name(judged(disk(mounted(), free_bytes, free_files)))["image room"].ok


def test_a_file_system_that_does_not_count_files_has_room_for_them() -> None:
    assert by_name(judged(disk(mounted(), free_files=None)))["image room"].ok


def test_a_disk_from_which_nothing_may_be_executed_is_a_gap() -> None:
    check = by_name(judged(disk(mounted("xfs", "noexec"))))["image mount"]
    assert not check.ok
    assert "mount /local rw,exec" in check.remedy


def test_a_folder_that_others_can_open_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QRPO_SANDBOX_IMAGES", str(tmp_path / "images"))
    (tmp_path / "images").mkdir()
    (tmp_path / "images").chmod(0o777)
    check = by_name(look_at_disk())["image folder"]
    assert not check.ok
    assert "can open it" in check.detail
    (tmp_path / "images").chmod(0o700)
    assert "(QRPO_SANDBOX_IMAGES)" in by_name(look_at_disk())["image folder"].detail


def test_a_link_is_told_which_the_store_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QRPO_SANDBOX_IMAGES", str(tmp_path / "link"))
    (tmp_path / "images").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("images")
    assert "name what it leads to" in by_name(look_at_disk())["image folder"].detail
    with pytest.raises(ContainerError, match="must be a folder of this user"):
        default_store().images()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_made_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QRPO_SANDBOX_IMAGES", "/usr/images")
    assert "may not write to /usr" in by_name(look_at_disk())["image folder"].detail


def test_looking_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QRPO_SANDBOX_IMAGES", str(tmp_path / "images"))
    look_at_disk()
    assert list(tmp_path.iterdir()) == []
