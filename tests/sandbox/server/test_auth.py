import base64

import pytest
from starlette.testclient import TestClient

from sandbox.pool import Sandbox
from sandbox.server.app import create_app
from sandbox.server.settings import Settings

from .conftest import TOKEN


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "header",
    [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Bearer  {TOKEN} ", basic("", TOKEN), basic("anyone", TOKEN)],
)
def test_the_token_opens(http: TestClient, header: str) -> None:
    assert http.get("/v1/info", headers={"authorization": header}).status_code == 200


@pytest.mark.parametrize(
    "header",
    ["", TOKEN, "Bearer", "Bearer ", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Token {TOKEN}", "Bearer \xe9",
     basic("", ""), basic(TOKEN, ""), "Basic !", "Basic /w=="],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/info", "/openapi.json", "/nowhere", "/v1/run/", "/healthz/"])
def test_nothing_else_does(http: TestClient, header: str, path: str) -> None:
    answer = http.get(path, headers={"authorization": header.encode("latin-1")}, follow_redirects=False)
    assert answer.status_code == 401
    assert answer.json()["error"]["kind"] == "unauthorized"
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_wrong_token_is_told_from_none(http: TestClient) -> None:
    said = [
        http.get("/v1/info", headers={"authorization": header}).json()["error"]["message"]
        for header in ("", "Bearer of-yesterday", basic("", "of-yesterday"))
    ]
    assert "a token is needed" in said[0]
    assert "this token is not the server's" in said[1]
    assert said[1] == said[2]
    assert "of-yesterday" not in said[1]


def test_health_needs_none(http: TestClient) -> None:
    for path in ("/healthz", "/readyz"):
        assert http.get(path, headers={"authorization": ""}).text == "ok\n"


def test_without_a_token_everybody_may_enter(box: Sandbox) -> None:
    with TestClient(create_app(box, Settings(), None)) as http:
        assert http.get("/v1/info").status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/healthz", "/"])
def test_what_needs_no_token_takes_no_body_without_one(http: TestClient, method: str, path: str) -> None:
    assert http.request(method, path, content=b"a body", headers={"authorization": ""}).status_code == 401
    assert http.request(method, path, content=iter([b"a body"]), headers={"authorization": ""}).status_code == 401
