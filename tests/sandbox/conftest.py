"""What the tests of the sandbox share: slots whose own code is changed, their processes seen from outside, servers."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import pytest

from containers.host import HostRuntime
from sandbox.slot import Runtime
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

    def root(self) -> dict[str, object]:
        return self._host.root()

    def start(self, program: Sequence[str], descriptor: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
        boot = program[1].replace("; main()", f"\n{MODULES}{self._patch}\nmain.main()")
        assert boot != program[1]
        return self._host.start([program[0], boot], descriptor, log)


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


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Wait until a condition holds; fail after 30 s, which only a hang takes."""

    def wait(condition: Callable[[], object]) -> None:
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.005)

    return wait


SERVE = """
import json, socket, sys
import uvicorn
from sandbox import Sandbox
from sandbox.server.app import create_app
from sandbox.server.settings import Settings

descriptor, token, workers, settings = json.loads(sys.argv[1])
with Sandbox(workers=workers) as box:
    app = create_app(box, Settings(**settings), token)
    config = uvicorn.Config(app, log_level="warning", loop="uvloop", http="httptools", access_log=False)
    uvicorn.Server(config).run([socket.socket(fileno=descriptor)])
"""


class RunningServer:
    """A server in a process of its own."""

    def __init__(
        self, listener: socket.socket, token: str | None, workers: int, settings: Mapping[str, object]
    ) -> None:
        if listener.family == socket.AF_UNIX:
            self.url = self.address = f"unix:{listener.getsockname()}"
        else:
            self.port = listener.getsockname()[1]
            self.address = f"http://127.0.0.1:{self.port}"
            self.url = f"http://:{token}@127.0.0.1:{self.port}"
        self.token = token
        listener.listen(1024)  # who connects before it is ready waits
        arguments = json.dumps([listener.fileno(), token, workers, dict(settings)])
        self.process = subprocess.Popen([sys.executable, "-c", SERVE, arguments], pass_fds=[listener.fileno()])
        listener.close()

    def kill(self) -> None:
        """As by `kill -9`."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """In good order."""
        self.process.terminate()
        self.process.wait(timeout=30)


StartServer = Callable[..., RunningServer]


@pytest.fixture(scope="module")
def start_server() -> Iterator[StartServer]:
    """Starts a server on a free port of the loopback address, a given one, or a Unix socket; all end with the module.

    `start_server(token="t", port=0, path=None, workers=1, **settings)`, where `settings` are those of the server.
    """
    started: list[RunningServer] = []

    def start(
        token: str | None = "t", *, port: int = 0, path: Path | None = None, workers: int = 1, **settings: object
    ) -> RunningServer:
        listener = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port) if path is None else str(path))
        started.append(RunningServer(listener, token, workers, settings))
        return started[-1]

    yield start
    for server in started:
        server.stop()
