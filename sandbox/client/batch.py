"""A batch on its way to servers and back: cut into requests, sent where there is room, and again what was lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import aclosing
from typing import Generic, TypeVar

from sandbox.client.cut import cut
from sandbox.client.exchange import Answered, Exchange
from sandbox.client.failures import BusyFailure, LostFailure, OversizedFailure
from sandbox.client.server import Server
from sandbox.client.servers import Servers
from sandbox.client.work import Item, Row, Work
from sandbox.errors import (
    ClosedError,
    IncompatibleServerError,
    InfrastructureError,
    OversizedError,
    SandboxError,
    TokenRefusedError,
    UnreachableError,
)

_TRIES = 4
_TRIED_S = 10.0
"""A submission that servers fail is tried so often and for so long: one that they die of must not take all with it."""
_REST_S = 0.2
"""Of a server whose host failed a submission."""
_HELD_BYTES = 64 << 20
_LEAST_HELD = 512
_GATHER_S = 0.005
"""Results that come within so short a time are given together, as each handing over to another thread costs as much
as several results; the last ones do not wait."""
_PARTS = 4
"""Input is read when so large a part of what is held has been given back: not one by one."""
_LOOKS_PER_HEDGE = 4

Source = TypeVar("Source")
Result = TypeVar("Result")


class Batch(Generic[Source, Result]):
    """Submissions go in by `step`, results come out of it, each once. Lives in one event loop.

    Judging and running are sent again without harm: a program leaves nothing behind.

    Args:
        servers: the client's.
        work: what is asked of them.
        hedge_after_s: a submission that has no result by then is sent to a second server too; None: it is not.
    """

    def __init__(self, servers: Servers, work: Work[Source, Result], hedge_after_s: float | None) -> None:
        self._servers = servers
        self._work = work
        self._hedge_after_s = hedge_after_s
        self._todo: deque[Item] = deque()
        self._found: list[tuple[int, Result]] = []
        self._requests: set[Exchange[Result]] = set()
        self._there: Counter[Server] = Counter()
        self._taken = self._given = self._held_bytes = 0
        self._is_all_taken = self._is_closed = False
        self._failure: BaseException | None = None
        self._alive_s = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        servers.listen(self._pump)

    @property
    def room(self) -> int:
        """Submissions that `step` takes now."""
        if self._is_all_taken or self._held_bytes >= _HELD_BYTES:
            return 0
        windows = sum(server.window for server in self._servers.usable())
        most = max(2 * windows, _LEAST_HELD)
        free = most - (self._taken - self._given)
        return free if _PARTS * free >= most else 0

    @property
    def is_over(self) -> bool:
        """Every result has been given."""
        return self._is_all_taken and self._given == self._taken

    async def step(self, sources: Sequence[Source], *, are_last: bool) -> list[tuple[int, Result]]:
        """Takes submissions; gives what has finished, and waits for something where there is no room for more.

        Args:
            sources: the next ones.
            are_last: none follow.

        Raises:
            SandboxError: as `Sandbox.judge` does, RefusedError besides; the batch is of no use then.
        """
        for source in sources:
            item = self._work.item(self._taken, source)
            self._taken += 1
            self._held_bytes += len(item.body)
            self._todo.append(item)
        self._is_all_taken |= are_last
        self._pump()
        while self._failure is None and not self.is_over and not self.room:
            await self._changed.wait()
            self._changed.clear()
            if self._found:
                break
        if not self._found and self._failure is not None:
            raise self._failure
        found, self._found = self._found, []
        self._given += len(found)
        return found

    async def close(self) -> None:
        """Gives up what has no result; the servers drop it."""
        self._is_closed = True
        self._servers.ignore(self._pump)
        if self._timer is not None:
            self._timer.cancel()
        tasks = [request.task for request in self._requests if request.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self) -> None:
        """Makes `step` raise ClosedError."""
        self._fail(ClosedError("this client is closed; make a new one"))

    def _pump(self) -> None:
        """Sends what can be sent, and sees to it that it is called again when more may be."""
        if self._is_closed or self._failure is not None or not (self._todo or self._hedge_after_s):
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._servers.look()
        while self._todo and (server := self._place_for(self._todo[0])) is not None:
            room = server.window - self._there[server]
            self._send(server, cut(self._todo, server, room, self._servers.workers))
        if self._todo and not self._requests and (fault := self._servers.fault(self._alive_s)) is not None:
            self._give_up_all(fault)
        delays_s = [self._servers.next_look_s] if self._todo else []
        if self._hedge_after_s is not None and self._requests:
            self._hedge(self._hedge_after_s)
            delays_s.append(self._hedge_after_s / _LOOKS_PER_HEDGE)
        if delays_s:
            self._timer = self._loop.call_later(min(delays_s), self._pump)

    def _place_for(self, item: Item) -> Server | None:
        """The least loaded server that has room; another one than that which failed it, where there is one."""
        usable = self._servers.usable()
        others = [server for server in usable if server is not item.failed_by]
        for server in others or usable:
            if self._there[server] <= server.window // 2:
                return server
        return None

    def _send(self, server: Server, items: Sequence[Item]) -> None:
        request: Exchange[Result] = Exchange(server, items)
        now_s = time.monotonic()
        for item in items:
            item.requests += 1
            item.sent_s = now_s
        self._there[server] += len(items)
        server.gave(len(items))
        self._requests.add(request)
        request.task = asyncio.create_task(self._serve(request))

    async def _serve(self, request: Exchange[Result]) -> None:
        """One request, whatever becomes of it."""
        server = request.server
        try:
            async with aclosing(request.rows(self._work)) as parts:
                async for answered in parts:
                    self._take(request, answered)
            server.did_well()
        except BusyFailure as failure:
            self._alive_s = time.monotonic()
            server.rest(failure.retry_after_s, str(failure))
        except OversizedFailure as failure:
            self._cut_smaller(request, failure)
        except LostFailure as failure:
            server.failed(failure)
            if failure.was_sent:
                self._alive_s = time.monotonic()
                for item in request.left.values():
                    self._count_failure(item, server, failure)
        except (TokenRefusedError, IncompatibleServerError) as error:
            server.refused(error)
        except Exception as error:  # noqa: BLE001 - to whoever waits for the batch
            self._fail(error)
        finally:
            self._end(request)

    def _take(self, request: Exchange[Result], answered: Sequence[Answered[Result]]) -> None:
        self._alive_s = time.monotonic()
        self._there[request.server] -= len(answered)
        request.server.got(len(answered), are_answered=True)
        for item, row in answered:
            self._settle(request, item, row)
        self._pump()

    def _settle(self, request: Exchange[Result], item: Item, row: Row[Result]) -> None:
        """What a row means for its submission."""
        item.requests -= 1
        if item.is_done:
            return
        match row.error:
            case None:
                assert row.result is not None
                self._finish(item, row.result)
            case ClosedError() | InfrastructureError():
                if isinstance(row.error, ClosedError):
                    request.server.failed(row.error)
                else:
                    request.server.rest(_REST_S, str(row.error))
                self._count_failure(item, request.server, row.error)
                self._return(item)
            case _:
                self._fail(self._work.error(item, row.error))

    def _finish(self, item: Item, result: Result) -> None:
        item.is_done = True
        self._held_bytes -= len(item.body)
        self._found.append((item.index, result))
        if self._is_all_taken and self._given + len(self._found) == self._taken:
            self._changed.set()
        elif len(self._found) == 1:
            self._loop.call_later(_GATHER_S, self._changed.set)
        if item.requests:
            self._withdraw()

    def _withdraw(self) -> None:
        """Ends requests of which every result has come from elsewhere."""
        for request in self._requests:
            if request.task is not None and request.left and all(other.is_done for other in request.left.values()):
                request.task.cancel()

    def _return(self, item: Item) -> None:
        """Sends a submission again, unless it is under way elsewhere."""
        if not item.is_done and not item.requests:
            self._todo.appendleft(item)

    def _count_failure(self, item: Item, server: Server, failure: Exception) -> None:
        """A server failed a submission; too often, and it gets that for its result."""
        item.tries += 1
        item.failed_by = server
        item.failing_s = item.failing_s or time.monotonic()
        if not item.is_done and item.tries >= _TRIES and time.monotonic() - item.failing_s >= _TRIED_S:
            reason = f"{server.address.url} failed a submission, as others before it ({item.tries} tries): {failure}"
            self._give_up(item, InfrastructureError(reason))

    def _give_up(self, item: Item, error: InfrastructureError) -> None:
        enforcement = next((server.info.enforcement for server in self._servers.usable() if server.info), "")
        try:
            result = self._work.failed(item, error, enforcement)
        except SandboxError as raised:
            self._fail(raised)
        else:
            self._finish(item, result)

    def _give_up_all(self, error: SandboxError) -> None:
        """There is no server."""
        if not isinstance(error, UnreachableError):
            self._fail(error)
            return
        while self._todo and self._failure is None:
            self._give_up(self._todo.popleft(), error)

    def _cut_smaller(self, request: Exchange[Result], failure: OversizedFailure) -> None:
        """The server takes less at a time than it said, or what is before it does."""
        if len(request.items) == 1:
            self._fail(OversizedError(request.server.address.url, f"one submission is too large: {failure}"))
        size = len(self._work.body(request.items))
        request.server.most_bytes = min(request.server.most_bytes, size)
        # What all requests have in common can be larger than what differs: fewer bytes may be as many submissions.
        request.server.most_items = min(request.server.most_items, max(1, len(request.items) // 2))

    def _hedge(self, after_s: float) -> None:
        """Sends what has been under way for too long to a second server."""
        now_s = time.monotonic()
        for request in list(self._requests):
            slow = [
                item
                for item in request.left.values()
                if not item.is_done and item.requests == 1 and now_s - item.sent_s >= after_s
            ]
            others = [server for server in self._servers.usable() if server is not request.server]
            if slow and others:
                self._send(others[0], slow[: max(others[0].window - self._there[others[0]], 0) or 1])

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
        self._changed.set()

    def _end(self, request: Exchange[Result]) -> None:
        self._requests.discard(request)
        left = len(request.left)
        self._there[request.server] -= left
        request.server.got(left, are_answered=False)
        for item in reversed(request.left.values()):
            item.requests -= 1
            self._return(item)
        self._pump()
