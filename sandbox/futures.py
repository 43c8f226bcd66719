"""Results that are still to come: converted, as they finish, in order, and without blocking an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

from sandbox.errors import InfrastructureError

S = TypeVar("S")
T = TypeVar("T")


def then(
    source: concurrent.futures.Future[S],
    convert: Callable[[S], T],
    recover: Callable[[InfrastructureError], T] | None = None,
) -> concurrent.futures.Future[T]:
    """A future of the converted result, which can be cancelled as long as the source can.

    Args:
        recover: makes a result of a failure of the host; None: that is raised like any other error.
    """
    target: _Following[T] = _Following(source)

    def finish(done: concurrent.futures.Future[S]) -> None:
        if done.cancelled():
            target.cancel()
        is_wanted = target.set_running_or_notify_cancel()
        target.let_go()
        if not is_wanted:
            return
        try:
            target.set_result(_converted(done, convert, recover))
        except BaseException as error:  # noqa: BLE001 - to whoever waits for the target
            target.set_exception(error)

    source.add_done_callback(finish)
    return target


class _Following(concurrent.futures.Future[T]):
    """The future of what another will be converted to."""

    def __init__(self, source: concurrent.futures.Future[Any]) -> None:
        super().__init__()
        self._source: concurrent.futures.Future[Any] | None = source

    def cancel(self) -> bool:
        """False once the source runs: who counts what runs must not take it for ended."""
        source = self._source
        return (source is None or source.cancel()) and super().cancel()

    def let_go(self) -> None:
        """The source is done: the two must not hold each other, or large results would wait for the collector."""
        self._source = None


def _converted(
    done: concurrent.futures.Future[S], convert: Callable[[S], T], recover: Callable[[InfrastructureError], T] | None
) -> T:
    try:
        return convert(done.result())
    except InfrastructureError as error:
        if recover is None:
            raise
        return recover(error)


class Stop:
    """Whether something is to be given up, and what to do about it then. Thread-safe."""

    def __init__(self) -> None:
        self.is_set = False
        self._action: Callable[[], None] | None = None

    def set(self) -> None:
        """Gives it up; more than once does no harm."""
        self.is_set = True
        if self._action is not None:
            self._action()

    def on(self, action: Callable[[], None]) -> None:
        """What to do, in place of what was to be done before; at once where it has been given up. Perhaps twice."""
        self._action = action
        if self.is_set:
            action()


class Stoppable(Iterator[T]):
    """Results of a batch that any thread can give up, whoever waits for them. Dropping them does so, too.

    Args:
        make: the results, which end early where that is asked for.
    """

    def __init__(self, make: Callable[[Stop], Generator[T]]) -> None:
        self._stop = Stop()
        self._results = make(self._stop)

    def __next__(self) -> T:
        return next(self._results)

    def stop(self) -> None:
        """Cancels what is pending; who waits is told that there is no more as soon as nothing runs that cannot be."""
        self._stop.set()

    def close(self) -> None:
        """Drops the results, in the thread that reads them."""
        self._results.close()


def as_completed(futures: Iterable[concurrent.futures.Future[T]], most: int) -> Stoppable[tuple[int, T]]:
    """Place and result of each, as they finish; `futures` is read on when fewer than `most` are pending.

    What is pending when the caller stops, or when one of them fails, is cancelled.
    """
    return Stoppable(lambda stop: _completed(futures, most, stop))


def _completed(futures: Iterable[concurrent.futures.Future[T]], most: int, stop: Stop) -> Generator[tuple[int, T]]:
    pending: dict[concurrent.futures.Future[T], int] = {}

    def cancel() -> None:
        for future in list(pending):
            future.cancel()

    stop.on(cancel)
    try:
        for index, future in enumerate(futures):
            pending[future] = index
            if stop.is_set:
                return
            if len(pending) >= most:
                yield from _take_finished(pending)
        while pending:
            yield from _take_finished(pending)
    except concurrent.futures.CancelledError:
        if not stop.is_set:
            raise
    finally:
        cancel()


def _take_finished(pending: dict[concurrent.futures.Future[T], int]) -> Iterator[tuple[int, T]]:
    done, _ = concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED)
    for future in done:
        index = pending.pop(future)
        yield index, future.result()


def in_order(results: Iterable[tuple[int, T]]) -> list[T]:
    """Results by place; every place from 0 on must be there."""
    found = dict(results)
    return [found[index] for index in range(len(found))]


async def in_thread(results: Stoppable[T]) -> AsyncIterator[T]:
    """The same, each waited for in a thread; None must not be among them."""
    try:
        while (following := await asyncio.to_thread(next, results, None)) is not None:
            yield following
    finally:
        results.stop()  # the thread may still wait
