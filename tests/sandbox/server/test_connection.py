"""What a client may do to a connection, on real sockets."""

import contextlib
import json
import re
import resource
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.server import connection

from .conftest import TOKEN

Eventually = Callable[[Callable[[], object]], None]
AUTH = f"Authorization: Bearer {TOKEN}\r\n"
JSON = "Content-Type: application/json\r\n"


def head(method: str, path: str, *headers: str) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{''.join(headers)}\r\n".encode()


def read_all(sock: socket.socket) -> bytes:
    """What comes until the server closes."""
    found = b""
    while True:
        try:
            part = sock.recv(65536)
        except ConnectionResetError:
            return found
        if not part:
            return found
        found += part


def status(answer: bytes) -> int:
    return int(answer.split()[1])


def error_kind(answer: bytes) -> str:
    kind = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["kind"]
    assert isinstance(kind, str)
    return kind


@pytest.fixture
def hosted(host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(connection, "_FIRST_PATIENCE_S", 0.5)
    monkeypatch.setattr(connection, "_HEAD_PATIENCE_S", 0.5)
    monkeypatch.setattr(connection, "_LINGER_S", 0.5)
    return host(read_patience_s=0.5, body_bytes=1 << 20, bodies_bytes=1 << 23)


@pytest.mark.parametrize(
    "sent",
    [b"\r\n", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "],
    ids=["an empty line", "half a line", "half a head"],
)
def test_a_head_that_does_not_come_is_given_up(hosted: Any, sent: bytes) -> None:
    with hosted.connect() as sock:
        sock.sendall(sent)
        answer = read_all(sock)
    assert (status(answer), error_kind(answer)) == (408, "too_slow")


def test_a_connection_opened_ahead_of_need_is_closed_without_a_word(hosted: Any, eventually: Eventually) -> None:
    with hosted.connect() as sock:
        assert read_all(sock) == b""
    eventually(lambda: not hosted.server.server_state.connections)


def test_bytes_that_trickle_do_not_keep_a_head_alive(hosted: Any) -> None:
    began_s = time.monotonic()
    with hosted.connect() as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\n")
        with contextlib.suppress(OSError):  # a reset or a broken pipe
            while time.monotonic() - began_s < 20:
                sock.sendall(b"X-A: b\r\n")
                time.sleep(0.05)
    assert time.monotonic() - began_s < 10


def test_a_body_that_does_not_come_is_given_up(hosted: Any, eventually: Eventually) -> None:
    with hosted.connect() as sock:
        sock.sendall(head("POST", "/v1/run", AUTH, JSON, "Content-Length: 1000\r\n") + b'{"programs"')
        answer = read_all(sock)
    assert (status(answer), error_kind(answer)) == (408, "too_slow")
    eventually(lambda: not hosted.server.server_state.connections)


def test_a_head_without_end_is_refused(hosted: Any) -> None:
    with hosted.connect() as sock:
        try:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nX-Long: ")
            for _ in range(100):
                sock.sendall(b"x" * 65536)
        except OSError:
            pass  # it has closed
        answer = read_all(sock)
    assert not answer or (status(answer), error_kind(answer)) == (431, "too_large")


def test_what_is_no_http_is_refused_in_the_shape_of_all_errors(hosted: Any) -> None:
    with hosted.connect() as sock:
        sock.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        answer = read_all(sock)
    assert (status(answer), error_kind(answer)) == (400, "invalid")


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "PUT"])
@pytest.mark.parametrize("target", ["*", "//", "x:443", "http://[", "/%ff%00", "/" + "a" * 10000, "/\xff"])
def test_no_target_is_an_error_of_the_server(hosted: Any, method: str, target: str) -> None:
    with hosted.connect() as sock:
        sock.sendall(f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode("latin-1"))
        assert 400 <= status(read_all(sock)) < 500


def test_an_upgrade_is_not_followed(hosted: Any) -> None:
    with hosted.connect() as sock:
        sock.sendall(head("GET", "/healthz", "Connection: upgrade, close\r\n", "Upgrade: websocket\r\n"))
        assert status(read_all(sock)) == 200


def test_requests_may_be_sent_ahead_but_not_without_bound(hosted: Any) -> None:
    with hosted.connect() as sock:
        sock.sendall(head("GET", "/healthz") * 20 + head("GET", "/healthz", "Connection: close\r\n"))
        assert read_all(sock).count(b"HTTP/1.1 200") == 21
    slow = json.dumps({"programs": [{"code": "import time; time.sleep(0.3)"}]}).encode()
    with hosted.connect() as sock:
        sock.sendall(head("POST", "/v1/run", AUTH, JSON, f"Content-Length: {len(slow)}\r\n") + slow)
        try:
            sock.sendall(head("GET", "/healthz") * 5000)
        except OSError:
            pass  # it has closed
        assert read_all(sock).count(b"HTTP/1.1 200") <= 1


def test_connections_leave_descriptors_for_slots(serve: Callable[..., Any]) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, before[1]))
    try:
        served = serve("--workers", 1)
        resource.prlimit(served.pid, resource.RLIMIT_NOFILE, (128, 128))  # before it can raise it
        port = int(served.url.rpartition(":")[2])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    with contextlib.ExitStack() as stack:
        for _ in range(150):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        with served.client() as client:
            assert client.post("/v1/run", json={"programs": [{"code": "1"}]}).status_code == 200


def test_who_has_no_token_cannot_hold_all_connections(
    host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MOST_CONNECTIONS", 3)
    hosted = host()
    with contextlib.ExitStack() as stack:
        strangers = [stack.enter_context(hosted.connect()) for _ in range(3)]
        for stranger in strangers:
            stranger.sendall(head("GET", "/healthz"))
            assert status(stranger.recv(1000)) == 200
        known = stack.enter_context(hosted.connect())
        known.sendall(head("GET", "/v1/info?with_languages=false", AUTH))
        assert status(known.recv(10000)) == 200
        assert read_all(strangers[0]) == b""  # the oldest has made room
        stack.enter_context(hosted.connect())
        assert read_all(strangers[1]) == b""
        known.sendall(head("GET", "/v1/info?with_languages=false", AUTH))
        assert status(known.recv(10000)) == 200


def test_more_connections_than_allowed_are_refused(hosted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST_CONNECTIONS", 3)
    socks = [hosted.connect() for _ in range(3)]
    try:
        for sock in socks:
            sock.sendall(head("GET", "/healthz", AUTH))
            assert status(sock.recv(1000)) == 200
        with hosted.connect() as one_more:
            answer = read_all(one_more)
        assert (status(answer), error_kind(answer)) == (503, "overloaded")
    finally:
        for sock in socks:
            sock.close()


def test_a_client_that_does_not_read_is_given_up(hosted: Any, eventually: Eventually) -> None:
    body = json.dumps({"programs": [{"code": "print('x' * 4_000_000)"}] * 8}).encode()
    with hosted.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(head("POST", "/v1/run", AUTH, JSON, f"Content-Length: {len(body)}\r\n") + body)
        assert sock.recv(1)
        eventually(lambda: hosted.is_idle)
        eventually(lambda: not hosted.server.server_state.connections)


def test_http_1_0_is_served_and_closed(hosted: Any) -> None:
    with hosted.connect() as sock:
        sock.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        answer = read_all(sock)
    assert status(answer) == 200
    assert answer.endswith(b"ok\n")


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(hosted: Any) -> None:
    with hosted.connect() as sock:
        sock.sendall(head("POST", "/v1/run", AUTH, JSON, "Content-Length: 99999999999\r\n"))
        assert status(sock.recv(10000)) == 413
    with hosted.connect() as sock:
        sock.sendall(head("POST", "/v1/run", AUTH, JSON, "Transfer-Encoding: chunked\r\n"))
        try:
            for _ in range(40):
                sock.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        except OSError:
            pass  # it has closed
        assert status(sock.recv(10000)) == 413


@pytest.mark.parametrize(
    "lengths", ["Content-Length: -1\r\n", "Content-Length: 1\r\nContent-Length: 2\r\n", "Content-Length: ²\r\n"]
)
def test_a_length_that_is_none_is_refused(hosted: Any, lengths: str) -> None:
    with hosted.connect() as sock:
        sock.sendall(head("POST", "/v1/run", AUTH, JSON, lengths))
        assert status(read_all(sock)) == 400


def test_a_body_both_chunked_and_measured_smuggles_nothing(hosted: Any) -> None:
    smuggled = head("GET", "/v1/info", AUTH)
    with hosted.connect() as sock:
        sock.sendall(
            head("POST", "/healthz", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n")
            + b"0\r\n\r\n"
            + smuggled
        )
        answer = read_all(sock)
    assert not re.search(rb'"enforcement"', answer)


def test_the_body_of_a_request_is_no_part_of_the_next_head(hosted: Any) -> None:
    body = b"x" * 200_000
    post = head("POST", "/v1/run", AUTH, JSON, f"Content-Length: {len(body)}\r\n")
    get = head("GET", "/healthz")
    with hosted.connect() as sock:
        for start in range(0, len(post + body), 50_000):
            sock.sendall((post + body)[start : start + 50_000])
            time.sleep(0.02)  # so that it comes in parts
        assert status(sock.recv(65536)) == 422
        sock.sendall(get[:10])
        time.sleep(0.05)
        sock.sendall(get[10:])
        assert status(sock.recv(65536)) == 200


def test_the_rest_of_a_body_that_was_refused_is_passed_over(hosted: Any) -> None:
    body = b"x" * 400_000
    with hosted.connect() as sock:
        sock.sendall(head("POST", "/v1/run", JSON, f"Content-Length: {len(body)}\r\n"))
        assert status(sock.recv(65536)) == 401
        sock.sendall(body)
        sock.sendall(head("GET", "/healthz"))
        assert status(sock.recv(65536)) == 200
