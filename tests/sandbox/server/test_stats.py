from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from sandbox import Sandbox
from sandbox.server.app import create_app
from sandbox.server.settings import Settings


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as box:
        yield box


@pytest.fixture
def client(box: Sandbox) -> Iterator[TestClient]:
    with TestClient(create_app(box, Settings(queued=8), None), headers={"x-client": "trainer"}) as client:
        yield client


def test_the_route_tells_what_was_done_and_what_failed(client: TestClient) -> None:
    problem = {"id": "add", "tests": ["assert add(2, 2) == 4"]}
    key = client.put("/v1/problems", json={"problems": [problem]}).json()["keys"][0]
    body = {"submissions": [{"problem": key, "code": "def add(a, b): return 5"}]}
    client.post("/v1/judge", json=body, headers={"x-request-id": "mine"})
    stats = client.get("/v1/stats").json()
    assert (stats["state"], stats["workers"], stats["depth"], stats["enforcement"]) == ("ready", 1, 0, "userns")
    assert stats["window"]["outcomes"] == {"WA": 1}
    assert stats["window"]["latency"]["sandbox"]["p50"] > 0
    failure = stats["failures"][0]
    assert (failure["outcome"], failure["problem_id"], failure["request_id"]) == ("WA", "add", "mine")
    assert (failure["client"], failure["kind"], failure["message"]) == ("trainer", "judge", "the assertion failed")
    assert client.get(f"/v1/stats?after={failure['number']}").json()["failures"] == []


@pytest.mark.parametrize("query", ["window_s=0", "window_s=61", "window_s=960", "after=-1"])
def test_windows_that_cannot_be_told_are_refused(client: TestClient, query: str) -> None:
    assert client.get(f"/v1/stats?{query}").status_code == 422


def test_a_server_that_refused_for_want_of_room_is_overloaded(client: TestClient) -> None:
    client.app.state.observation.answered("POST", "/v1/run", 429, 0.0)  # type: ignore[attr-defined]
    stats = client.get("/v1/stats").json()
    assert stats["state"] == "overloaded"
    assert stats["window"]["refused"] == {"overloaded": 1}


def test_a_server_that_is_about_to_end_says_so(client: TestClient) -> None:
    assert client.portal is not None
    client.portal.call(client.app.state.service.dispatcher.drain)  # type: ignore[attr-defined]
    assert client.get("/v1/stats").json()["state"] == "draining"
