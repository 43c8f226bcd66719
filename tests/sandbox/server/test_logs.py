import json
import logging
import sys
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message

from sandbox import Sandbox
from sandbox.server.app import create_app
from sandbox.server.logs import JsonFormatter, TextFormatter, configure_logging, log_event
from sandbox.server.settings import Settings

SECRET = "xyzzy_secret"
log = logging.getLogger("test")


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as box:
        yield box


@pytest.fixture
def kept_logging() -> Iterator[None]:
    """Logging as it was before, afterwards."""
    loggers = [logging.getLogger(name) for name in (None, "uvicorn", "uvicorn.error", "uvicorn.access", "asyncio")]
    before = [(logger, logger.level, list(logger.handlers), logger.propagate) for logger in loggers]
    yield
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate


def client_of(box: Sandbox, **settings: bool) -> TestClient:
    app = create_app(box, Settings(queued=64, **settings), "tok-" + SECRET)  # type: ignore[arg-type]

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError(SECRET)

    return TestClient(app, headers={"authorization": "Bearer tok-" + SECRET}, raise_server_exceptions=False)


def lines(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
    """Fields of the events of a name, as JSON has them."""
    rows = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    return [row for row in rows if row.get("event") == event]


def as_written(caplog: pytest.LogCaptureFixture) -> str:
    """All of the log, in both formats."""
    formatters = (TextFormatter(), JsonFormatter())
    return "\n".join(formatter.format(record) for record in caplog.records for formatter in formatters)


def record_of(caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    assert len(caplog.records) == 1
    return caplog.records[0]


def test_a_request_has_one_line(box: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with client_of(box) as client:
        client.post(
            "/v1/run",
            json={"programs": [{"code": "pass"}] * 3},
            headers={"x-request-id": "abc.1-2_3", "x-client": "trainer 7"},
        )
    (row,) = lines(caplog, "request")
    assert {name: row[name] for name in ("id", "method", "route", "status", "client", "submissions")} == {
        "id": "abc.1-2_3",
        "method": "POST",
        "route": "/v1/run",
        "status": 200,
        "client": "trainer 7",
        "submissions": 3,
    }
    assert isinstance(row["ms"], float)
    assert (
        'request id=abc.1-2_3 method=POST route=/v1/run status=200 client="trainer 7" submissions=3 ms='
        in as_written(caplog)
    )


def test_answers_carry_the_id_of_the_request(box: Sandbox) -> None:
    with client_of(box) as client:
        for path, status, headers in [
            ("/v1/info", 200, {}),
            ("/nowhere", 404, {}),
            ("/v1/info", 401, {"authorization": "Bearer wrong"}),
            ("/broken", 500, {}),
            ("/", 200, {}),
        ]:
            answer = client.get(path, headers={"x-request-id": "mine", **headers})
            assert (answer.status_code, answer.headers["x-request-id"]) == (status, "mine")


@pytest.mark.parametrize("given", ["", "a b", "x" * 101, "a\\nb", 'a"b', "é"])
def test_an_id_that_is_none_is_replaced(box: Sandbox, given: str) -> None:
    with client_of(box) as client:
        ids = {client.get("/", headers={"x-request-id": given.encode()}).headers["x-request-id"] for _ in range(2)}
    assert len(ids) == 2
    assert given not in ids


def test_what_nobody_foresaw_is_answered_and_logged_without_its_message(
    box: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    with client_of(box) as client:
        answer = client.get("/broken", headers={"x-request-id": "mine"})
    assert answer.json() == {"error": {"kind": "internal", "message": "RuntimeError; the server's log says more"}}
    written = as_written(caplog)
    assert "request id=mine failed" in written
    assert "test_logs.py" in written
    assert "in broken" in written
    assert "RuntimeError" in written
    assert SECRET not in written


HOSTILE = [
    {"submissions": [{"problem": SECRET, "code": SECRET}]},
    {"submissions": [{"problem": "a" * 64, "code": SECRET}]},
    {"submissions": [{"problem": "a" * 64, "code": {SECRET: SECRET}}]},
    {"submissions": [], SECRET: SECRET},
    {"problems": [{"id": "p", "tests": [f"assert {SECRET} ==="]}]},
    {"problems": [{"id": "p", "tests": [f"assert f('{SECRET}') == 1"], "prelude": f"{SECRET} = ("}]},
    {"problems": [{"id": "p", "tests": [], "prelude": SECRET}]},
    {"problems": [{"id": "p", "tests": ["assert f()"], "checker": {"compare": SECRET}}]},
    {"programs": [{"code": f"raise ValueError('{SECRET}')", "stdin": SECRET}]},
    {"programs": [{"code": f"print('{SECRET}'); import sys; sys.exit('{SECRET}')"}]},
    {"programs": [{"code": "pass", "stdin_base64": SECRET}]},
    {"programs": [{"code": "\ud800" + SECRET}]},
    {"programs": [{"code": "pass"}], "language": SECRET},
]


@pytest.mark.parametrize("body", HOSTILE)
def test_no_text_of_a_request_is_in_the_log(
    box: Sandbox, caplog: pytest.LogCaptureFixture, body: dict[str, object]
) -> None:
    caplog.set_level(logging.DEBUG, "sandbox")
    caplog.set_level(logging.DEBUG, "uvicorn")
    with client_of(box) as client:
        for method, path in (("PUT", "/v1/problems"), ("POST", "/v1/judge"), ("POST", "/v1/run")):
            client.request(method, path, content=json.dumps(body), headers={"content-type": "application/json"})
        client.post("/v1/run", content=b'{"programs": [' + SECRET.encode())
        client.get(f"/v1/{SECRET}?token={SECRET}")
    assert len(lines(caplog, "request")) == 5
    assert SECRET not in as_written(caplog)


def test_messages_of_verdicts_are_not_in_the_log(box: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "sandbox")
    with client_of(box) as client:
        problem = {"id": "p", "tests": [f"assert f() == '{SECRET}'"]}
        key = client.put("/v1/problems", json={"problems": [problem]}).json()["keys"][0]
        code = f"def f():\n    raise ValueError('{SECRET}')"
        client.post(
            "/v1/judge", json={"submissions": [{"problem": key, "code": code}]}, headers={"x-request-id": "mine"}
        )
    (row,) = lines(caplog, "submission")
    assert (row["request"], row["outcome"], row["problem"]) == ("mine", "RE", "p")
    assert SECRET not in as_written(caplog)


def test_programs_are_in_the_log_where_that_is_asked_for(box: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "sandbox")
    with client_of(box, logs_programs=True) as client:
        client.post("/v1/run", json={"programs": [{"code": "exit(3)"}]}, headers={"x-request-id": "mine"})
    (row,) = lines(caplog, "program")
    assert (row["request"], row["index"], row["code"]) == ("mine", 0, "exit(3)")
    (done,) = lines(caplog, "submission")
    assert "status 3" in str(done["message"])


def test_an_answer_to_a_wrong_request_does_not_quote_it(box: Sandbox) -> None:
    with client_of(box) as client:
        answer = client.post("/v1/run", json={"programs": [{"code": {"a": SECRET}}]})
        long = client.post("/v1/run", json={"programs": [{"code": "pass"}], "x" * 100_000: 1})
    assert answer.status_code == long.status_code == 422
    assert SECRET not in answer.text
    assert len(long.text) < 1000


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/stats"])
def test_who_watches_the_server_does_not_fill_the_log(
    box: Sandbox, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    caplog.set_level(logging.INFO, "sandbox")
    with client_of(box) as client:
        assert client.get(path).status_code == 200
        assert lines(caplog, "request") == []
        caplog.set_level(logging.DEBUG, "sandbox")
        client.get(path)
    assert len(lines(caplog, "request")) == 1


def test_a_client_that_leaves_before_the_answer_is_in_the_log(box: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sandbox")
    with client_of(box) as client:
        assert client.portal is not None

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            raise AssertionError(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/v1/run",
            "raw_path": b"/v1/run",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"authorization", f"Bearer tok-{SECRET}".encode()), (b"content-length", b"10")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        client.portal.call(client.app, scope, receive, send)
    (row,) = lines(caplog, "request")
    assert (row["status"], row["route"], row["answer"]) == (499, "/v1/run", "cut short")


def test_a_value_cannot_end_a_line_or_look_like_another_field(caplog: pytest.LogCaptureFixture) -> None:
    log_event(
        log,
        logging.WARNING,
        "request",
        {"client": 'a b\nid=evil "x"', "empty": "", "none": None, "path": "/v1", "mark": "\u2028"},
    )
    text = TextFormatter().format(record_of(caplog))
    assert text.endswith(r'test request client="a b\nid=evil \"x\"" empty="" path=/v1 mark="\u2028"')
    row = json.loads(JsonFormatter().format(record_of(caplog)))
    assert row["client"] == 'a b\nid=evil "x"'


def test_other_messages_are_json_too(caplog: pytest.LogCaptureFixture) -> None:
    log.warning("it took %d s", 3)
    row = json.loads(JsonFormatter().format(record_of(caplog)))
    assert (row["message"], row["level"], row["logger"]) == ("it took 3 s", "WARNING", "test")
    assert row["time"].endswith("Z")


@pytest.mark.parametrize("formatter", [TextFormatter, JsonFormatter])
def test_tracebacks_have_types_and_places_of_the_whole_chain(
    caplog: pytest.LogCaptureFixture, formatter: type[TextFormatter]
) -> None:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError:
            raise ValueError(SECRET) from None
    except ValueError as error:
        outer = RuntimeError(SECRET)
        outer.__cause__ = error
        log.warning("it failed", exc_info=outer)
    text = formatter().format(record_of(caplog))
    assert SECRET not in text
    assert text.index("ValueError") < text.index("RuntimeError")
    assert "KeyError" not in text  # it was suppressed
    assert SECRET in formatter(shows_values=True).format(caplog.records[0])


def test_logging_is_configured_in_one_call(
    kept_logging: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.addHandler(logging.StreamHandler(sys.stdout))
    configure_logging("json", "info")
    uvicorn.info("unseen")
    uvicorn.warning("started")
    logging.getLogger("uvicorn.access").info("GET /?token=x")
    log.debug("unseen")
    out, err = capsys.readouterr()
    assert out == ""
    assert [json.loads(line)["message"] for line in err.splitlines()] == ["started"]
    with pytest.raises(ValueError, match="'xml'"):
        configure_logging("xml")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="LOUD"):
        configure_logging("text", "loud")
