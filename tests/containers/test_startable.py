import os
from pathlib import Path

import pytest

from containers.startable import is_startable, make_startable, runtime_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "image" / "root"
    folder.mkdir(parents=True)
    return folder


def test_what_containers_mount_upon_is_there(root: Path) -> None:
    (root / "tmp").mkdir()
    assert not is_startable(root)
    make_startable(root)
    assert is_startable(root)
    assert sorted(path.name for path in root.iterdir()) == [".lock", ".qrpo-sandbox", "dev", "proc", "sys", "tmp"]
    assert runtime_folder(root) == root.parent / "runtime"


def test_a_lock_of_the_image_that_leads_to_a_file_of_this_host_is_replaced(root: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("kept")
    (root / ".lock").symlink_to(mine)
    make_startable(root)
    assert not (root / ".lock").is_symlink()
    assert (root / ".lock").read_text() == ""
    assert mine.read_text() == "kept"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts containers as somebody else")
def test_who_starts_roots_containers_can_lock_them_and_write_nothing_else(root: Path) -> None:
    make_startable(root)
    assert (root / ".lock").stat().st_uid == 65534
    assert {path.stat().st_uid for path in (root, root.parent, *root.iterdir())} == {0, 65534}
    assert root.stat().st_uid == 0
