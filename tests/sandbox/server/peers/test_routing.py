"""What the routes that stand in for other servers have in common."""

import asyncio
import json

import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.testclient import TestClient
from starlette.types import Message

from sandbox import Limits
from sandbox.server.errors import InvalidError
from sandbox.server.peers.routing import limits_under
from sandbox.server.settings import Settings

BODIES = {
    "/run_code": {"code": "import time; time.sleep(60)", "language": "python"},
    "/api/v2/execute": {
        "language": "python", "version": "*", "run_timeout": 9000,
        "files": [{"content": "import time; time.sleep(60)"}],
    },
    "/test_program": {"program": "import time; time.sleep(60)", "tests": ["assert f()"], "max_execution_time": 9},
    "/test_program_stdio": {
        "program": "import time; time.sleep(60)", "tests": [{"input": "", "output": "1"}], "max_execution_time": 9,
    },
    "/execute_batch_code/": {
        "pre_code": "",
        "batch_ref_model_completions": [["```python\nimport time; time.sleep(60)\n```"] * 50],
        "batch_entrypoints": ["f"],
        "batch_tests": ["def check(candidate):\n    assert candidate()\n"],
        "config": {"time_limit": 9},
    },
}  # fmt: skip


@pytest.mark.parametrize("path", BODIES)
def test_the_work_of_a_client_that_hangs_up_is_dropped(app: FastAPI, path: str) -> None:
    sent: list[Message] = []

    async def request() -> None:
        async with app.router.lifespan_context(app):
            dispatcher = app.state.service.dispatcher
            received: list[Message] = [
                {"type": "http.request", "body": json.dumps(BODIES[path]).encode(), "more_body": False}
            ]

            async def receive() -> Message:
                if received:
                    return received.pop()
                await asyncio.sleep(0.3)
                return {"type": "http.disconnect"}

            async def send(message: Message) -> None:
                sent.append(message)

            scope = {
                "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
                "headers": [(b"content-type", b"application/json")], "client": ("here", 1), "server": ("there", 2),
                "scheme": "http", "http_version": "1.1", "root_path": "", "app": app,
            }  # fmt: skip
            await asyncio.wait_for(app(scope, receive, send), 5)
            assert dispatcher.depth <= 2  # what the sandbox was doing

    asyncio.run(request())
    assert sent[0]["status"] == 499


@pytest.mark.parametrize("path", BODIES)
def test_every_route_has_words_and_an_example(client: TestClient, path: str) -> None:
    route = client.get("/openapi.json").json()["paths"][path]["post"]
    assert route["summary"]
    assert route["tags"]
    example = route["requestBody"]["content"]["application/json"]["schema"]["examples"][0]
    assert client.post(path, json=example).status_code == 200


def test_a_wall_time_is_cpu_time_and_idle_time_within_the_servers() -> None:
    settings = Settings(max_limits=Limits(cpu_s=50.0, total_cpu_s=100.0, idle_s=5.0))
    one, many = limits_under(settings, timeout_s=20.0), limits_under(settings, timeout_s=20.0, tests=40)
    assert (one.cpu_s, one.idle_s, one.total_cpu_s) == (20.0, 5.0, 40.0)
    assert (many.cpu_s, many.idle_s, many.total_cpu_s) == (20.0, 5.0, 100.0)
    assert limits_under(settings, timeout_s=2.0, tests=3).total_cpu_s == 6.0


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf"), 1e300])
def test_a_time_that_is_none_is_refused(timeout_s: float) -> None:
    with pytest.raises(InvalidError):
        limits_under(Settings(), timeout_s=timeout_s, tests=3)


FAULTY = {
    "/run_code": ("files", {f"f{number}": 1 for number in range(1500)}),
    "/api/v2/execute": ("args", [1] * 1500),
    "/execute_batch_code/": ("batch_ref_model_completions", [[1]] * 1500),
}


@pytest.mark.parametrize("path", FAULTY)
def test_not_every_fault_of_a_body_is_listed(client: TestClient, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = []
    monkeypatch.setattr(
        "sandbox.server.json_route.RequestValidationError",
        lambda faults: listed.append(len(faults)) or RequestValidationError(faults),
    )
    name, value = FAULTY[path]
    answer = client.post(path, json={**BODIES[path], name: value})
    assert answer.status_code in (400, 422)
    assert listed == [1]
