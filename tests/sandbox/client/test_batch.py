"""What becomes of a batch whose servers fail it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest

from sandbox import (
    IncompatibleServerError,
    InfrastructureError,
    LimitsRefusedError,
    OversizedError,
    Problem,
    ProblemError,
    TokenRefusedError,
    UnreachableError,
    UnsupportedLanguageError,
    Verdict,
)
from sandbox.client import SandboxClient

P = Problem(id="p", tests=("assert f(1)",))
GONE = "http://127.0.0.1:9"  # nothing listens there: discard needs root


async def good(call: Any) -> None:
    await call.answer()


def numbered(count: int, seconds: float = 0.0) -> list[tuple[str, str]]:
    return [(f"import time; time.sleep({seconds}); print({number})", "") for number in range(count)]


def check_all(found: list[tuple[int, Any]], count: int) -> None:
    assert Counter(index for index, _ in found) == Counter(range(count))
    assert all(run.stdout == f"{index}\n".encode() for index, run in found)


# --- servers that come and go ---


def test_a_server_that_dies_in_mid_batch_loses_nothing(start_server: Any) -> None:
    doomed, other = start_server(workers=2), start_server(workers=2)
    with SandboxClient([doomed.url, other.url]) as client:
        assert client.workers == 4
        found = []
        for number, pair in enumerate(client.run_as_completed(numbered(400))):
            if number == 30:
                doomed.kill()
            found.append(pair)
        check_all(found, 400)


def test_a_server_that_dies_and_comes_back_loses_nothing(start_server: Any) -> None:
    server = start_server()
    port = server.port
    with SandboxClient(server.url) as client:
        found = []
        for number, pair in enumerate(client.run_as_completed(numbered(100))):
            if number == 20:
                server.kill()
                start_server(port=port)
            found.append(pair)
        check_all(found, 100)


def test_a_server_that_ends_in_good_order_loses_nothing(start_server: Any) -> None:
    doomed, other = start_server(), start_server()
    with SandboxClient([doomed.url, other.url]) as client:
        found = []
        for number, pair in enumerate(client.run_as_completed(numbered(200))):
            if number == 10:
                doomed.process.terminate()
            found.append(pair)
        check_all(found, 200)


def test_problems_are_sent_again_to_a_server_that_has_forgotten_them(start_server: Any) -> None:
    server = start_server()
    with SandboxClient(server.url) as client:
        assert client.judge(P, "def f(x): return x").verdict is Verdict.AC
        server.kill()
        start_server(port=server.port)
        assert client.judge(P, "def f(x): return x").verdict is Verdict.AC


def test_a_full_queue_is_waited_for(start_server: Any) -> None:
    server = start_server(queued=40)
    with SandboxClient(server.url) as one, SandboxClient(server.url) as other:
        results = one.run_as_completed(numbered(60, seconds=0.05))
        found = [next(results)]
        check_all(list(other.run_as_completed(numbered(60))), 60)
        check_all(found + list(results), 60)


def test_work_is_spread_over_servers(fake: Any) -> None:
    servers: list[Any] = []

    def are_all_busy() -> bool:
        return all(server.count("/v1/run") >= 1 for server in servers)

    async def slow(call: Any) -> None:
        """Answers no run before each server has been asked for one; at last all the same, so that the test can fail."""
        for _ in range(1000):
            if call.path != "/v1/run" or are_all_busy():
                break
            await asyncio.sleep(0.01)
        await call.answer()

    servers += [fake(slow) for _ in range(3)]
    with SandboxClient([server.url for server in servers]) as client:
        client.run_batch([("", "")] * 300)
    assert are_all_busy()


def test_a_server_that_cannot_be_reached_is_passed_over(fake: Any) -> None:
    server = fake(good)
    with SandboxClient([GONE, server.url]) as client:
        assert len(client.run_batch([("", "")] * 100)) == 100


# --- failures of requests ---


@pytest.mark.parametrize("broken", ["early", "torn", "dropped", "silent", "500", "503", "409", "closed"])
def test_a_request_that_fails_costs_one_more_and_no_result(fake: Any, broken: str) -> None:
    async def behave(call: Any) -> None:
        if call.path != "/v1/run" or server.count("/v1/run") > 1:
            await call.answer()
        elif broken == "500":
            await call.error(500, "internal")
        elif broken == "503":
            await call.error(503, "draining", retry_after="1")
        elif broken == "409":
            await call.error(409, "conflict")
        elif broken == "dropped":
            raise ConnectionError
        else:
            await call.begin()
            await call.rows(range(0, call.size, 2))
            if broken == "closed":
                await call.rows(range(1, call.size, 2), error={"kind": "closed", "message": "bye"})
            if broken == "silent":
                raise ConnectionError
            if broken == "torn":
                await call.part(b'{"index":1,"resu')
            await call.end()

    server = fake(behave)
    with SandboxClient(server.url) as client:
        found = list(client.run_as_completed([(f"#{number}", "") for number in range(20)]))
    assert Counter(index for index, _ in found) == Counter(range(20))
    assert server.count("/v1/run") == 2


def test_a_request_that_broke_off_is_sent_again_with_its_idempotency_key(fake: Any) -> None:
    async def behave(call: Any) -> None:
        if call.path == "/v1/run" and server.count("/v1/run") == 1:
            await call.begin()
            await call.rows([0])
            raise ConnectionError
        await call.answer()

    server = fake(behave)
    with SandboxClient(server.url) as client:
        client.run_batch([("", "")] * 3)
        client.run("")
    first, again, other = [call for call in server.calls if call.path == "/v1/run"]
    assert first.body == again.body
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"] != other.headers["idempotency-key"]


def test_a_busy_server_is_asked_again_when_it_said(fake: Any) -> None:
    times = []

    async def behave(call: Any) -> None:
        if call.path == "/v1/run":
            times.append(time.monotonic())
            if len(times) == 1:
                await call.error(429, "overloaded", retry_after="1")
                return
        await call.answer()

    server = fake(behave)
    with SandboxClient(server.url, patience_s=0.1) as client:
        assert client.run("").verdict is Verdict.AC
    assert 1 <= times[1] - times[0] < 3


def test_rows_that_come_twice_count_once(fake: Any) -> None:
    async def behave(call: Any) -> None:
        if call.path != "/v1/run":
            await call.answer()
            return
        await call.begin()
        await call.rows([0, 0, 1, 0])
        await call.rows([1, 0])
        await call.end()

    with SandboxClient(fake(behave).url) as client:
        assert [index for index, _ in client.run_as_completed([("", "")] * 2)] == [0, 1]


def test_a_request_too_large_for_a_server_is_cut(fake: Any) -> None:
    async def behave(call: Any) -> None:
        if call.path == "/v1/run" and call.size > 10:
            await call.error(413, "too_large")
        else:
            await call.answer()

    with SandboxClient(fake(behave).url) as client:
        assert len(client.run_batch([("x" * 100, "")] * 100)) == 100


def test_a_server_that_takes_no_size_is_not_asked_forever(fake: Any) -> None:
    async def behave(call: Any) -> None:
        if call.path == "/v1/run":
            await call.error(413, "too_large")
        else:
            await call.answer()

    server = fake(behave)
    with SandboxClient(server.url) as client, pytest.raises(OversizedError):
        client.run_batch([("1", "")] * 8)
    assert server.count("/v1/run") < 20


def test_a_row_repeated_without_end_is_said(fake: Any) -> None:
    async def behave(call: Any) -> None:
        if call.path != "/v1/run":
            await call.answer()
            return
        await call.begin()
        for _ in range(1000):
            await call.rows([0])

    with SandboxClient(fake(behave).url) as client, pytest.raises(IncompatibleServerError, match="without end"):
        client.run_batch([("1", "")] * 2)


def test_a_row_without_end_is_said(fake: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("sandbox.client.connection._MOST_BYTES", 1 << 22)

    async def behave(call: Any) -> None:
        if call.path != "/v1/run":
            await call.answer()
            return
        await call.begin()
        for _ in range(1000):
            await call.part(b"x" * 65536)

    with SandboxClient(fake(behave).url) as client, pytest.raises(IncompatibleServerError, match="more than 4194304"):
        client.run_batch([("1", "")])


def test_an_answer_without_end_is_said(fake: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("sandbox.client.connection._MOST_ANSWER_BYTES", 1 << 20)

    async def behave(call: Any) -> None:
        await call.begin()
        for _ in range(1000):
            await call.part(b" " * 65536)

    with SandboxClient(fake(behave).url) as client, pytest.raises(IncompatibleServerError, match="more than 1048576"):
        client.run("1")


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        ({"kind": "infrastructure", "message": "no memory"}, InfrastructureError),
        ({"kind": "unsupported_language", "message": "no gcc"}, UnsupportedLanguageError),
        ({"kind": "problem", "message": "m", "problem_id": "p", "field": "tests", "reason": "r"}, ProblemError),
    ],
)
def test_the_error_of_a_row_is_raised(fake: Any, error: object, raised: type[Exception], monkeypatch: Any) -> None:
    monkeypatch.setattr("sandbox.client.batch._TRIED_S", 0.5)

    async def behave(call: Any) -> None:
        if call.path == "/v1/run":
            await call.begin()
            await call.rows(range(call.size), error=error)
            await call.end()
        else:
            await call.answer()

    server = fake(behave)
    with SandboxClient(server.url) as client, pytest.raises(raised) as caught:
        client.run("")
    assert type(caught.value) is raised
    assert (server.count("/v1/run") >= 4) == (raised is InfrastructureError)


async def held(call: Any) -> None:
    """A server that takes problems, and fails all submissions to them."""
    if call.path == "/v1/problems":
        from sandbox.records import ProblemRecord
        from sandbox.wire import key_of

        await call.json({"keys": [key_of(ProblemRecord.model_validate(row)) for row in call.body["problems"]]})
    elif call.path == "/v1/judge":
        await call.begin()
        await call.rows(range(call.size), error={"kind": "infrastructure", "message": "no memory"})
        await call.end()
    else:
        await call.answer()


def test_a_failure_of_the_host_can_be_had_as_a_result(fake: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("sandbox.client.batch._TRIED_S", 0.5)
    with SandboxClient(fake(held).url) as client:
        (result,) = client.judge_batch([(P, "")], on_host_failure="return")
        assert (result.verdict, result.total, result.passed) == (Verdict.IE, 1, 0)
        assert "no memory" in result.message
        with pytest.raises(InfrastructureError, match="no memory"):
            client.judge(P, "")


def test_what_the_host_of_one_server_fails_another_does(fake: Any) -> None:
    async def fails(call: Any) -> None:
        if call.path != "/v1/run":
            await call.answer()
            return
        await call.begin()
        await call.rows(range(call.size), error={"kind": "infrastructure", "message": "no memory"})
        await call.end()

    bad, other = fake(fails), fake(good)
    with SandboxClient([bad.url, other.url]) as client:
        assert all(run.verdict is Verdict.AC for run in client.run_batch([("", "")] * 50))


# --- servers that are of no use ---


def test_a_wrong_token_is_said_at_once(start_server: Any) -> None:
    server = start_server()
    for url, token in (
        (server.address, None),
        (server.address, "wrong"),
        (f"http://:wrong@127.0.0.1:{server.port}", None),
    ):
        with SandboxClient(url, token=token) as client, pytest.raises(TokenRefusedError, match="token") as caught:
            client.run("")
        assert caught.value.server == server.address
        assert "wrong@" not in str(caught.value)
    with SandboxClient(server.address, token="t") as client:
        assert client.run("").verdict is Verdict.AC


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"api": 2}, "does not understand"),
        (None, "API 99, and this client speaks API 1"),
        ("<html>", "does not understand"),
    ],
)
def test_another_version_is_said_at_once(fake: Any, content: object, reason: str) -> None:
    async def behave(call: Any) -> None:
        from sandbox.wire import Info

        fields = Info.model_fields
        full = {"api": 99, "version": "9", "workers": 1, "enforcement": "", "guards": [], "absent": {}, "python": "",
                "languages": None, "max_limits": {}, "max_submissions": 1, "max_body_bytes": 1}  # fmt: skip
        assert full.keys() == fields.keys()
        await call.json(full if content is None else content)

    with SandboxClient(fake(behave).url) as client, pytest.raises(IncompatibleServerError, match=reason):
        client.run("")


@pytest.mark.parametrize("status", [302, 400, 404, 405])
def test_something_that_is_no_server_of_ours_is_said_at_once(fake: Any, status: int) -> None:
    async def behave(call: Any) -> None:
        await call.json({"hello": "world"}, status)

    with SandboxClient(fake(behave).url) as client, pytest.raises(IncompatibleServerError, match=f"status {status}"):
        client.run("")


@pytest.mark.parametrize(
    "line", [b"garbage\n", b'{"index":7,"error":{"kind":"closed","message":""}}\n', b'{"index":0}\n', b"\n"]
)
def test_rows_that_make_no_sense_are_said(fake: Any, line: bytes) -> None:
    async def behave(call: Any) -> None:
        if call.path == "/v1/run":
            await call.begin()
            await call.part(line)
            await call.end()
        else:
            await call.answer()

    with SandboxClient(fake(behave).url) as client, pytest.raises(IncompatibleServerError, match="row of its answer"):
        client.run("")


def test_a_key_of_its_own_making_is_said(fake: Any) -> None:
    async def behave(call: Any) -> None:
        await (call.json({"keys": ["0" * 64]}) if call.path == "/v1/problems" else call.answer())

    with SandboxClient(fake(behave).url) as client, pytest.raises(IncompatibleServerError, match="names problems"):
        client.judge(P, "")


def test_limits_above_the_servers_are_said(start_server: Any) -> None:
    from sandbox import Limits

    server = start_server()
    with SandboxClient(server.url) as client, pytest.raises(LimitsRefusedError, match="cpu_s is 500"):
        client.run("", limits=Limits(cpu_s=500))


def test_a_submission_or_problem_too_large_for_any_request_is_said(start_server: Any) -> None:
    server = start_server(body_bytes=100_000)
    with SandboxClient(server.url) as client:
        with pytest.raises(OversizedError, match="submission"):
            client.run_batch([("", ""), ("#" * 200_000, "")])
        with pytest.raises(OversizedError, match="problem 'large'"):
            client.judge_batch([(P, ""), (Problem(id="large", tests=("assert f()  #" + "x" * 200_000,)), "")])
        assert client.run("").verdict is Verdict.AC


def test_when_none_can_be_reached_each_is_named_with_its_failure(fake: Any) -> None:
    async def behave(call: Any) -> None:
        await call.error(503, "draining")

    server = fake(behave)
    began = time.monotonic()
    with SandboxClient([GONE, server.url], patience_s=0.5) as client:
        with pytest.raises(UnreachableError) as caught:
            client.run("")
        assert set(caught.value.failures) == {GONE, server.url}
        assert "no connection" in caught.value.failures[GONE]
        assert "this is draining" in str(caught.value)
        assert isinstance(caught.value, InfrastructureError)
        results = client.judge_batch([(P, "")] * 600, on_host_failure="return")
        assert {result.verdict for result in results} == {Verdict.IE}
    assert 0.5 < time.monotonic() - began < 10


def test_a_server_that_only_ever_drains_is_not_waited_for(fake: Any) -> None:
    async def behave(call: Any) -> None:
        await (call.error(503, "draining") if call.path == "/v1/run" else call.answer())

    with SandboxClient(fake(behave).url, patience_s=0.5) as client, pytest.raises(UnreachableError, match="draining"):
        client.run("")


# --- silence and slowness ---


def test_a_server_that_falls_silent_is_given_up(fake: Any, monkeypatch: Any) -> None:
    import asyncio

    monkeypatch.setattr("sandbox.client.connection._SILENCE_S", 0.2)
    monkeypatch.setattr("sandbox.client.connection._PING_S", 0.2)

    async def hangs(call: Any) -> None:
        if call.path == "/v1/info":
            await call.answer()
        else:
            await asyncio.sleep(3)

    silent, other = fake(hangs), fake(good)
    began = time.monotonic()
    with SandboxClient([silent.url, other.url]) as client:
        assert len(client.run_batch([("", "")] * 50)) == 50
    assert time.monotonic() - began < 3


def test_a_server_that_falls_silent_while_it_is_sent_problems_is_given_up(
    fake: Any, start_server: Any, monkeypatch: Any
) -> None:
    import asyncio

    monkeypatch.setattr("sandbox.client.connection._SILENCE_S", 0.2)
    monkeypatch.setattr("sandbox.client.connection._PING_S", 0.2)

    async def hangs(call: Any) -> None:
        if call.path == "/v1/info":
            await call.answer()
        else:
            await asyncio.sleep(20)

    silent, other = fake(hangs), start_server()
    began = time.monotonic()
    with SandboxClient([silent.url, other.url]) as client:
        assert len(client.judge_batch([(P, "")] * 50)) == 50
    assert time.monotonic() - began < 10


def test_a_server_that_is_slow_but_lives_is_waited_for(fake: Any, monkeypatch: Any) -> None:
    import asyncio

    monkeypatch.setattr("sandbox.client.connection._SILENCE_S", 0.1)

    async def slow(call: Any) -> None:
        if call.path == "/v1/run":
            await asyncio.sleep(1)
        await (call.json("ok") if call.path == "/healthz" else call.answer())

    server = fake(slow)
    with SandboxClient(server.url) as client:
        assert client.run("").verdict is Verdict.AC
    assert server.count("/v1/run") == 1
    assert server.count("/healthz") > 1


@pytest.mark.parametrize("hedge_after_s", [None, 0.2])
def test_hedging_sends_what_is_late_to_a_second_server(fake: Any, hedge_after_s: float | None) -> None:
    import asyncio

    async def slow(call: Any) -> None:
        if call.path == "/v1/run":
            await asyncio.sleep(2)
        await call.answer()

    late, other = fake(slow), fake(good)
    began = time.monotonic()
    with SandboxClient([late.url, other.url], hedge_after_s=hedge_after_s) as client:
        found = list(client.run_as_completed([("", "")] * 40))
    assert Counter(index for index, _ in found) == Counter(range(40))
    assert (time.monotonic() - began < 1.5) == (hedge_after_s is not None)
