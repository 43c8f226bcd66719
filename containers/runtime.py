"""What every place to run in can do."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import IO, Protocol


class Runtime(Protocol):
    """A root file system with a Python in it, and a way to start that Python there."""

    @property
    def preload(self) -> tuple[str, ...]:
        """Modules imported once, before any program."""

    def root(self) -> dict[str, object]:
        """The root that programs get, as `sandbox.worker.root.build` takes it; paths are those inside.

        Raises:
            ContainerError: the image cannot be used.
        """

    def inside(self, folder: str) -> str:
        """Where a folder of this host is found by what `start` starts."""

    def start(
        self, program: Sequence[str], descriptor: int, log: IO[bytes], folders: Sequence[str]
    ) -> subprocess.Popen[bytes]:
        """Start Python inside.

        Args:
            program: Python's arguments; the number of the descriptor follows them.
            descriptor: is kept open.
            log: takes stderr.
            folders: of this host, to be found at `inside`, read-only.

        Raises:
            ContainerError: the image cannot be used.
            OSError: it could not be started.
        """


class ContainerError(Exception):
    """An image or what runs it is missing or of no use; the message says what to do."""


def interpreter_options() -> list[str]:
    """Python's own: no site, nothing of the user's, no byte code written, UTF-8 throughout."""
    return ["-S", "-s", "-B", "-X", "utf8"]


def interpreter_environment() -> dict[str, str]:
    """Hashing is fixed so that the order of a set is the same in every run; numerical libraries stay on one core."""
    return {"PYTHONHASHSEED": "0", "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
