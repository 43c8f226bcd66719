"""A server in a process of its own, and an application in this one."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
import uvloop
from starlette.testclient import TestClient

from sandbox.pool import Sandbox
from sandbox.server.app import create_app
from sandbox.server.listening import listen_tcp
from sandbox.server.serve import _config, _Server
from sandbox.server.service import Service
from sandbox.server.settings import Settings

TOKEN = "a-token-of-the-tests"


@dataclass
class Served:
    """A server that a test has started."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    """What it has said so far."""

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            self.lines.extend(stream)

    @property
    def url(self) -> str:
        return self._said(r"serves at ([^;]+)")

    @property
    def token(self) -> str:
        return Path(self._said(r"token in ([^;]+)")).read_text().strip()

    @property
    def pid(self) -> int:
        return self.process.pid

    def client(self) -> httpx2.Client:
        return httpx2.Client(
            base_url=self.url, headers={"authorization": f"Bearer {self.token}"}, timeout=60, trust_env=False
        )

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ends(self) -> int:
        """Its exit code; all that it said is there then."""
        code = self.process.wait(60)
        self._reader.join()
        return code

    def _said(self, pattern: str) -> str:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for line in list(self.lines):
                if found := re.search(pattern, line):
                    return found[1].strip()
            assert self.process.poll() is None, self.lines
            time.sleep(0.005)
        raise AssertionError(self.lines)


Serve = Callable[..., Served]


@pytest.fixture
def endpoint_dir(tmp_path: Path) -> Path:
    return tmp_path / "endpoints"


@pytest.fixture
def serve(endpoint_dir: Path) -> Iterator[Serve]:
    """Starts servers; options that are not given are those of a test."""
    started: list[Served] = []

    def start(*options: str | Path, ignores: tuple[signal.Signals, ...] = (), **env: str) -> Served:
        given = [str(option) for option in options]
        if "--port" not in given and "--uds" not in given:
            given += ["--port", "0"]
        if "--endpoint-dir" not in given:
            given += ["--endpoint-dir", str(endpoint_dir)]
        command = [sys.executable, "-m", "sandbox.cli", "serve", *given]
        before = {number: signal.signal(number, signal.SIG_IGN) for number in ignores}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | env)
        for number, handler in before.items():
            signal.signal(number, handler)
        started.append(Served(process))
        return started[-1]

    yield start
    for served in started:
        if served.process.poll() is None:
            served.process.kill()
        served.ends()


@pytest.fixture(scope="session")
def box() -> Iterator[Sandbox]:
    with Sandbox(workers=2) as sandbox:
        yield sandbox


@pytest.fixture
def http(box: Sandbox) -> Iterator[TestClient]:
    """The application, whose token the client sends."""
    app = create_app(box, Settings(), TOKEN)
    with TestClient(app, headers={"authorization": f"Bearer {TOKEN}"}, raise_server_exceptions=False) as client:
        yield client


@dataclass
class Hosted:
    """A server on a thread of this process, whose insides a test can see."""

    url: str
    service: Service
    server: uvicorn.Server

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, **headers: str) -> httpx2.Client:
        given = {"authorization": f"Bearer {TOKEN}"} | headers
        return httpx2.Client(base_url=self.url, headers=given, timeout=60, trust_env=False)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    @property
    def is_idle(self) -> bool:
        """Nothing of any request is left."""
        dispatcher = self.service.dispatcher
        return not (dispatcher.depth or dispatcher._running or dispatcher._requests or dispatcher._turns._clients)


@pytest.fixture
def host(box: Sandbox) -> Iterator[Callable[..., Hosted]]:
    """Starts servers with settings of the test's."""
    started: list[tuple[_Server, asyncio.AbstractEventLoop, threading.Thread]] = []

    def start(**settings: Any) -> Hosted:
        listening = listen_tcp("127.0.0.1", 0, allows_remote=False)
        app = create_app(box, Settings(**settings), TOKEN)
        server = _Server(_config(app))
        loop = uvloop.new_event_loop()
        thread = threading.Thread(target=lambda: loop.run_until_complete(server.serve(sockets=[listening.sock])))
        thread.start()
        started.append((server, loop, thread))
        while not server.started:
            time.sleep(0.005)
        return Hosted(listening.url, app.state.service, server)

    yield start
    for server, loop, thread in started:
        loop.call_soon_threadsafe(server.cut)
        thread.join(60)
        assert not thread.is_alive()
        loop.close()
