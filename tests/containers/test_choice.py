from pathlib import Path

import pytest

from containers.apptainer import ApptainerRuntime
from containers.choice import RuntimeName, chosen
from containers.enroot import EnrootRuntime
from containers.host import HostRuntime
from containers.runtime import ContainerError


@pytest.mark.usefixtures("needs_apptainer")
def test_without_a_name_the_image_decides(image: Path) -> None:
    assert chosen(None, None, ["numpy"]) == HostRuntime(packages=("numpy",))
    assert chosen(None, image, ["numpy"]) == ApptainerRuntime(image=image)
    assert chosen(RuntimeName.APPTAINER, image, []) == ApptainerRuntime(image=image)


def test_the_host_runs_no_image(tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match="'host' runs no image"):
        chosen(RuntimeName.HOST, tmp_path, [])


def test_a_container_needs_one() -> None:
    with pytest.raises(ContainerError, match="'apptainer' needs an image"):
        chosen(RuntimeName.APPTAINER, None, [])
    with pytest.raises(ContainerError, match="'enroot' needs an image: a squashfs file"):
        chosen(RuntimeName.ENROOT, None, [])


@pytest.mark.usefixtures("needs_enroot")
def test_enroot_is_chosen_by_name(squashfs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENROOT_TEMP_PATH", str(tmp_path))
    assert chosen(RuntimeName.ENROOT, squashfs, []) == EnrootRuntime(image=squashfs)
