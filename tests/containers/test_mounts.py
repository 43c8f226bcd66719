from pathlib import Path, PurePosixPath

import pytest

from containers import mounts as module
from containers.mounts import Mount, mountinfo, mounts

LINE = "36 35 98:0 /of\\040it /mnt\\134a rw,noexec master:1 shared:2 - ext3 /dev/root rw,errors=continue"


def test_a_line_is_read_whatever_optional_fields_it_has() -> None:
    expected = Mount(
        root=PurePosixPath("/of it"),
        point=PurePosixPath("/mnt\\a"),
        options=frozenset({"rw", "noexec"}),
        type="ext3",
        file_system_options=frozenset({"rw", "errors=continue"}),
    )
    assert list(mounts(f"{LINE}\n")) == [expected]
    assert list(mounts(LINE.replace(" master:1 shared:2", ""))) == [expected]


def test_what_is_no_such_line_is_left_out() -> None:
    assert list(mounts("\nx\n1 2 3 - ext4\n")) == []


def test_this_machine_has_a_root() -> None:
    assert PurePosixPath("/") in {mount.point for mount in mounts(mountinfo())}


def test_a_mount_point_whose_name_is_no_utf_8_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mountinfo"
    file.write_bytes(LINE.encode().replace(b"/mnt", b"/caf\xe9"))
    monkeypatch.setattr(module, "_FILE", file)
    assert len(list(mounts(mountinfo()))) == 1
