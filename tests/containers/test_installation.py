import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.installation import (
    find_apptainer,
    find_enroot,
    find_fusermount,
    has_setuid_bit,
    has_unsquashfs,
    product_of,
    settings_of,
)

CONFIGURATION = """\
# ALLOW SETUID: [BOOL]
allow setuid = no
# allow setuid-mount encrypted = yes
user bind control=yes
image driver =
allow user ns = yes
allow user ns = no
"""


def command(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of the PATH but for the shell's own commands."""
    folder = tmp_path / "commands"
    folder.mkdir()
    (folder / "cat").symlink_to("/bin/cat")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def lay_out(tmp_path: Path, commands: Path, name: str, version: str) -> Path:
    """An installation; its folder of starters."""
    starters = tmp_path / "libexec" / name / "bin"
    starters.mkdir(parents=True)
    configuration = tmp_path / "runtime.conf"
    configuration.write_text(CONFIGURATION)
    built = tmp_path / "built"
    built.write_text(f"LIBEXECDIR={tmp_path}/libexec\n{name.upper()}_CONF_FILE={configuration}\n")
    command(commands, name, f'case "$1" in --version) echo "{version}";; buildcfg) cat {built};; esac')
    return starters


@pytest.mark.parametrize(
    ("said", "product", "version"),
    [
        ("apptainer version 1.4.5\n", "Apptainer", "1.4.5"),
        ("singularity-ce version 4.1.1-jammy\n", "SingularityCE", "4.1.1-jammy"),
        ("singularity version 3.8.7-1.el8\n", "Singularity", "3.8.7-1.el8"),
        ("WARNING: x\napptainer version 1.3.0\n", "Apptainer", "1.3.0"),
        ("other version 1\n", "", "1"),
        ("", "", ""),
    ],
)
def test_kin_are_told_apart_by_what_they_say(said: str, product: str, version: str) -> None:
    assert product_of(said) == (product, version)


@pytest.mark.parametrize("name", ["apptainer", "singularity"])
def test_an_installation_tells_its_version_mode_and_settings(tmp_path: Path, commands: Path, name: str) -> None:
    lay_out(tmp_path, commands, name, "singularity-ce version 4.1.1")
    found = find_apptainer()
    assert found is not None
    assert (found.command, found.product, found.version) == (str(commands / name), "SingularityCE", "4.1.1")
    assert (found.starter, found.is_setuid, found.is_off("allow user ns")) == (None, False, True)
    assert not found.is_off("allow container dir")
    assert found.configuration == tmp_path / "runtime.conf"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file that runs as root")
def test_a_starter_is_setuid_by_its_owner_and_bit_unless_that_is_switched_off(tmp_path: Path, commands: Path) -> None:
    starter = lay_out(tmp_path, commands, "apptainer", "apptainer version 1.4.5") / "starter-suid"
    starter.touch()
    starter.chmod(0o755)
    assert not has_setuid_bit(starter)
    os.chown(starter, 65534, 65534)
    starter.chmod(0o4755)
    assert not has_setuid_bit(starter)
    os.chown(starter, 0, 0)
    starter.chmod(0o4755)
    found = find_apptainer()
    assert found is not None
    assert (found.starter, found.is_setuid) == (starter, False)
    (tmp_path / "runtime.conf").write_text("allow setuid = yes\n")
    found = find_apptainer()
    assert found is not None
    assert found.is_setuid


def test_a_command_that_fails_is_there_and_says_nothing(commands: Path) -> None:
    command(commands, "apptainer", "exit 1")
    command(commands, "enroot", "exit 1")
    found, other = find_apptainer(), find_enroot()
    assert found is not None
    assert other is not None
    assert (found.product, found.version, found.configuration, found.is_setuid) == ("", "", None, False)
    assert other.version == ""


def test_where_there_is_nothing_nothing_is_found(commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("containers.unpacking._BESIDE_THE_PATH", ())
    assert (find_apptainer(), find_enroot(), find_fusermount(), has_unsquashfs()) == (None, None, None, False)
    for name in ("unsquashfs", "fusermount", "fusermount3"):
        command(commands, name, "")
    assert (find_fusermount(), has_unsquashfs()) == (str(commands / "fusermount3"), True)


def test_enroot_says_its_version(commands: Path) -> None:
    command(commands, "enroot", '[ "$1" = version ] && echo 4.1.2')
    found = find_enroot()
    assert found is not None
    assert found.version == "4.1.2"


def test_comments_are_no_settings_and_the_last_of_a_name_counts() -> None:
    assert settings_of(CONFIGURATION) == {
        "allow setuid": "no", "user bind control": "yes", "image driver": "", "allow user ns": "no",
    }  # fmt: skip


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    settings_of(text)
    product_of(text)


def test_the_real_one_tells_what_it_is(needs_apptainer: None) -> None:
    found = find_apptainer()
    assert found is not None
    assert found.product
    assert found.version[0].isdigit()
    assert found.configuration is not None
