"""A server's application with a sandbox of its own, and clients that know nothing of it."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from sandbox import Sandbox
from sandbox.limits import MIB, Limits
from sandbox.server.app import create_app
from sandbox.server.settings import Settings


@pytest.fixture(scope="session")
def box() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as sandbox:
        yield sandbox


@pytest.fixture
def app(box: Sandbox) -> FastAPI:
    most = Limits(cpu_s=20.0, total_cpu_s=60.0, idle_s=5.0, memory_bytes=2048 * MIB)
    return create_app(box, Settings(max_limits=most), None)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app) as found:
        yield found


@pytest.fixture
def busy_client(box: Sandbox) -> Iterator[TestClient]:
    """Of a server whose queue is so short that it never has room for one more."""
    with TestClient(create_app(box, Settings(queued=2), None)) as found:
        found.app.state.service.run("someone", [("import time; time.sleep(1)", "")], Limits())  # type: ignore[attr-defined]
        yield found


@pytest.fixture
def failing_client(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """Of a server whose host fails every submission."""
    from concurrent.futures import Future

    from sandbox import InfrastructureError

    def fail(*_: object, **__: object) -> Future[object]:
        future: Future[object] = Future()
        future.set_exception(InfrastructureError("no process is left"))
        return future

    monkeypatch.setattr(Sandbox, "submit", fail)
    monkeypatch.setattr(Sandbox, "submit_run", fail)
    with TestClient(app) as found:
        yield found
