import os
from pathlib import Path

import pytest

from containers import building
from containers.building import DEFINITION, Build, build
from containers.runtime import ContainerError
from containers.store import ImageStore


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
    assert arguments == [
        "--build-arg=bootstrap=docker",
        "--build-arg=from=debian:12",
        "--build-arg=packages=numpy attrs",
        "--build-arg=compilers=yes",
    ]
    assert definition == str(DEFINITION)
    assert Path(made).parent.parent == tmp_path  # not under the name that others wait for
    assert (tmp_path / "x.sif").exists()


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


def test_a_file_that_is_there_is_kept(recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.sif"
    out.write_text("mine")
    for make in (lambda: build(Build(), out), lambda: building.pull("docker://x", out)):
        with pytest.raises(ContainerError, match=r"x\.sif is there already"):
            make()
    assert out.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root builds with rights that it may lack in a container")
def test_an_image_is_really_built_of_another(sif: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = ImageStore(tmp_path / "images")
    out = tmp_path / "x.sif"
    build(Build(base=str(store.prepare(str(sif))), packages=("json", "decimal")), out)
    root = store.prepare(str(out))
    assert (root / "usr" / "bin" / "python3").exists()
    assert "from=" not in capfd.readouterr().out
    with pytest.raises(ContainerError, match=r"y\.sif could not be made of .*python\.def; what .* said is above"):
        build(Build(base=str(root), packages=("no_such_package",)), tmp_path / "y.sif")
    assert not (tmp_path / "y.sif").exists()


def test_the_definition_is_part_of_the_package() -> None:
    assert DEFINITION.read_text().startswith("# An image for programs")
