"""What clients, and whoever kills processes, do to a server under load: nothing is lost, nothing is left."""

import contextlib
import json
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest

from sandbox.pool import Sandbox
from sandbox.wire import NDJSON

from .conftest import TOKEN

Eventually = Callable[[Callable[[], object]], None]

PATIENCE_S = 2.0
"""More than a polite client needs on a busy machine."""


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def body_of(*codes: str) -> bytes:
    return json.dumps({"programs": [{"code": code} for code in codes], "limits": {"idle_s": 20}}).encode()


def request_of(body: bytes) -> bytes:
    return (
        f"POST /v1/run HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
        f"Accept: {NDJSON}\r\nX-Client: rude\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Load:
    """Well-behaved clients, each of which must get every row once."""

    def __init__(self, hosted: Any, clients: int = 4) -> None:
        self.batches = 0
        self.wrong: list[str] = []
        self._hosted = hosted
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(name,)) for name in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self, name: int) -> None:
        expected = [(place, f"{place}\n") for place in range(10)]
        with self._hosted.client(**{"x-client": str(name), "accept": NDJSON}) as client:
            while not self._end.is_set():
                answer = client.post("/v1/run", json={"programs": [{"code": f"print({n})"} for n in range(10)]})
                rows = [json.loads(line) for line in answer.text.splitlines()]
                got = sorted((row["index"], row["result"]["stdout"]) for row in rows if "result" in row)
                if got != expected:
                    self.wrong.append(answer.text)
                self.batches += 1


@pytest.fixture
def hosted(host: Callable[..., Any], box: Sandbox) -> Any:
    box.run_batch([("import time; time.sleep(0.05)", "")] * 4)  # slots are started when they are needed
    return host(read_patience_s=PATIENCE_S)


def rude_half_request(hosted: Any) -> None:
    with hosted.connect() as sock:
        sock.sendall(request_of(body_of("pass"))[:-5])
        time.sleep(0.05)


def rude_disconnect(hosted: Any) -> None:
    with hosted.connect() as sock:
        sock.sendall(request_of(body_of(*["import time; time.sleep(0.1)"] * 50)))
        time.sleep(0.05)


def rude_reset(hosted: Any) -> None:
    with hosted.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.sendall(request_of(body_of(*["pass"] * 50)))
        sock.recv(100)


def rude_at_once(hosted: Any) -> None:
    with hosted.connect() as sock:
        sock.sendall(request_of(body_of(*["pass"] * 50)))


def rude_never_reading(hosted: Any) -> None:
    with hosted.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(request_of(body_of(*["print('x' * 2_000_000)"] * 10)))
        time.sleep(1.2 * PATIENCE_S)


RUDE = [rude_half_request, rude_disconnect, rude_reset, rude_at_once, rude_never_reading]


@pytest.mark.parametrize("rude", RUDE, ids=lambda function: function.__name__)
def test_a_rude_client_costs_others_nothing_and_leaves_nothing(
    hosted: Any, eventually: Eventually, rude: Callable[[Any], None]
) -> None:
    with hosted.client() as client:
        client.get("/readyz")
    eventually(lambda: not hosted.server.server_state.connections)
    before = descriptors()
    with Load(hosted, clients=2) as load:
        for _ in range(3):
            rude(hosted)
        eventually(lambda: load.batches >= 4)
    assert load.wrong == []
    eventually(lambda: hosted.is_idle)
    eventually(lambda: not hosted.server.server_state.connections)
    eventually(lambda: descriptors() <= before)


def test_a_disconnect_drops_what_waits(hosted: Any, box: Sandbox, eventually: Eventually, tmp_path: Path) -> None:
    with hosted.connect() as sock:
        sock.sendall(request_of(body_of(*["import time; time.sleep(0.4)"] * 400)))
        eventually(lambda: box.activity.busy == box.workers)
    began_s = time.monotonic()
    eventually(lambda: hosted.is_idle)
    assert time.monotonic() - began_s < 10  # 400 of them take 80 s
    assert (box.activity.busy, box.activity.waiting) == (0, 0)


def test_a_slot_that_is_killed_loses_nothing(hosted: Any, box: Sandbox, eventually: Eventually) -> None:
    chance = random.Random(0)
    replaced = box.activity.replaced
    with Load(hosted) as load:
        for _ in range(8):
            slots = [slot.pid for slot in list(box._crew._slots.values())]
            with contextlib.suppress(OSError, IndexError):
                broker = int(Path(f"/proc/{(pid := chance.choice(slots))}/task/{pid}/children").read_text().split()[0])
                os.kill(broker, signal.SIGKILL)
            done = load.batches
            eventually(lambda done=done: load.batches > done + 2)
    assert load.wrong == []
    assert box.activity.replaced > replaced
    eventually(lambda: hosted.is_idle)


def test_a_repeated_request_takes_over_and_every_row_is_there_once(hosted: Any, eventually: Eventually) -> None:
    body = body_of(*["import time; time.sleep(0.1); print(time.time_ns())"] * 30)
    first = request_of(body).replace(b"X-Client", b"Idempotency-Key: k\r\nX-Client")
    with hosted.connect() as sock:
        sock.sendall(first)
        early = sock.recv(65536)
        while b'"index"' not in early:
            early += sock.recv(65536)
        with hosted.client(**{"idempotency-key": "k", "accept": NDJSON, "content-type": "application/json"}) as client:
            rows = [json.loads(line) for line in client.post("/v1/run", content=body).text.splitlines()]
            again = [json.loads(line) for line in client.post("/v1/run", content=body).text.splitlines()]
        rest = b"".join(iter(lambda: sock.recv(65536), b""))
    assert sorted(row["index"] for row in rows) == list(range(30))
    assert sorted(again, key=lambda row: row["index"]) == sorted(rows, key=lambda row: row["index"])
    had = [json.loads(line) for line in (early + rest).splitlines() if line.startswith(b'{"index"')]
    outputs = {row["index"]: row["result"]["stdout"] for row in rows}
    assert had
    assert all(outputs[row["index"]] == row["result"]["stdout"] for row in had)  # nothing ran twice
    eventually(lambda: hosted.is_idle)


def test_a_repeated_request_after_a_disconnect_runs_only_what_is_missing(hosted: Any, eventually: Eventually) -> None:
    body = body_of(*["import time; time.sleep(0.05); print(time.time_ns())"] * 20)
    with hosted.connect() as sock:
        sock.sendall(request_of(body).replace(b"X-Client", b"Idempotency-Key: k\r\nX-Client"))
        sock.recv(65536)
        eventually(lambda: len(hosted.service.retained._held["k"].rows) >= 5)
    eventually(lambda: hosted.is_idle)
    kept = dict(hosted.service.retained._held["k"].rows)
    assert 5 <= len(kept) < 20
    with hosted.client(**{"idempotency-key": "k", "content-type": "application/json"}) as client:
        rows = client.post("/v1/run", content=body).json()["results"]
    assert len(rows) == 20
    assert all(json.loads(row) == rows[place] for place, row in kept.items())


def test_many_clients_beyond_the_queue_get_429_and_each_accepted_row_once(host: Callable[..., Any]) -> None:
    hosted = host(queued=64)
    statuses: list[int] = []
    rows = 0
    lock = threading.Lock()

    def ask(name: int) -> None:
        nonlocal rows
        with hosted.client(**{"x-client": str(name % 20)}) as client:
            answer = client.post("/v1/run", json={"programs": [{"code": "pass"}] * 4})
        with lock:
            statuses.append(answer.status_code)
            if answer.status_code == 200:
                rows += len(answer.json()["results"])
            else:
                assert int(answer.headers["retry-after"]) >= 1

    threads = [threading.Thread(target=ask, args=(name,)) for name in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(statuses) <= {200, 429}
    assert rows == 4 * statuses.count(200) > 0
    assert len(statuses) == 60


def test_a_server_that_is_killed_breaks_off_its_answers(serve: Callable[..., Any]) -> None:
    served = serve("--workers", "1")
    with served.client() as client:
        body = {"programs": [{"code": "pass"}, *[{"code": "import time; time.sleep(2)"}] * 5]}
        with client.stream("POST", "/v1/run", json=body, headers={"accept": NDJSON}) as answer:
            lines = answer.iter_lines()
            assert json.loads(next(lines))["index"] == 0
            served.signal(signal.SIGKILL)
            with pytest.raises(httpx2.TransportError):
                next(lines)
