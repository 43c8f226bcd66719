"""One request to one server: a part of a batch, sent until it is answered or sending it there is of no more use."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Generic, NamedTuple, TypeVar

from sandbox.client.failures import ConflictFailure, LostFailure, OversizedFailure, UnknownFailure
from sandbox.client.server import Server
from sandbox.client.work import Item, Row, Work

_AGAIN = 2
"""Times that a request is sent again to the same server."""
_MOST_OF_EACH = 2
"""Rows in one answer for each submission; one that comes twice counts once."""

Result = TypeVar("Result")


class Answered(NamedTuple, Generic[Result]):
    """A submission and what came of it."""

    item: Item
    row: Row[Result]


class Exchange(Generic[Result]):
    """One request.

    Attributes:
        server: whom it goes to.
        items: what is sent.
        left: what has no row yet, by its place in the request.
        task: does it.
    """

    def __init__(self, server: Server, items: Sequence[Item]) -> None:
        self.server = server
        self.items = items
        self.left = dict(enumerate(items))
        self.task: asyncio.Task[None] | None = None

    async def rows(self, work: Work[Any, Result]) -> AsyncGenerator[list[Answered[Result]]]:
        """What comes of the submissions, each once, as it comes.

        Raises:
            RequestFailure: those without a row have to be sent elsewhere, or later, or in smaller parts.
            SandboxError: see `Connection` and `Server.hold`.
        """
        body = work.body(self.items)
        if len(body) > self.server.most_bytes:
            raise OversizedFailure(f"it has {len(body)} bytes, and a request may have {self.server.most_bytes}")
        key = uuid.uuid4().hex
        for again in range(_AGAIN, -1, -1):
            try:
                await self.server.hold(item.problem for item in self.items if item.problem is not None)
                async with aclosing(self.server.connection.rows(work.path, body, key)) as parts:
                    come = 0
                    async for lines in parts:
                        come += len(lines)
                        if come > _MOST_OF_EACH * len(self.items):
                            raise self.server.connection.incompatible("its answer repeats rows without end")
                        yield self._new(work, lines)
                if not self.left:
                    return
                raise LostFailure(f"the answer ended {len(self.left)} rows early", was_sent=True)
            except UnknownFailure as failure:
                self.server.forget(failure.keys)
                if not again:
                    raise LostFailure(f"it forgets problems at once: {failure}", was_sent=True) from None
            except ConflictFailure as failure:
                key = uuid.uuid4().hex
                if not again:
                    raise LostFailure(str(failure), was_sent=True) from None
            except LostFailure as failure:
                # With the same key the server does not do again what it had done. A refused connection after a broken
                # one means that it went while it was at work.
                if not failure.was_sent or not again:
                    was_sent = failure.was_sent or again < _AGAIN
                    raise LostFailure(str(failure), was_sent=was_sent) from failure

    def _new(self, work: Work[Any, Result], lines: Sequence[bytes]) -> list[Answered[Result]]:
        """Rows that had not come before the answer broke off."""
        rows = [self._row(work, line) for line in lines]
        return [Answered(self.left.pop(row.place), row) for row in rows if row.place in self.left]

    def _row(self, work: Work[Any, Result], line: bytes) -> Row[Result]:
        try:
            row = work.row(line)
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise self.server.connection.incompatible(f"a row of its answer is none ({reason:.200})") from None
        if not 0 <= row.place < len(self.items) or (row.result is None) == (row.error is None):
            raise self.server.connection.incompatible(f"a row of its answer makes no sense: {line[:200]!r}")
        return row
