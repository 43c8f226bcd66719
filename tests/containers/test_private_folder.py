import os
from pathlib import Path

import pytest

from containers.private_folder import NOBODY_ELSE_WRITES, is_private


@pytest.mark.parametrize(
    ("mode", "closed", "unwritable"), [(0o700, True, True), (0o711, False, True), (0o720, False, False)]
)
def test_rights_of_others_are_seen(tmp_path: Path, mode: int, closed: bool, unwritable: bool) -> None:
    tmp_path.chmod(mode)
    assert (is_private(tmp_path), is_private(tmp_path, NOBODY_ELSE_WRITES)) == (closed, unwritable)


def test_a_link_that_another_user_may_have_laid_is_none(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("folder")
    assert (is_private(tmp_path / "folder"), is_private(tmp_path / "link")) == (True, False)


def test_a_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0o600)
    assert not is_private(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_another_users_folder_is_none(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    os.chown(tmp_path, 12345, 12345)
    assert not is_private(tmp_path)
