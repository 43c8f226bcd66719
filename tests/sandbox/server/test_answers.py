from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from sandbox.server.answers import Line, Rows, error_response, rows_response
from sandbox.server.errors import OverloadedError, TooSlowError, UnauthorizedError, UnknownProblemsError
from sandbox.wire import NDJSON


class Finishing:
    """Stands for a request: what finishes, by place, in parts."""

    def __init__(self, *parts: list[int], hangs: bool = False) -> None:
        self._parts = parts
        self._hangs = hangs
        self.was_left = False
        self.sent_after: list[int] = []
        self._given = 0

    def __enter__(self) -> Finishing:  # noqa: PYI034
        return self

    def __exit__(self, *_: object) -> None:
        self.was_left = True

    def sent(self) -> None:
        self.sent_after.append(self._given)

    async def __aiter__(self) -> AsyncIterator[list[tuple[int, int]]]:
        for part in self._parts:
            self._given += len(part)
            yield [(place, place) for place in part]
        if self._hangs:
            await asyncio.sleep(60)


def line(place: int, outcome: Any) -> Line:
    return Line(place, json.dumps({"index": outcome}).encode())


def answered(request: Finishing | None, *, is_streamed: bool, is_gone: bool = False, reads: bool = True,
             ready: dict[int, bytes] | None = None) -> tuple[str, bytes]:  # fmt: skip
    """Media type and body."""
    sent: list[Message] = []

    async def receive() -> Message:
        if not is_gone:
            await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if not reads and len(sent) > 1:
            await asyncio.sleep(60)

    rows: Rows[Any] = Rows(request=request, to_line=line, ready=ready or {})  # type: ignore[arg-type]
    response = rows_response(rows, is_streamed=is_streamed, patience_s=0.05)
    asyncio.run(response({"type": "http", "method": "POST"}, receive, send))
    body = b"".join(message.get("body", b"") for message in sent)
    return response.headers["content-type"], body


def test_lines_come_as_they_finish() -> None:
    media, body = answered(Finishing([2], [0, 1]), is_streamed=True)
    assert media == NDJSON
    assert [json.loads(row)["index"] for row in body.splitlines()] == [2, 0, 1]


@pytest.mark.parametrize("parts", [[[2], [0], [1]], [[0, 1, 2]], [[0], [2, 1]], [[1, 2], [0]]])
def test_one_object_has_them_in_order(parts: list[list[int]]) -> None:
    media, body = answered(Finishing(*parts), is_streamed=False)
    assert media == "application/json"
    assert json.loads(body) == {"results": [{"index": 0}, {"index": 1}, {"index": 2}]}


def test_rows_that_are_there_need_no_request() -> None:
    ready = {1: b'{"index": 1}', 0: b'{"index": 0}'}
    assert json.loads(answered(None, is_streamed=False, ready=ready)[1]) == {"results": [{"index": 0}, {"index": 1}]}
    mixed = answered(Finishing([0]), is_streamed=False, ready={1: b'{"index": 1}'})[1]
    assert json.loads(mixed) == {"results": [{"index": 0}, {"index": 1}]}


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_request_is_left_however_its_answer_ends(is_streamed: bool) -> None:
    read, gone, slow = Finishing([0]), Finishing([0], hangs=True), Finishing([0], hangs=True)
    answered(read, is_streamed=is_streamed)
    answered(gone, is_streamed=is_streamed, is_gone=True)
    with pytest.raises(ClientDisconnect):
        answered(slow, is_streamed=is_streamed, reads=False)
    assert read.was_left
    assert gone.was_left
    assert slow.was_left


def test_errors_say_what_a_client_needs_to_go_on() -> None:
    assert error_response(OverloadedError(7.4)).headers["retry-after"] == "7"
    assert error_response(OverloadedError(0.1)).headers["retry-after"] == "1"
    assert error_response(UnauthorizedError()).headers["www-authenticate"] == "Bearer"
    assert error_response(TooSlowError(3)).headers["connection"] == "close"
    body = json.loads(bytes(error_response(UnknownProblemsError(["a", "b"])).body))
    assert body["error"]["problems"] == ["a", "b"]


def test_rows_that_wait_for_an_earlier_one_are_held_and_others_are_not() -> None:
    request = Finishing([1, 2], [0], [3])
    answered(request, is_streamed=False)
    assert request.sent_after == [3, 4]
    request = Finishing([1, 2], [0], [3])
    answered(request, is_streamed=True)
    assert request.sent_after == [2, 3, 4]


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_long_row_is_sent_in_parts(is_streamed: bool) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    row = b"x" * 3_000_000
    rows: Rows[Any] = Rows(request=None, to_line=line, ready={0: row})
    asyncio.run(rows_response(rows, is_streamed=is_streamed, patience_s=5)({"type": "http"}, receive, send))
    bodies = [message["body"] for message in sent[1:]]
    assert max(map(len, bodies)) <= 1 << 20
    assert b"".join(bodies) == (row + b"\n" if is_streamed else b'{"results":[' + row + b"]}")
    assert [message["more_body"] for message in sent[1:]] == [True] * (len(bodies) - 1) + [False]
