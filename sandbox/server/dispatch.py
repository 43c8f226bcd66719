"""From requests to slots: what each request still has to do, whose turn it is, and the way of results back."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import Future
from typing import Any, Generic, Self

from sandbox.errors import ClosedError, InfrastructureError, SandboxError
from sandbox.pool import Sandbox
from sandbox.server.errors import DrainingError, OverloadedError, TooLargeError
from sandbox.server.fairness import Turn, Turns
from sandbox.server.request_context import count_submissions, request_id
from sandbox.server.share import Share
from sandbox.server.work import About, Observer, Result, Work

log = logging.getLogger(__name__)

_RUNNING_PER_SLOT = 2
"""Given to the sandbox at a time: one that runs and one to follow at once. More would be out of reach of fairness."""
_MOST_UNTAKEN = 256
_MOST_UNTAKEN_BYTES = 1 << 20
"""Results that a slow reader leaves lie before its request gets no further turn."""
_GATHER_S = 0.01
"""Results that finish within it are sent together: each part of an answer wakes server and client once."""
_RETRY_AFTER_S = (1.0, 60.0)
_FIRST_GUESS_S = 0.01
_WEIGHT = 0.05
"""Of the newest submission in the mean time of all."""


class Request(Generic[Result]):
    """What one HTTP request has to do.

    An asynchronous iterator of what has finished since it was last asked: lists of (index, result or error). And a
    context manager: leaving it, for whatever reason, drops what has not been done. What it has given is held until it
    is told that it is `sent`: it does no more while its client has too much of that.
    """

    def __init__(self, dispatcher: Dispatcher, client: str, work: Work[Result]) -> None:
        self.client = client
        self._id = request_id()
        self._problem_ids = work.problem_ids
        self._dispatcher = dispatcher
        self._tasks = work.tasks
        self._size = work.size
        self._keep = work.keep
        self._next = 0
        self._running: set[Future[Result]] = set()
        self._untaken: list[tuple[int, Result | SandboxError]] = []
        self._untaken_bytes = 0
        self._unsent_bytes = 0
        self._taken = 0
        self._is_closed = False
        self._changed = asyncio.Event()
        self._readable = asyncio.Event()
        self._gathering: asyncio.TimerHandle | None = None
        self.since_s = time.monotonic()

    @property
    def waiting(self) -> int:
        """Submissions that no slot has been asked to do."""
        return 0 if self._is_closed else len(self._tasks) - self._next

    @property
    def is_over(self) -> bool:
        """None waits any more."""
        return self.waiting == 0

    @property
    def is_ready(self) -> bool:
        """One may run: there is one, and its reader keeps up."""
        return not self.is_over and not self._is_behind and not self._dispatcher.unsent.is_full_for(self.client)

    @property
    def _is_behind(self) -> bool:
        return len(self._untaken) >= _MOST_UNTAKEN or self._untaken_bytes >= _MOST_UNTAKEN_BYTES

    @property
    def is_done(self) -> bool:
        """None waits or runs."""
        return self.is_over and not self._running

    async def settled(self) -> None:
        """Returns when none of it runs."""
        while self._running:
            self._changed.clear()
            await self._changed.wait()

    def about(self, place: int) -> About:
        """What the submission at a place is."""
        if self._problem_ids is None:
            return About("run", self.client, self._id, None)
        return About("judge", self.client, self._id, self._problem_ids[place])

    def start(self) -> tuple[int, Future[Result]]:
        """Gives the next submission to the sandbox: its place, and the result to come."""
        place = self._next
        self._next += 1
        try:
            future = self._tasks[place]()
        except Exception as error:  # noqa: BLE001 - becomes the submission's, and IE where nobody foresaw it
            future = Future()
            future.set_exception(error)
        self._running.add(future)
        return place, future

    def finish(self, place: int, future: Future[Result], outcome: Result | SandboxError) -> None:
        """A submission is done."""
        self._running.discard(future)
        if self._keep is not None:
            self._keep(place, outcome)
        self._changed.set()
        if self._is_closed:
            return
        self._untaken.append((place, outcome))
        if not isinstance(outcome, SandboxError):
            size = self._size(outcome)
            self._untaken_bytes += size
            self._unsent_bytes += size
            self._dispatcher.unsent.put(self.client, size)
        if self._taken + len(self._untaken) == len(self._tasks) or self._is_behind:
            self._readable.set()
        elif self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(_GATHER_S, self._readable.set)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[tuple[int, Result | SandboxError]]:
        if self._taken == len(self._tasks):
            raise StopAsyncIteration
        await self._readable.wait()
        if self._is_closed:
            raise ClosedError("the request was given up")
        self._stop_gathering()
        self._readable.clear()
        finished = list(self._untaken)
        self._untaken.clear()
        self._untaken_bytes = 0
        self._taken += len(finished)
        self._dispatcher.pump()  # it may have been behind
        return finished

    def sent(self) -> None:
        """All that it has given so far is no longer held."""
        if self._unsent_bytes > self._untaken_bytes:
            self._dispatcher.unsent.give_back(self.client, self._unsent_bytes - self._untaken_bytes)
            self._unsent_bytes = self._untaken_bytes
            self._dispatcher.pump()

    def _stop_gathering(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.give_up()

    def give_up(self) -> None:
        """Drops what has not been done; whoever waits for more gets ClosedError."""
        if not self._is_closed:
            dropped = self.waiting
            self._is_closed = True
            for future in self._running:  # what a slot has goes on, and is kept where the request has a key
                future.cancel()
            self._untaken.clear()
            self._dispatcher.unsent.give_back(self.client, self._unsent_bytes)
            self._changed.set()
            self._stop_gathering()
            self._readable.set()
            self._dispatcher.dropped(self, dropped)


class Dispatcher:
    """Gives submissions to the sandbox in fair turns, never more than it can soon run. Lives in one event loop.

    Args:
        sandbox: runs them; nobody else gives it work.
        queued: submissions that may wait or run at a time, over all clients.
        observer: is told of each that is done.
        unsent_bytes: results of all requests that may be held until they are sent.
    """

    def __init__(self, sandbox: Sandbox, queued: int, observer: Observer, unsent_bytes: int) -> None:
        self._sandbox = sandbox
        self._observer = observer
        self._turns: Turns[Request[Any]] = Turns()
        self._share = Share(queued)
        self.unsent = Share(unsent_bytes)
        """Bytes of results; a client that lets too many lie gets no further turn."""
        self._requests: set[Request[Any]] = set()
        self._running = 0
        self._mean_s = _FIRST_GUESS_S
        self._is_draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._loop = asyncio.get_running_loop()

    @property
    def depth(self) -> int:
        """Submissions that wait or run."""
        return self._share.total

    @property
    def oldest_s(self) -> float:
        """Age of the oldest request of which something still waits; 0 where none does."""
        ages = [time.monotonic() - request.since_s for request in self._requests if not request.is_over]
        return max(ages, default=0.0)

    @property
    def clients(self) -> int:
        """Of which a request is being served."""
        return len({request.client for request in self._requests})

    @property
    def is_draining(self) -> bool:
        """Nothing new is taken."""
        return self._is_draining

    def open(self, client: str, work: Work[Result]) -> Request[Result]:
        """Queues a request of at least one task; enter what it returns.

        Args:
            client: whose it is, for fairness.
            work: what is to be done.

        Raises:
            OverloadedError: there is no room now.
            TooLargeError: there never is for so many.
            DrainingError: the server is about to end.
        """
        if self._is_draining:
            raise DrainingError
        count = len(work.tasks)
        if not self._share.could_ever_fit(count):
            raise TooLargeError("submissions in a request", count, self._share.capacity // 2)
        if not self._share.take(client, count):
            raise OverloadedError(self.retry_after_s)
        self._idle.clear()
        count_submissions(count)
        request = Request(self, client, work)
        self._requests.add(request)
        self._turns.add(request)
        self.pump()
        return request

    @property
    def retry_after_s(self) -> float:
        """Until half of what is queued will have been done."""
        expected_s = self.depth / 2 * self._mean_s / self._sandbox.workers
        return min(max(expected_s, _RETRY_AFTER_S[0]), _RETRY_AFTER_S[1])

    def pump(self) -> None:
        """Starts what may start."""
        while self._running < self._sandbox.workers * _RUNNING_PER_SLOT:
            turn = self._turns.next()
            if turn is None:
                return
            self._start(turn)

    async def drain(self) -> None:
        """Takes nothing new and returns when all that was taken is done and read."""
        self._is_draining = True
        await self._idle.wait()

    def dropped(self, request: Request[Result], waiting: int) -> None:
        """A request is over, of which so many had not been started."""
        self._requests.discard(request)
        self._share.give_back(request.client, waiting)
        self.pump()  # whose turns forget it
        self._look_idle()

    def _start(self, turn: Turn[Request[Any]]) -> None:
        self._running += 1
        began_s = time.monotonic()
        place, future = turn.request.start()
        future.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._finish, turn, place, done, began_s))

    def _finish(self, turn: Turn[Request[Any]], place: int, future: Future[Any], began_s: float) -> None:
        self._running -= 1
        request = turn.request
        outcome = _outcome(future)
        spent_s = 0.0 if isinstance(outcome, SandboxError) else outcome.wall_s
        self._turns.done(turn, spent_s)
        self._share.give_back(request.client, 1)
        request.finish(place, future, outcome)
        took_s = time.monotonic() - began_s
        if not future.cancelled():
            self._mean_s += _WEIGHT * (spent_s - self._mean_s)
        self.pump()
        self._look_idle()
        if not future.cancelled():  # last: whatever it does, the next has its turn
            waited_s = began_s - request.since_s
            self._observer.finished(outcome, request.about(place), waited_s=waited_s, took_s=took_s)

    def _look_idle(self) -> None:
        if not self._requests and not self._running:
            self._idle.set()


def _outcome(future: Future[Result]) -> Result | SandboxError:
    """What a submission ended with; an error that nobody foresaw is the host's."""
    if future.cancelled():
        return ClosedError("the request was given up")
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, SandboxError):
        return error
    log.error("a submission failed in an unforeseen way", exc_info=error)
    return InfrastructureError(f"{type(error).__name__}: {error}")
