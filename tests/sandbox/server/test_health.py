import asyncio

from starlette.testclient import TestClient

from sandbox.server.service import Service


def test_a_server_that_is_about_to_end_is_healthy_but_not_ready(http: TestClient) -> None:
    assert (http.get("/readyz").status_code, http.get("/healthz").status_code) == (200, 200)
    service: Service = http.app.state.service  # type: ignore[attr-defined]
    asyncio.run(service.dispatcher.drain())
    answer = http.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "draining\n")
    assert http.get("/healthz").text == "ok\n"
