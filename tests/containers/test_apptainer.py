import os
import shutil
import subprocess
from pathlib import Path

import pytest

from containers.apptainer import ApptainerRuntime
from containers.runtime import ContainerError
from sandbox import Problem, Sandbox, Verdict

ADD = Problem(id="add", tests=("assert add(2, 2) == 4",))
SINGULARITY = """#!/bin/sh
# Stands in for SingularityCE: refuses what 3.11 to 4.x do not have, and starts what it is told without any container.
set -eu
place=$(dirname "$0")
env | grep -E "^(SINGULARITY|APPTAINER|SECRET)" >"$place/environment"
fail() { echo "FATAL: unknown: $*" >&2; exit 1; }
[ "$1 $2" = "--silent exec" ] || fail "$1 $2"
shift 2
while :; do
    case $1 in
    --userns | --contain | --cleanenv | --no-home) shift ;;
    --pwd) [ "$2" = / ] || fail "$2"; shift 2 ;;
    --no-mount) [ "$2" = home,cwd,tmp,hostfs,bind-paths ] || fail "$2"; shift 2 ;;
    --bind=/dev/full) shift ;;
    --bind=*:/*:ro) folder=${1#--bind=}; folder=${folder%:/*}; folder=${folder%:*}; shift ;;
    *) break ;;
    esac
done
[ -d "$1" ] || fail "image $1"
[ "$2" = python3 ] || fail "command $2"
exec python3 "$folder/$(basename "$3")"
"""
real = pytest.mark.usefixtures("needs_apptainer")


@real
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


def test_singularity_is_given_only_what_it_has(public_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = public_folder / "singularity"
    commands.mkdir()
    commands.chmod(0o777)  # root's containers are another user's
    (commands / "singularity").write_text(SINGULARITY)
    (commands / "singularity").chmod(0o755)
    for name in ("dirname", "env", "grep", "basename", "python3"):
        (commands / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", str(commands))
    monkeypatch.setenv("SINGULARITY_OCI", "1")
    monkeypatch.setenv("SECRET", "abc")
    found = ApptainerRuntime(image=public_folder).contents
    assert found.version >= (3, 8)
    assert set((commands / "environment").read_text().splitlines()) == {
        "SINGULARITY_NO_OCI=1",
        *(
            f"{prefix}_{variable}"
            for prefix in ("SINGULARITYENV", "APPTAINERENV")
            for variable in ("PYTHONHASHSEED=0", "LANG=C.UTF-8", "OPENBLAS_NUM_THREADS=1", "OMP_NUM_THREADS=1")
        ),
    }


@pytest.mark.parametrize("said", ["", "welcome to this cluster", "[]", "{}"])
def test_a_command_that_says_something_else_is_told(
    public_folder: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    commands = public_folder / "wrapper"
    commands.mkdir(exist_ok=True)
    (commands / "apptainer").write_text(f"#!/bin/sh\necho '{said}'\n")
    for path in (commands, commands / "apptainer"):
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(commands))
    with pytest.raises(ContainerError, match="apptainer ran no Python in it"):
        _ = ApptainerRuntime(image=public_folder).contents


@real
def test_an_image_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match=r"there is no image at .*none\.sif"):
        ApptainerRuntime(image=tmp_path / "none.sif")


def test_without_apptainer_it_says_what_to_do(image: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ContainerError, match=r"neither apptainer nor singularity is on the PATH; .*load apptainer"):
        ApptainerRuntime(image=image)
