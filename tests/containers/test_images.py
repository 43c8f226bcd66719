from pathlib import Path

import pytest

from containers.images import default_store


def test_the_store_is_on_this_nodes_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QRPO_SANDBOX_IMAGES", "SLURM_TMPDIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 77)
    found = [default_store().folder]
    for name in ("TMPDIR", "SLURM_TMPDIR"):
        monkeypatch.setenv(name, f"/disk/{name}")
        found.append(default_store().folder)
    assert [str(folder) for folder in found] == [
        "/tmp/qrpo-sandbox-images-77",
        "/disk/TMPDIR/qrpo-sandbox-images-77",
        "/disk/SLURM_TMPDIR/qrpo-sandbox-images-77",
    ]
    monkeypatch.setenv("QRPO_SANDBOX_IMAGES", "/elsewhere")
    assert default_store().folder == Path("/elsewhere")


def test_nodes_that_see_the_same_folder_have_one_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QRPO_SANDBOX_IMAGES", str(tmp_path))
    monkeypatch.setattr("containers.images.is_shared", lambda folder: folder == tmp_path)
    monkeypatch.setattr("socket.gethostname", lambda: "node7")
    assert default_store().folder == tmp_path / "node7"
