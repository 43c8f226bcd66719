import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from containers.apptainer import ApptainerRuntime
from containers.choice import RuntimeName, chosen
from containers.enroot import EnrootRuntime
from containers.host import HostRuntime
from containers.runtime import ContainerError

Install = Callable[..., None]


@pytest.fixture
def install(squashfs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Install:
    """Let these commands be all that runs images here; none of them is started."""

    def write(*names: str) -> None:
        commands = tmp_path / "commands"
        commands.mkdir()
        unpacks = shutil.which("unsquashfs")
        assert unpacks is not None
        (commands / "unsquashfs").symlink_to(unpacks)
        for name in names:
            (commands / name).write_text("#!/bin/sh\nexit 1\n")
            (commands / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(commands))
        monkeypatch.setenv("QRPO_SANDBOX_IMAGES", str(tmp_path / "images"))

    return write


def test_without_an_image_it_is_the_host() -> None:
    assert chosen(None, None, ["numpy"]) == HostRuntime(packages=("numpy",))
    assert chosen(RuntimeName.HOST, None, []) == HostRuntime()


@pytest.mark.parametrize("there", [("apptainer",), ("singularity",), ("apptainer", "enroot")])
def test_an_image_goes_to_apptainer(there: tuple[str, ...], squashfs: Path, install: Install) -> None:
    install(*there)
    runtime = chosen(None, str(squashfs), ["numpy"])
    assert isinstance(runtime, ApptainerRuntime)
    assert (runtime.image / "usr" / "bin" / "python3").exists()


def test_a_folder_is_used_as_it_is(tmp_path: Path, install: Install) -> None:
    install("apptainer")
    assert chosen(None, str(tmp_path), []) == ApptainerRuntime(image=tmp_path)


@pytest.mark.parametrize("kind", ["squashfs", "sif"])
def test_where_there_is_no_apptainer_it_goes_to_enroot(
    kind: str, install: Install, request: pytest.FixtureRequest
) -> None:
    file = request.getfixturevalue(kind)
    install("enroot")
    runtime = chosen(None, str(file), [])
    assert isinstance(runtime, EnrootRuntime)
    assert (runtime.image / "usr" / "bin" / "python3").exists()


def test_a_name_decides(squashfs: Path, install: Install) -> None:
    install("apptainer", "enroot")
    assert isinstance(chosen(RuntimeName.ENROOT, str(squashfs), []), EnrootRuntime)
    assert isinstance(chosen(RuntimeName.APPTAINER, str(squashfs), []), ApptainerRuntime)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (None, "neither apptainer nor singularity is on the PATH; .*; enroot is not there either"),
        (RuntimeName.APPTAINER, "neither apptainer nor singularity"),
        (RuntimeName.ENROOT, "enroot is not on the PATH"),
    ],
)
def test_nothing_is_unpacked_where_nothing_can_run_it(
    name: RuntimeName | None, why: str, squashfs: Path, install: Install, tmp_path: Path
) -> None:
    install()
    with pytest.raises(ContainerError, match=why):
        chosen(name, str(squashfs), [])
    assert not (tmp_path / "images").exists()


def test_the_host_runs_no_image(tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match="'host' runs no image"):
        chosen(RuntimeName.HOST, str(tmp_path), [])


@pytest.mark.parametrize("name", ["apptainer", "enroot"])
def test_a_container_needs_one(name: str) -> None:
    with pytest.raises(ContainerError, match=f"'{name}' needs an image: a folder, a SIF, a squashfs or docker"):
        chosen(RuntimeName(name), None, [])
