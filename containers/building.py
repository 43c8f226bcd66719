"""Images made of our definition file, by Apptainer or SingularityCE."""

from __future__ import annotations

import configparser
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from containers.apptainer import find_command, native_environment
from containers.pip_settings import pip_variables, write_settings
from containers.runtime import ContainerError

DEFINITION = Path(__file__).parent / "definitions" / "python.def"
_SETTINGS = "/mnt"
"""Where a base has an empty folder, and the definition looks for them."""
_STDERR = 2
_DOCKER = "docker://"
BASE = f"{_DOCKER}python:3.12-slim-bookworm"
PACKAGES = ("numpy", "sortedcontainers", "scipy", "sympy", "networkx")
"""What the problem sets that `rewards` reads import."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What goes into an image."""

    base: str = BASE
    """docker://NAME, or a folder with a root file system."""
    packages: tuple[str, ...] = PACKAGES
    """To be importable; pip installs those that the base lacks."""
    compilers: bool = False
    """Those of all languages that programs may be in; the base must be a Debian."""


def build(build: Build, out: Path) -> None:
    """Makes a SIF; what the command says goes to stderr.

    Raises:
        ContainerError: it could not be made, or the file is there already.
        OSError: its folder cannot be written.
    """
    if out.exists():
        raise ContainerError(f"{out} is there already; name another file, or remove it")
    is_pulled = build.base.startswith(_DOCKER)
    arguments = {
        "bootstrap": "docker" if is_pulled else "localimage",
        "from": build.base.removeprefix(_DOCKER),
        "packages": " ".join(build.packages),
        "compilers": "yes" if build.compilers else "no",
    }
    command = ["build", *(f"--build-arg={name}={value}" for name, value in arguments.items())]
    with tempfile.TemporaryDirectory(prefix="qrpo-sandbox-pip-") as folder:  # its arguments are kept in the image
        try:
            variables = pip_variables(os.environ)
        except configparser.Error as error:
            raise ContainerError(f"pip's configuration cannot be read: {error}") from None
        if variables:
            write_settings(variables, Path(folder), _SETTINGS)
            command.append(f"--bind={folder}:{_SETTINGS}:ro")
        _make(out, command, str(DEFINITION))


def pull(reference: str, out: Path) -> None:
    """Makes a SIF of what a registry has. Raises as `build`."""
    if out.exists():
        raise ContainerError(f"{out} is there already; name another file, or remove it")
    _make(out, ["pull", "--disable-cache"], reference)


def _make(out: Path, command: Sequence[str], source: str) -> None:
    """Under another name until it is whole: other nodes may be waiting for it."""
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as folder:
        made = Path(folder, "image.sif")
        line = [find_command(), *command, str(made), source]
        environment = native_environment(os.environ)
        done = subprocess.run(line, stdin=subprocess.DEVNULL, stdout=_STDERR, env=environment, check=False)
        if done.returncode or not made.exists():
            raise ContainerError(f"{out} could not be made of {source}; what {Path(find_command()).name} said is above")
        made.rename(out)
