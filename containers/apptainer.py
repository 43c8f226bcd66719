"""Images run by Apptainer, or by SingularityCE, without root.

Source: the user guide of Apptainer 1.4, "exec" and "User namespaces & fakeroot". SingularityCE has the same options
from 3.11 on; before, it does not know `--no-mount bind-paths`. From 4.0 on a site may set it to use OCI runtimes, to
which the options mean something else, unless a variable forbids it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from containers.contents import PROBE, Contents, look_into
from containers.process import begin, inside
from containers.runtime import ContainerError, interpreter_environment, interpreter_options

COMMANDS = ("apptainer", "singularity")
_OPTIONS = ("--contain", "--cleanenv", "--no-home", "--pwd", "/", "--no-mount", "home,cwd,tmp,hostfs,bind-paths")
_KEPT = ("PATH", "HOME", "USER", "TMPDIR", "APPTAINER_TMPDIR", "APPTAINER_CACHEDIR")


@dataclass(frozen=True, kw_only=True)
class ApptainerRuntime:
    """Programs run under the Python of an image, and see of the image what is not private to it.

    Not seen are its /home, /root, /srv, /var and the like, what the site mounts into every container, and this host.

    Raises:
        ContainerError: there is no Apptainer here, or no such image.
    """

    image: Path
    """A folder with a root file system, or a SIF."""
    preload: tuple[str, ...] = ()
    """Modules imported once, before any program."""

    def __post_init__(self) -> None:
        if not self.image.exists():
            raise ContainerError(f"there is no image at {self.image}; name a SIF or a folder with a root file system")
        find_command()

    def root(self) -> dict[str, object]:
        """See `Runtime.root`. The image is looked into once."""
        return self.contents.root()

    def inside(self, folder: str) -> str:
        """See `Runtime.inside`."""
        return inside(folder)

    def start(
        self, program: Sequence[str], descriptor: int, log: IO[bytes], folders: Sequence[str]
    ) -> subprocess.Popen[bytes]:
        """See `Runtime.start`."""
        command = self._command([*interpreter_options(), *program, str(descriptor)], folders)
        return begin(command, _environment(), log, kept=(descriptor,))

    @cached_property
    def contents(self) -> Contents:
        """What the image holds.

        Raises:
            ContainerError: it cannot be used.
        """
        folder = str(PROBE.parent)
        command = self._command([f"{inside(folder)}/{PROBE.name}"], [folder])
        return look_into(str(self.image), command, _environment())

    def _command(self, arguments: Sequence[str], folders: Sequence[str]) -> list[str]:
        binds = ["--bind=/dev/full", *(f"--bind={folder}:{inside(folder)}:ro" for folder in folders)]
        image = str(self.image.resolve())
        return [find_command(), "--silent", "exec", "--userns", *_OPTIONS, *binds, image, "python3", *arguments]


def find_command() -> str:
    """The path of the first of `COMMANDS` that is installed.

    Raises:
        ContainerError: none is.
    """
    found = next(filter(None, map(shutil.which, COMMANDS)), None)
    if found is None:
        raise ContainerError(
            "neither apptainer nor singularity is on the PATH; on a cluster try `module load apptainer`"
        )
    return found


def native_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """For a command that is to run, build or pull images without an OCI runtime, whatever SingularityCE is told."""
    kept = {name: value for name, value in environment.items() if name != "SINGULARITY_OCI"}
    return {**kept, "SINGULARITY_NO_OCI": "1"}


def _environment() -> dict[str, str]:
    """Of the command itself; what begins with a prefix of its own is set inside."""
    kept = native_environment({name: os.environ[name] for name in _KEPT if name in os.environ})
    prefixes = ("APPTAINERENV_", "SINGULARITYENV_")
    return kept | {prefix + name: value for name, value in interpreter_environment().items() for prefix in prefixes}
