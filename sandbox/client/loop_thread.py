"""An event loop in a thread of its own, for callers that have none or whose own must not be touched."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from sandbox.errors import ClosedError

T = TypeVar("T")


class LoopThread:
    """Runs coroutines until it is stopped. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_stopped = False
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="sandbox-client", daemon=True)
        self._thread.start()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Runs it; cancelling the future cancels it.

        Raises:
            ClosedError: the thread was stopped.
        """
        with self._lock:
            if not self._is_stopped:
                return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        coroutine.close()
        raise ClosedError("this client is closed; make a new one")

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs it and waits; what interrupts the waiting cancels it. Raises as `start`."""
        future = self.start(coroutine)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Cancels what still runs and ends the thread."""
        with self._lock:
            self._is_stopped = True
            self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._wait())

    async def _wait(self) -> None:
        await self._ending.wait()
