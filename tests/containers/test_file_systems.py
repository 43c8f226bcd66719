import os
from pathlib import Path

import pytest

from containers import file_systems
from containers.file_systems import is_shared


@pytest.mark.parametrize(
    ("kind", "shared"),
    [
        ("nfs4", True), ("lustre", True), ("gpfs", True), ("beegfs", True), ("fuse.sshfs", True),
        ("ext4", False), ("xfs", False), ("tmpfs", False), ("overlay", False), ("fuse.fuse-overlayfs", False),
    ],
)  # fmt: skip
def test_the_type_of_the_file_system_decides(
    kind: str, shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 28 0:999 / /elsewhere rw,relatime shared:7 - nfs server:/x rw\n"
        f"36 35 {os.major(device)}:{os.minor(device)} / {tmp_path} rw,relatime master:1 - {kind} source rw\n"
    )
    monkeypatch.setattr(file_systems, "MOUNTS", mounts)
    assert is_shared(tmp_path) is shared
    assert is_shared(tmp_path / "not" / "there yet") is shared


def test_this_kernels_own_are_not_shared() -> None:
    assert not is_shared(Path("/proc"))
    assert not is_shared(Path("/dev"))
