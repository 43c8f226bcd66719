import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from containers import building
from containers.building import DEFINITION, Build, build
from containers.runtime import ContainerError


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where an apptainer that only makes a file writes its arguments, one a line."""
    commands = tmp_path / "commands"
    commands.mkdir()
    command = commands / "apptainer"
    log = tmp_path / "arguments"
    command.write_text(
        f'#!/bin/sh\nfor word; do echo "$word"; [ "${{word%.sif}}" = "$word" ] || : > "$word"; done > {log}\n'
    )
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    return log


def test_the_definition_is_built_of_what_the_caller_names(recorded: Path, tmp_path: Path) -> None:
    build(Build(base="docker://debian:12", packages=("numpy", "attrs"), compilers=True), tmp_path / "x.sif")
    command, *arguments, made, definition = recorded.read_text().splitlines()
    assert command == "build"
    assert [word for word in arguments if not word.startswith("--bind=")] == [
        "--build-arg=bootstrap=docker",
        "--build-arg=from=debian:12",
        "--build-arg=packages=numpy attrs",
        "--build-arg=compilers=yes",
    ]
    assert definition == str(DEFINITION)
    assert Path(made).parent.parent == tmp_path  # not under the name that others wait for
    assert (tmp_path / "x.sif").exists()


def test_unless_told_otherwise_it_is_built_of_a_python_of_the_registry(recorded: Path, tmp_path: Path) -> None:
    build(Build(), tmp_path / "x.sif")
    said = recorded.read_text().splitlines()
    assert "--build-arg=bootstrap=docker" in said
    [base] = [word.removeprefix("--build-arg=from=") for word in said if word.startswith("--build-arg=from=")]
    assert base.startswith("python:3.")


def test_a_folder_is_built_of_as_a_local_image(recorded: Path, tmp_path: Path) -> None:
    build(Build(base=str(tmp_path)), tmp_path / "x.sif")
    assert recorded.read_text().splitlines()[1:3] == [
        "--build-arg=bootstrap=localimage",
        f"--build-arg=from={tmp_path}",
    ]


def test_every_argument_of_the_definition_is_filled_in(recorded: Path, tmp_path: Path) -> None:
    build(Build(), tmp_path / "x.sif")
    names = {line.split("=")[1] for line in recorded.read_text().splitlines() if line.startswith("--build-arg")}
    section = DEFINITION.read_text().split("%arguments")[1].split("%post")[0]
    assert names == {line.split("=")[0].strip() for line in section.splitlines() if "=" in line}
    assert all(f"{{{{ {name} }}}}" in DEFINITION.read_text() for name in names)


def test_a_pulled_image_becomes_one_file(recorded: Path, tmp_path: Path) -> None:
    building.pull("docker://python:3.12", tmp_path / "x.sif")
    command, option, _, reference = recorded.read_text().splitlines()
    assert (command, option, reference) == ("pull", "--disable-cache", "docker://python:3.12")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith((".", "x"))] == ["x.sif"]


def test_what_pip_is_told_is_shown_to_the_build_and_not_kept(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:password@host/simple")
    with (recorded.parent / "commands" / "apptainer").open("a") as script:
        script.write(
            f'for word; do case $word in --bind=*:/mnt:ro) word=${{word#*=}}; cat "${{word%%:*}}/settings"; esac; done '
            f"> {tmp_path}/settings\n"
        )
    build(Build(), tmp_path / "x.sif")
    assert "export PIP_INDEX_URL=https://user:password@host/simple\n" in (tmp_path / "settings").read_text()
    said = recorded.read_text()
    assert "password" not in said
    [folder] = [line.split("=")[1].split(":")[0] for line in said.splitlines() if line.startswith("--bind=")]
    assert not Path(folder).exists()


def test_a_file_that_is_there_is_kept(recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.sif"
    out.write_text("mine")
    for make in (lambda: build(Build(), out), lambda: building.pull("docker://x", out)):
        with pytest.raises(ContainerError, match=r"x\.sif is there already"):
            make()
    assert out.read_text() == "mine"


@pytest.fixture
def call(public_folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call qrpo-sandbox."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sandbox.cli", *map(str, arguments)]
        environment = {**os.environ, "QRPO_SANDBOX_IMAGES": str(public_folder / "images")}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    return run


@pytest.mark.usefixtures("needs_apptainer")
@pytest.mark.skipif(os.geteuid() == 0, reason="root builds with rights that it may lack in a container")
def test_an_image_is_really_built_and_has_its_packages(
    debian: Path, public_folder: Path, call: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    out = public_folder / "built.sif"
    wanted = ("numpy", "sortedcontainers")
    built = call("image", "build", out, "--from", debian, *(f"--package={name}" for name in wanted))
    assert (built.returncode, built.stdout) == (0, f"{out}\n"), built.stderr
    assert "pip install" not in built.stderr  # the base has them
    report = json.loads(call("image", "check", out, "--json").stdout)
    assert set(wanted) <= set(report["packages"])
    program = public_folder / "program.py"
    program.write_text("".join(f"import {name}\n" for name in wanted) + "print(numpy.arange(3).sum())")
    done = call("run", program, "--image", out)
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr
    root = Path(report["path"])
    assert "org.opencontainers.image.title" in (root / ".singularity.d" / "labels.json").read_text()
    assert not list((root / "mnt").iterdir())


@pytest.mark.usefixtures("needs_apptainer")
@pytest.mark.skipif(os.geteuid() == 0, reason="root builds with rights that it may lack in a container")
def test_an_image_that_lacks_a_package_is_not_made(
    image: Path, public_folder: Path, call: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    out = public_folder / "lacking.sif"
    done = call("image", "build", out, "--from", image, "--package", "no_such_package")
    assert done.returncode == 7
    assert done.stderr.splitlines()[-1].startswith(f"error: {out} could not be made of ")
    assert not out.exists()


def test_the_definition_is_part_of_the_package() -> None:
    assert DEFINITION.read_text().startswith("# An image for programs")
