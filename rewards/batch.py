"""A batch of submissions, judged so that whoever waits for it can give it up."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol, Unpack

from rewards.verdict_cache import Key, VerdictCache
from sandbox.futures import Stop, Stoppable
from sandbox.options import JudgeOptions
from sandbox.problem import Problem
from sandbox.result import JudgeResult

Submission = tuple[Problem, str | None]
_OPTIONS: Final[JudgeOptions] = {"on_host_failure": "return"}


class Judge(Protocol):
    """What judges: a `Sandbox`, a client of servers, or anything with this method of theirs."""

    def judge_as_completed(
        self, submissions: Iterable[Submission], /, **options: Unpack[JudgeOptions]
    ) -> Iterator[tuple[int, JudgeResult]]:
        """Place and result of each submission, as they finish.

        Dropping the iterator cancels what is pending; a `Stoppable` lets that be done while a result is waited for.
        """


class Batch:
    """Judges in a thread of its own, until all is done, the time is over or `stop` is called.

    The one who waits is then let go at once, and what waits for a slot is cancelled; what runs ends by its own limits.

    Args:
        judge: makes or finds what judges; called in that thread, as it may take a while.
        timeout_s: from now on; None: as long as it takes.
    """

    def __init__(self, judge: Callable[[], Judge], timeout_s: float | None = None) -> None:
        self._judge = judge
        self._due_s = None if timeout_s is None else time.monotonic() + timeout_s
        self._stop = Stop()
        self._finished: queue.SimpleQueue[tuple[int, JudgeResult] | BaseException | None] = queue.SimpleQueue()

    def stop(self) -> None:
        """Gives the batch up; from any thread."""
        self._stop.set()
        self._finished.put(None)

    def results(self, submissions: Sequence[Submission], cache: VerdictCache) -> Iterator[tuple[int, JudgeResult]]:
        """Place and result of each submission, as they are known; fewer where the batch is given up.

        Those with the same key are judged once where the verdict allows it, and each for itself where it does not.

        Raises:
            Exception: what the judge raises.
        """
        keys = [cache.key(problem, code) for problem, code in submissions]
        first: dict[Key, int] = {}
        todo: list[int] = []
        others: dict[int, list[int]] = {}
        for place, key in enumerate(keys):
            known = cache.get(key)
            if known is not None:
                yield place, known
            elif key is not None and key in first:
                others[first[key]].append(place)
            else:
                todo.append(place)
                others[place] = []
                if key is not None:
                    first[key] = place
        again: list[int] = []
        for index, result in self._judged([submissions[place] for place in todo]):
            place = todo[index]
            yield place, result
            if cache.add(keys[place], result):
                yield from ((other, result) for other in others[place])
            else:
                again += others[place]
        for index, result in self._judged([submissions[place] for place in again]):
            yield again[index], result

    def _judged(self, submissions: Sequence[Submission]) -> Iterator[tuple[int, JudgeResult]]:
        if not submissions or self._stop.is_set:
            return
        threading.Thread(target=self._work, args=(submissions,), name="reward-batch", daemon=True).start()
        try:
            while True:
                left_s = None if self._due_s is None else self._due_s - time.monotonic()
                if left_s is not None and left_s <= 0 and not self._stop.is_set:
                    self.stop()  # what was finished by now is still taken, up to the None that this puts behind it
                try:
                    item = self._finished.get(timeout=None if left_s is None else max(0.0, left_s))
                except queue.Empty:
                    continue
                if isinstance(item, BaseException):
                    raise item
                if item is None:
                    return
                yield item
        except BaseException:  # the caller's, or what the judge raised
            self.stop()
            raise

    def _work(self, submissions: Sequence[Submission]) -> None:
        """The thread: hands results over; leaving the loop drops the iterator."""
        try:
            results = self._judge().judge_as_completed(self._wanted(submissions), **_OPTIONS)
            if isinstance(results, Stoppable):
                self._stop.on(results.stop)
            for item in results:
                if self._stop.is_set:
                    break
                self._finished.put(item)
            self._finished.put(None)
        except BaseException as error:  # noqa: BLE001 - to whoever waits
            self._finished.put(error)

    def _wanted(self, submissions: Sequence[Submission]) -> Iterator[Submission]:
        for submission in submissions:
            if self._stop.is_set:
                return
            yield submission
