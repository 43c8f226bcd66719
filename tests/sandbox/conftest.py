"""What the tests of the sandbox share: slots whose own code is changed, their processes seen from outside."""

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import pytest

from containers.host import HostRuntime
from containers.runtime import Runtime
from sandbox.worker import landlock

MODULES = (
    "import os\n"
    "from worker import broker, cage, candidate, function_judge, landlock, linux, main, procfs, root, run, seccomp\n"
    "from worker import compiler, languages, session, supervisor, syscalls, zygote\n"
)


class PatchedHost:
    """The host, where some Python runs in the slot's first process before all else."""

    preload: tuple[str, ...] = ()

    def __init__(self, patch: str) -> None:
        self._patch = patch
        self._host = HostRuntime()

    def inside(self, folder: str) -> str:
        return self._host.inside(folder)

    def root(self) -> dict[str, object]:
        return self._host.root()

    def start(
        self, program: Sequence[str], descriptor: int, log: IO[bytes], folders: Sequence[str]
    ) -> subprocess.Popen[bytes]:
        boot = program[1].replace("; main()", f"\n{MODULES}{self._patch}\nmain.main()")
        assert boot != program[1]
        return self._host.start([program[0], boot], descriptor, log, folders)


@pytest.fixture(scope="session")
def needs_lower_level() -> None:
    """Skip where this machine and user cannot have the level without namespaces."""
    if landlock.version() < 1:
        pytest.skip("this kernel has no Landlock")
    if os.geteuid() == 0 and not all(path.stat().st_mode & 1 for path in Path(os.__file__).parents):
        pytest.skip("the interpreter lies in a folder of root's: at this level uid 65534 could not read it")


@pytest.fixture(scope="session")
def patched_host() -> Callable[[str], Runtime]:
    """Makes a runtime from the Python that changes the slot's code, which has the modules of `sandbox.worker`."""
    return PatchedHost
