import os
from pathlib import Path

import pytest

from containers.runtime import ContainerError
from containers.unpacked import Unpacked


def test_it_lies_where_enroots_temporary_files_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENROOT_TEMP_PATH", str(tmp_path))
    folder = Unpacked().folder
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    assert Unpacked().folder == folder


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    folder = Unpacked(folder=tmp_path / "x").folder
    folder.chmod(0o720)
    with pytest.raises(ContainerError, match=r"is not a folder that only user \d+ may write to; remove it or set"):
        Unpacked(folder=folder)


def test_a_link_that_another_user_may_have_laid_is_refused_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "link").symlink_to("theirs")
    with pytest.raises(ContainerError, match="is not a folder that only user"):
        Unpacked(folder=tmp_path / "link")
    assert not list((tmp_path / "theirs").iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder another user's")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = Unpacked(folder=tmp_path / "x").folder
    os.chown(folder, 1234, 1234)
    with pytest.raises(ContainerError, match="is not a folder that only user"):
        Unpacked(folder=folder)


def test_a_name_with_a_space_which_enroot_takes_apart_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match=r"'.*/a b', whose name has a space; set ENROOT_TEMP_PATH"):
        Unpacked(folder=tmp_path / "a b")


def test_a_place_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match=r"enroot cannot work in .*none/x: No such file.*; set ENROOT_TEMP_PATH"):
        Unpacked(folder=tmp_path / "none" / "x")
