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
