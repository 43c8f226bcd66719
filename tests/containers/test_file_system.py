from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.file_system import Kind, file_system_of, is_shared, nearest

MOUNTS = """\
1 0 254:0 / / rw,relatime - ext4 /dev/vda rw
2 1 0:30 / /scratch rw,nosuid,nodev,noexec shared:7 - lustre 10.0.0.1@o2ib:/scratch rw,flock
3 1 0:31 / /home rw - autofs systemd-1 rw,fd=40
4 1 0:32 / /home rw,nosuid - nfs4 server:/home rw,vers=4.2
5 1 0:33 / /tmp rw,nosuid,nodev - tmpfs tmpfs rw,size=10%
6 1 0:34 / /a\\040b rw - fuse.sshfs x: rw
"""


@pytest.mark.parametrize(
    ("path", "type_", "kind"),
    [
        ("/usr/lib", "ext4", Kind.LOCAL),
        ("/scratch/me", "lustre", Kind.SHARED),
        ("/scratchy", "ext4", Kind.LOCAL),
        ("/home/me", "nfs4", Kind.SHARED),
        ("/tmp", "tmpfs", Kind.MEMORY),
        ("/a b/c", "fuse.sshfs", Kind.SHARED),
    ],
)
def test_the_innermost_mount_counts_and_of_two_at_one_place_the_last(path: str, type_: str, kind: Kind) -> None:
    found = file_system_of(PurePosixPath(path), MOUNTS)
    assert found is not None
    assert (found.type, found.kind) == (type_, kind)


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        ("fuse.fuse-overlayfs", Kind.LOCAL), ("fuse.squashfuse_ll", Kind.LOCAL), ("fuseblk", Kind.LOCAL),
        ("fuse.juicefs", Kind.SHARED), ("beegfs", Kind.SHARED), ("gpfs", Kind.SHARED),
    ],
)  # fmt: skip
def test_what_fuse_mounts_has_a_server_unless_it_is_known_to_be_local(type_: str, kind: Kind) -> None:
    found = file_system_of(PurePosixPath("/x"), f"1 0 0:1 / / rw - {type_} x rw\n")
    assert found is not None
    assert found.kind is kind


def test_a_folder_is_shared_where_its_file_system_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr("containers.mounts._FILE", mounts)
    for type_, shared in (("nfs4", True), ("xfs", False)):
        mounts.write_text(f"1 0 0:1 / / rw - ext4 x rw\n2 1 0:2 / {tmp_path.resolve()} rw - {type_} x rw\n")
        assert is_shared(tmp_path) is shared
        assert is_shared(tmp_path / "not" / "there yet") is shared


def test_options_are_those_of_the_mount() -> None:
    found = file_system_of(PurePosixPath("/scratch"), MOUNTS)
    assert found is not None
    assert found.options >= {"noexec", "nodev"}
    assert "flock" not in found.options


def test_a_type_that_nobody_knows_is_not_guessed_at() -> None:
    found = file_system_of(PurePosixPath("/"), "1 0 0:1 / / rw - newfs x rw\n")
    assert found is not None
    assert found.kind is Kind.UNKNOWN


@given(st.text())
def test_any_text_tells_something_or_nothing(text: str) -> None:
    for prefix in ("", "1 2 3 / / rw - "):
        file_system_of(PurePosixPath("/x"), prefix + text)


def test_the_real_root_is_on_a_file_system() -> None:
    assert file_system_of(Path("/usr"), Path("/proc/self/mountinfo").read_text()) is not None


def test_nearest_is_the_folder_itself_or_the_first_above_that_there_is(tmp_path: Path) -> None:
    assert nearest(tmp_path) == tmp_path.resolve()
    assert nearest(tmp_path / "a" / "b") == tmp_path.resolve()
