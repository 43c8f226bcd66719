"""Results that are still to come: converted, as they finish, in order, and without blocking an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TypeVar

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
        if not target.set_running_or_notify_cancel():
            return
        try:
            target.set_result(_converted(done, convert, recover))
        except BaseException as error:  # noqa: BLE001 - to whoever waits for the target
            target.set_exception(error)

    source.add_done_callback(finish)
    return target


class _Following(concurrent.futures.Future[T]):
    """The future of what another will be converted to."""

    def __init__(self, source: concurrent.futures.Future[S]) -> None:
        super().__init__()
        self._source = source

    def cancel(self) -> bool:
        """False once the source runs: who counts what runs must not take it for ended."""
        return self._source.cancel() and super().cancel()


def _converted(
    done: concurrent.futures.Future[S], convert: Callable[[S], T], recover: Callable[[InfrastructureError], T] | None
) -> T:
    try:
        return convert(done.result())
    except InfrastructureError as error:
        if recover is None:
            raise
        return recover(error)


def as_completed(futures: Iterable[concurrent.futures.Future[T]], most: int) -> Iterator[tuple[int, T]]:
    """Place and result of each, as they finish; `futures` is read on when fewer than `most` are pending.

    What is pending when the caller stops, or when one of them fails, is cancelled.
    """
    pending: dict[concurrent.futures.Future[T], int] = {}
    try:
        for index, future in enumerate(futures):
            pending[future] = index
            if len(pending) >= most:
                yield from _take_finished(pending)
        while pending:
            yield from _take_finished(pending)
    finally:
        for future in pending:
            future.cancel()


def _take_finished(pending: dict[concurrent.futures.Future[T], int]) -> Iterator[tuple[int, T]]:
    done, _ = concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED)
    for future in done:
        index = pending.pop(future)
        yield index, future.result()


def in_order(results: Iterable[tuple[int, T]]) -> list[T]:
    """Results by place; every place from 0 on must be there."""
    found = dict(results)
    return [found[index] for index in range(len(found))]


async def in_thread(results: Iterator[T]) -> AsyncIterator[T]:
    """The same, each waited for in a thread; None must not be among them."""
    while (following := await asyncio.to_thread(next, results, None)) is not None:
        yield following
