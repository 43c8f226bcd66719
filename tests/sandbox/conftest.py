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


def _stat(pid: int) -> tuple[str, int] | None:
    """State and parent of a process; None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
    except OSError:
        return None
    return fields[0].decode(), int(fields[1])


@pytest.fixture
def descendants() -> Callable[[int], list[int]]:
    """All processes below one, nearest first."""

    def find(root: int) -> list[int]:
        stats = {int(path.name): _stat(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()}
        parents = {pid: stat[1] for pid, stat in stats.items() if stat is not None}
        found = [root]
        for process in found:
            found += sorted(child for child, parent in parents.items() if parent == process)
        return found[1:]

    return find


@pytest.fixture
def is_alive() -> Callable[[int], bool]:
    """Whether a process exists; one that only waits for its parent to notice its end does not."""

    def look(pid: int) -> bool:
        stat = _stat(pid)
        return stat is not None and stat[0] not in "ZX"

    return look
