"""The life of a server, each in a process of its own."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sandbox.endpoint import EndpointRecord, endpoints

Serve = Callable[..., Any]
Eventually = Callable[[Callable[[], object]], None]
Descendants = Callable[[int], list[int]]
IsAlive = Callable[[int], bool]
SLEEP = "import time; time.sleep({})"


def records(folder: Path) -> list[EndpointRecord]:
    return [endpoint.record for endpoint in endpoints(folder)]


class Batch:
    """A request that is being answered, and its rows so far."""

    def __init__(self, client: httpx2.Client, codes: list[str], **headers: str) -> None:
        self.rows: list[dict[str, Any]] = []
        self.error: BaseException | None = None
        self._request = client.build_request(
            "POST",
            "/v1/run",
            json={"programs": [{"code": code} for code in codes], "limits": {"idle_s": 30}},
            headers={"accept": "application/x-ndjson", **headers},
        )
        self._client = client
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait(self) -> list[dict[str, Any]]:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.rows

    def _read(self) -> None:
        try:
            answer = self._client.send(self._request, stream=True)
            assert answer.status_code == 200, answer.read()
            for line in answer.iter_lines():
                self.rows.append(json.loads(line))
        except BaseException as error:  # noqa: BLE001  # the server may die
            self.error = error


def accepts(client: httpx2.Client) -> bool:
    return client.get("/readyz").status_code == 200


@pytest.fixture
def busy(serve: Serve) -> Iterator[tuple[Any, httpx2.Client]]:
    """A server with one slot, and a client of it."""
    served = serve("--workers", "1")
    with served.client() as client:
        yield served, client


def test_the_first_line_says_that_memory_is_what_bounds_the_workers(serve: Serve) -> None:
    if len(os.sched_getaffinity(0)) == 1:
        pytest.skip("one CPU is one worker whatever the memory")
    in_a_job = {"SLURM_JOB_ID": "1", "SLURM_MEM_PER_NODE": "1500"}
    served = serve(**in_a_job)
    with served.client():
        (line,) = served.lines
    assert "; 1 workers (for " in line
    assert "memory is short: 1.46 GiB by SLURM_MEM_PER_NODE); enforcement" in line


def test_the_first_line_says_where_it_is_and_what_it_enforces(serve: Serve, endpoint_dir: Path) -> None:
    served = serve("--workers", "1")
    with served.client() as client:
        assert client.get("/v1/info").json()["workers"] == 1
    line, *requests = served.lines
    assert all("sandbox.server.request_log request id=" in request for request in requests), requests
    assert "serves at http://127.0.0.1:" in line
    assert "; 1 workers; enforcement userns; token in " in line
    assert line.rstrip().endswith(f"; page {served.url}/")
    assert served.token not in line


def test_the_token_is_long_and_only_its_users(serve: Serve, endpoint_dir: Path) -> None:
    served = serve("--workers", "1")
    assert len(served.token) >= 43
    [endpoint] = endpoints(endpoint_dir)
    assert endpoint.token == served.token
    assert endpoint.record.url == served.url
    assert endpoint.record.pid == served.pid
    assert stat.S_IMODE(endpoint.path.with_suffix(".token").stat().st_mode) == 0o600
    assert stat.S_IMODE(endpoint_dir.stat().st_mode) == 0o700
    assert httpx2.get(f"{served.url}/v1/info").status_code == 401


def test_a_token_can_be_given_in_a_file_of_ones_own(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("0123456789abcdef0123456789\n")
    path.chmod(0o644)
    refused = serve("--token-file", path)
    assert refused.ends() == 2
    assert refused.lines == [f"error: {path}: others may read this token (mode 644); chmod 600\n"]
    path.chmod(0o600)
    assert serve("--token-file", path).token == "0123456789abcdef0123456789"


def test_after_a_signal_it_finishes_what_it_has_and_takes_nothing_new(
    busy: tuple[Any, httpx2.Client], endpoint_dir: Path, eventually: Eventually, descendants: Descendants
) -> None:
    served, client = busy
    batch = Batch(client, ["pass", *[SLEEP.format(0.3)] * 5])
    eventually(lambda: batch.rows)
    processes = descendants(served.pid)
    served.signal(signal.SIGTERM)
    eventually(lambda: not accepts(client))
    assert records(endpoint_dir) == []
    refused = client.post("/v1/run", json={"programs": [{"code": "pass"}]})
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["kind"] == "draining"
    assert [row["result"]["verdict"] for row in batch.wait()] == ["AC"] * 6
    assert served.ends() == 0
    assert list(endpoint_dir.iterdir()) == [endpoint_dir / ".lock"]
    assert not any(Path(f"/proc/{pid}").exists() for pid in processes)
    assert len(processes) >= 3


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_stops_it_at_once(
    busy: tuple[Any, httpx2.Client],
    endpoint_dir: Path,
    eventually: Eventually,
    descendants: Descendants,
    number: signal.Signals,
    code: int,
) -> None:
    served, client = busy
    batch = Batch(client, ["pass", SLEEP.format(25), SLEEP.format(25)])
    eventually(lambda: batch.rows)
    processes = descendants(served.pid)
    served.signal(number)
    eventually(lambda: not accepts(client))
    began_s = time.monotonic()
    served.signal(number)
    assert served.ends() == code
    assert time.monotonic() - began_s < 10
    assert list(endpoint_dir.iterdir()) == [endpoint_dir / ".lock"]
    assert not any(Path(f"/proc/{pid}").exists() for pid in processes)


def test_what_cannot_be_finished_in_time_is_handed_back(serve: Serve, eventually: Eventually) -> None:
    served = serve("--workers", "1", "--drain-s", "0.5")
    with served.client() as client:
        batch = Batch(client, ["pass", *[SLEEP.format(25)] * 50])
        eventually(lambda: batch.rows)
        served.signal(signal.SIGTERM)
        rows = batch.wait()
    assert served.ends() == 0
    assert sorted(row["index"] for row in rows) == list(range(51))
    assert {row["error"]["kind"] for row in rows if "error" in row} == {"closed"}
    assert sum("error" in row for row in rows) == 50


def test_a_hangup_ends_it_unless_it_was_started_to_ignore_it(serve: Serve, tmp_path: Path) -> None:
    served = serve("--workers", "1")
    assert served.url
    served.signal(signal.SIGHUP)
    assert served.ends() == 0
    kept = serve("--workers", "1", ignores=(signal.SIGHUP,))
    assert kept.url
    kept.signal(signal.SIGHUP)
    with kept.client() as client:
        time.sleep(0.3)
        assert accepts(client)


def test_a_signal_while_it_starts_leaves_nothing(serve: Serve, endpoint_dir: Path, eventually: Eventually) -> None:
    path = endpoint_dir / "socket"
    served = serve("--uds", path)
    eventually(path.exists)
    served.signal(signal.SIGTERM)
    assert served.ends() in (0, 143)
    assert not path.exists()
    assert records(endpoint_dir) == []


def test_a_killed_server_leaves_no_process_and_the_next_one_cleans_up_its_files(
    busy: tuple[Any, httpx2.Client], serve: Serve, endpoint_dir: Path, eventually: Eventually,
    descendants: Descendants, is_alive: IsAlive,
) -> None:  # fmt: skip
    served, client = busy
    batch = Batch(client, ["pass", SLEEP.format(25)])
    eventually(lambda: batch.rows)
    processes = descendants(served.pid)
    launcher = processes[0]
    os.kill(launcher, signal.SIGSTOP)
    assert len(processes) >= 3
    served.signal(signal.SIGKILL)
    served.ends()
    eventually(lambda: not any(map(is_alive, processes)))
    assert len(list(endpoint_dir.iterdir())) == 3
    following = serve("--workers", "1")
    assert following.url
    assert following.lines[0] == f"cleaned up after 1 that had been killed: {served.url} (pid {served.pid})\n"
    assert [record.pid for record in records(endpoint_dir)] == [following.pid]
    assert len(list(endpoint_dir.glob("*.token"))) == 1


def test_servers_that_start_at_the_same_time_leave_each_other_alone(serve: Serve, endpoint_dir: Path) -> None:
    started = [serve("--workers", "1") for _ in range(3)]
    urls = {served.url for served in started}
    assert {record.url for record in records(endpoint_dir)} == urls
    assert len(urls) == 3
    assert not any("cleaned" in line for served in started for line in served.lines)


def test_a_unix_socket_needs_no_token_and_nobody_else_can_open_it(serve: Serve, endpoint_dir: Path) -> None:
    path = endpoint_dir / "socket"
    served = serve("--uds", path, "--workers", "1")
    assert served.url == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(path)), base_url="http://sandbox") as client:
        assert client.post("/v1/run", json={"programs": [{"code": "pass"}]}).status_code == 200
    assert list(endpoint_dir.glob("*.token")) == []
    served.signal(signal.SIGTERM)
    assert served.ends() == 0
    assert not path.exists()


def test_a_socket_whose_server_was_killed_makes_room(serve: Serve, endpoint_dir: Path) -> None:
    path = endpoint_dir / "socket"
    served = serve("--uds", path, "--workers", "1")
    assert served.url
    served.signal(signal.SIGKILL)
    served.ends()
    assert path.exists()
    following = serve("--uds", path, "--workers", "1")
    assert following.url == f"unix:{path}"
    assert "cleaned up after 1" in following.lines[0]


def refusal(served: Any) -> str:
    assert served.ends() == 2
    [line] = served.lines
    assert line.startswith("error: ")
    return str(line)


def test_what_stands_in_the_way_of_listening_is_said_in_one_line(serve: Serve, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refusal(serve("--port", str(port)))
        assert f"port {port}: Address already in use; name another, or 0 for any" in line
    assert "--allow-remote" in refusal(serve("--host", "0.0.0.0"))
    assert "is no address" in refusal(serve("--host", "no such host"))
    assert "too long for a socket" in refusal(serve("--uds", tmp_path / ("x" * 100)))
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "file").touch()
    assert "is in use" in refusal(serve("--uds", private / "file"))
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(private / "socket"))
        other.listen()
        assert "is in use" in refusal(serve("--uds", private / "socket"))


def test_a_folder_that_others_can_open_is_refused(serve: Serve, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    assert "chmod 700" in refusal(serve("--endpoint-dir", shared))
    assert "chmod 700" in refusal(serve("--uds", shared / "socket"))


FULL = """
import sys
from pathlib import Path
import sandbox.endpoint
from sandbox.server.cli import serve
import typer
def refuse(*_):
    raise OSError(28, "No space left on device")
sandbox.endpoint.write_atomically = refuse
try:
    serve(port=0, workers=1, endpoint_dir=Path(sys.argv[1]))
except typer.Exit as end:
    sys.exit(end.exit_code)
"""


def test_a_full_disk_is_said_in_one_line_and_nothing_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "full"
    command = [sys.executable, "-c", FULL, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: {folder}/")
    assert line.endswith(".json: No space left on device")
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_a_host_that_cannot_sandbox_is_exit_code_7(serve: Serve, endpoint_dir: Path) -> None:
    served = serve(QRPO_SANDBOX_CGROUP="/nowhere")
    assert served.ends() == 7
    [line] = served.lines
    assert line.startswith("error: QRPO_SANDBOX_CGROUP is '/nowhere'")
    assert records(endpoint_dir) == []
