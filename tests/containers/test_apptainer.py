import os
import shutil
import subprocess
from pathlib import Path

import pytest

from containers.apptainer import ApptainerRuntime
from containers.runtime import ContainerError
from sandbox import Problem, Sandbox, Verdict

ADD = Problem(id="add", tests=("assert add(2, 2) == 4",))
pytestmark = pytest.mark.usefixtures("needs_apptainer")


def test_it_may_be_a_sif(image: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    for command in ("mksquashfs", "squashfuse"):
        if shutil.which(command) is None:
            pytest.skip(f"{command}, with which Apptainer makes and mounts a SIF, is not installed")
    if not os.access("/dev/fuse", os.W_OK):
        pytest.skip("this user may not open /dev/fuse")
    sif = image.parent / f"{image.name}.sif"
    command = ["apptainer", "--silent", "build", str(sif), str(image)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=200)
        sif.chmod(0o644)
        with Sandbox(workers=1, runtime=ApptainerRuntime(image=sif)) as box:
            assert box.judge(ADD, "def add(a, b): return a + b").verdict is Verdict.AC
    finally:
        sif.unlink(missing_ok=True)


def test_an_image_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match=r"there is no image at .*none\.sif"):
        ApptainerRuntime(image=tmp_path / "none.sif")


def test_without_apptainer_it_says_what_to_do(image: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ContainerError, match=r"neither apptainer nor singularity is on the PATH; .*load apptainer"):
        ApptainerRuntime(image=image)
