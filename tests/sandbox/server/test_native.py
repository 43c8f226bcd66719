"""The native routes, with a sandbox behind them."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from sandbox.records import ProblemRecord
from sandbox.wire import NDJSON, JudgeAnswer, JudgeRow, RunAnswer, key_of

from .conftest import TOKEN

ADD = {"id": "add", "tests": ["assert add(2, 2) == 4", "assert add(0, 1) == 1"]}
KEY = key_of(ProblemRecord.model_validate(ADD))
RIGHT = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return 4\n"
JSON = {"content-type": "application/json"}


@pytest.fixture
def held(http: TestClient) -> TestClient:
    assert http.put("/v1/problems", json={"problems": [ADD]}).json() == {"keys": [KEY]}
    return http


def rows_of(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def error_of(answer: Any, status: int, kind: str) -> dict[str, Any]:
    body = answer.json()
    assert (answer.status_code, body["error"]["kind"]) == (status, kind), body
    assert body.keys() == {"error"}
    found: dict[str, Any] = body["error"]
    return found


def test_submissions_are_judged_in_order(held: TestClient) -> None:
    body = {"submissions": [{"problem": KEY, "code": RIGHT, "id": "a"}, {"problem": KEY, "code": WRONG},
                            {"problem": KEY}]}  # fmt: skip
    answer = JudgeAnswer.model_validate_json(held.post("/v1/judge", json=body).content)
    assert [row.index for row in answer.results] == [0, 1, 2]
    results = [row.result for row in answer.results]
    assert [(result.verdict, result.passed, result.id) for result in results if result] == [
        ("AC", 2, "a"),
        ("WA", 1, None),
        ("NO_CODE", 0, None),
    ]


def test_rows_come_as_lines_where_they_are_asked_for(held: TestClient) -> None:
    body = {"submissions": [{"problem": KEY, "code": RIGHT}] * 20}
    answer = held.post("/v1/judge", json=body, headers={"accept": NDJSON})
    assert answer.headers["content-type"] == NDJSON
    rows = [JudgeRow.model_validate_json(line) for line in answer.text.splitlines()]
    assert sorted(row.index for row in rows) == list(range(20))
    assert {row.result.verdict for row in rows if row.result} == {"AC"}


def test_options_and_limits_reach_the_judge(held: TestClient) -> None:
    slow = RIGHT + "import time; time.sleep(1)"
    body = {
        "submissions": [{"problem": KEY, "code": slow}, {"problem": KEY, "code": WRONG}],
        "limits": {"idle_s": 0.2},
        "stop_on_first_failure": True,
        "isolate": "test",
    }
    slow_row, wrong_row = held.post("/v1/judge", json=body).json()["results"]
    assert slow_row["result"]["verdict"] == "TLE"
    assert [test["verdict"] for test in wrong_row["result"]["tests"]] == ["AC", "WA"]


def test_programs_are_run_with_their_stdin(http: TestClient) -> None:
    echo = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])"
    body = {"programs": [{"code": echo, "stdin": "ab"}, {"code": echo, "stdin_base64": "AP8="}, {"code": "1/0"}]}
    answer = RunAnswer.model_validate_json(http.post("/v1/run", json=body).content)
    text, raw, error = [row.result.to_result() for row in answer.results if row.result]
    assert (text.stdout, raw.stdout, error.verdict) == (b"ba", b"\xff\x00", "RE")


def test_programs_may_be_in_another_language(http: TestClient) -> None:
    body = {"programs": [{"code": "cat"}], "language": "bash"}
    assert http.post("/v1/run", json=body).json()["results"][0]["result"]["verdict"] == "AC"
    error_of(http.post("/v1/run", json=body | {"language": "cobol"}), 422, "invalid")


def test_problems_that_are_not_held_are_named(held: TestClient) -> None:
    body = {"submissions": [{"problem": "a" * 64, "code": RIGHT}, {"problem": KEY, "code": RIGHT}]}
    error = error_of(held.post("/v1/judge", json=body), 404, "unknown_problems")
    assert error["problems"] == ["a" * 64]


def test_a_problem_that_can_judge_nothing_is_refused_with_its_field(http: TestClient) -> None:
    problem = {"id": "bad", "tests": ["assert ("]}
    error = error_of(http.put("/v1/problems", json={"problems": [problem]}), 422, "problem")
    assert error["field"] == "tests"
    assert "'bad'" in error["message"]


@pytest.mark.parametrize(
    ("limits", "kind"),
    [({"cpu_s": 1e5}, "limit"), ({"memory_bytes": 1 << 45}, "limit"), ({"cpu_s": -1}, "invalid"),
     ({"processes": 0}, "invalid")],
)  # fmt: skip
def test_limits_are_bounded(held: TestClient, limits: dict[str, float], kind: str) -> None:
    body = {"submissions": [{"problem": KEY, "code": RIGHT}], "limits": limits}
    error_of(held.post("/v1/judge", json=body), 422, kind)
    error_of(held.post("/v1/run", json={"programs": [{"code": "pass"}], "limits": limits}), 422, kind)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"programs": []}',
        b'{"programs": [{}]}',
        b'{"programs": [{"code": 1}]}',
        b'{"programs": [{"code": "pass", "extra": 1}]}',
        b'{"programs": [{"code": "\\ud800"}]}',
        b'{"programs": [{"code": "\xff"}]}',
        b'{"programs": [{"code": "pass", "stdin_base64": "!"}]}',
        b'{"programs": [{"code": "pass", "stdin": "a", "stdin_base64": "YQ=="}]}',
        b'{"programs": [{"code": "pass"}], "limits": {"cpu_s": NaN}}',
        b'{"programs": [{"code": "pass"}], "limits": {"cpu_s": Infinity}}',
        b'{"programs": [{"code": "pass"}], "limits": {"cpu_s": 1e999}}',
        b'{"programs": [{"code": "pass"}], "limits": {"memory_bytes": 1' + b"0" * 5000 + b"}}",
        b'{"programs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"programs": [' + b",".join([b"{}"] * 200_000) + b"]}",
    ],
)
def test_a_body_that_is_not_what_it_should_be_is_refused(http: TestClient, body: bytes) -> None:
    answer = http.post("/v1/run", content=body, headers=JSON)
    error = error_of(answer, 422, "invalid")
    assert len(answer.content) < 5000, error


def test_a_refusal_names_the_field(http: TestClient) -> None:
    answer = http.post("/v1/run", json={"programs": [{"code": "pass"}, {"code": 5}]})
    assert error_of(answer, 422, "invalid")["field"] == "programs.1.code"


def test_a_body_of_another_type_is_refused(http: TestClient) -> None:
    answer = http.post("/v1/run", content=b'{"programs": [{"code": "pass"}]}', headers={"content-type": "text/plain"})
    error_of(answer, 415, "invalid")


def test_the_last_of_equal_keys_counts(http: TestClient) -> None:
    body = b'{"programs": [{"code": "1/0"}], "programs": [{"code": "pass"}]}'
    [row] = http.post("/v1/run", content=body, headers=JSON).json()["results"]
    assert row["result"]["verdict"] == "AC"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/v1/run", 405), ("HEAD", "/v1/info", 405), ("OPTIONS", "/v1/run", 405)],
)
def test_what_is_not_there_is_answered_in_the_shape_of_all_errors(
    http: TestClient, method: str, path: str, status: int
) -> None:
    hint = "use POST" if path == "/v1/run" else "GET /openapi.json lists all routes"
    answer = http.request(method, path)
    assert answer.status_code == status
    assert ("allow" in answer.headers) == (status == 405)
    if method != "HEAD":
        error = answer.json()["error"]
        assert error["kind"] in ("not_found", "invalid")
        assert error["message"] == f"there is no {method} {path}; {hint}"


def test_a_misspelt_field_is_said_to_be_none(http: TestClient) -> None:
    answer = http.post("/v1/run", json={"programs": [{"kode": "pass", "code": "pass"}]})
    assert error_of(answer, 422, "invalid")["message"] == "programs.0.kode: there is no such field"


def test_a_repeated_request_gets_the_rows_that_it_had(held: TestClient) -> None:
    body = {"programs": [{"code": "import os, time; print(time.time_ns(), os.getpid())"}] * 5}
    headers = {"idempotency-key": "one"}
    first = held.post("/v1/run", json=body, headers=headers).json()
    assert held.post("/v1/run", json=body, headers=headers).json() == first
    lines = rows_of(held.post("/v1/run", json=body, headers=headers | {"accept": NDJSON}))
    assert sorted(lines, key=lambda row: row["index"]) == first["results"]
    assert held.post("/v1/run", json=body, headers={"idempotency-key": "two"}).json() != first


def test_a_key_belongs_to_one_body_and_one_route(held: TestClient) -> None:
    headers = {"idempotency-key": "mine"}
    body = {"programs": [{"code": "pass"}]}
    assert held.post("/v1/run", json=body, headers=headers).status_code == 200
    error_of(held.post("/v1/run", json={"programs": [{"code": "pass "}]}, headers=headers), 409, "conflict")
    judge = {"submissions": [{"problem": KEY, "code": RIGHT}]}
    error_of(held.post("/v1/judge", json=judge, headers=headers), 409, "conflict")
    error_of(held.post("/v1/run", json=body, headers={"idempotency-key": "x" * 201}), 422, "invalid")


def test_the_description_is_for_those_with_the_token_and_loads_nothing_from_elsewhere(http: TestClient) -> None:
    assert http.get("/openapi.json", headers={"authorization": ""}).status_code == 401
    described = http.get("/openapi.json").json()
    for path, methods in described["paths"].items():
        if path.startswith("/v1"):
            for operation in methods.values():
                assert "422" in operation["responses"] or "requestBody" not in operation, path
                body = operation.get("requestBody")
                assert body is None or body["content"]["application/json"]["schema"], path
    assert (http.get("/docs").status_code, http.get("/redoc").status_code) == (404, 404)
    assert TOKEN not in http.get("/openapi.json").text
