"""What tests may rely on: a clean environment, one thread, no network, repeatable Hypothesis runs; servers, Slurm."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

# Settings of the person or the job that runs the tests must not reach them.
for name in list(os.environ):
    if name.startswith(("QRPO_SANDBOX_", "SBATCH_", "SLURM_", "WANDB_")) and name != "SLURM_CONF":
        del os.environ[name]

# Set before anything imports torch or a Hugging Face library, hence here and not in a fixture.
os.environ.update(
    {
        "DO_NOT_TRACK": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",
        "MKL_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
        # With more threads than cores (xdist, other users) small torch operations take 50 times as long.
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_OFFLINE": "1",
    }
)

# The same examples on every run and machine; a slow machine is not a failing test.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of public data sets (HumanEval, MBPP, LeetCodeDataset), which are never part of this project."""
    folder = Path(os.environ.get("QRPO_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no data sets at {folder}: set QRPO_DATA to a folder that has them (CONTRIBUTING.md)")
    return folder


@pytest.fixture(scope="session")
def node_names() -> list[str]:
    """By which Slurm knows this host: one for each slurmd that runs here."""
    if shutil.which("sbatch") is None:
        pytest.skip("Slurm is not installed here (no sbatch)")
    show = subprocess.run(["scontrol", "--oneliner", "show", "nodes"], capture_output=True, text=True, check=False)
    host = re.escape(socket.gethostname().split(".")[0])
    names = re.findall(rf"^NodeName=(\S+).*\bNodeHostName={host}\b", show.stdout, re.MULTILINE)
    if not names:
        pytest.skip("this host is no node of a running Slurm")
    return names


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
