"""The whole corpus of `qrpo-sandbox selftest`, in an image with Debian's Python."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from containers import apptainer

pytestmark = pytest.mark.usefixtures("needs_apptainer")


@pytest.fixture
def selftest(public_folder: Path) -> Callable[[Path], dict[str, object]]:
    """What it reports of an image."""

    def run(image: Path) -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, "-m", "sandbox.cli", "selftest", "--runtime", "apptainer", "--image", image, "--json"],
            capture_output=True,
            text=True,
            env={**os.environ, "QRPO_SANDBOX_IMAGES": str(public_folder / "images")},
            check=False,
        )
        assert done.stdout, done.stderr
        report: dict[str, object] = json.loads(done.stdout)
        return report

    return run


def whole(report: dict[str, object]) -> bool:
    """Whether every program was run, and none did what it must not."""
    assert report["failed"] == []
    listed = subprocess.run(
        [sys.executable, "-m", "sandbox.cli", "selftest", "--list", "--json"], capture_output=True, check=True
    )
    kinds = [program["kind"] for program in json.loads(listed.stdout)]
    assert (report["hostile"], report["honest"]) == (kinds.count("hostile"), kinds.count("honest"))
    return (report["level"], report["left_out"]) == ("userns", 0)


def test_it_holds_in_a_folder(debian: Path, selftest: Callable[[Path], dict[str, object]]) -> None:
    assert whole(selftest(debian))


def test_it_holds_in_a_sif(debian: Path, public_folder: Path, selftest: Callable[[Path], dict[str, object]]) -> None:
    if shutil.which("mksquashfs") is None:
        pytest.skip("mksquashfs, with which Apptainer makes a SIF, is not installed")
    sif = public_folder / "debian.sif"
    fast = "--mksquashfs-args=-Xcompression-level 1"
    command = [apptainer.find_command(), "--silent", "build", fast, str(sif), str(debian)]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    sif.chmod(0o644)
    assert whole(selftest(sif))
