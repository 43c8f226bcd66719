from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from typing import Any
from weakref import ref

import pytest

from sandbox.result import RunResult
from sandbox.server import retained as module
from sandbox.server.dispatch import Dispatcher, Request
from sandbox.server.errors import ConflictError, InvalidError
from sandbox.server.retained import Retained
from sandbox.server.work import Work
from sandbox.verdict import Verdict

RESULT = RunResult(
    verdict=Verdict.AC, stdout=b"", stderr=b"", exit_code=0, message="", cpu_s=0, wall_s=0.01, peak_memory_bytes=0,
    enforcement="userns",
)  # fmt: skip


class Slots:
    """Stands for a sandbox: a test says when a program ends."""

    workers = 1

    def __init__(self) -> None:
        self.started: list[tuple[str, Future[RunResult]]] = []

    def task(self, name: str) -> Any:
        def start() -> Future[RunResult]:
            future: Future[RunResult] = Future()
            future.set_running_or_notify_cancel()
            self.started.append((name, future))
            return future

        return start

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.started]

    def end(self, name: str) -> None:
        dict(self.started)[name].set_result(RESULT)


class Unobserved:
    def finished(self, outcome: object, about: object, *, waited_s: float, took_s: float) -> None: ...


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def opened(slots: Slots, kept: Any, retained: Retained, names: str) -> Request[RunResult]:
    dispatcher = Dispatcher(slots, 100, Unobserved(), 1 << 28)  # type: ignore[arg-type]
    request = dispatcher.open(
        "me",
        Work(
            tasks=[slots.task(name) for name in names],
            size=lambda _: 0,
            keep=lambda place, _: retained.keep(kept, place, names[place].encode()),
        ),
    )
    kept.newest = ref(request)
    return request


def test_the_same_key_finds_what_was_kept() -> None:
    async def test() -> None:
        retained = Retained(10**6, 60)
        kept = await retained.claim("key", b"digest")
        retained.keep(kept, 3, b"row")
        assert (await retained.claim("key", b"digest")).rows == {3: b"row"}
        assert (await retained.claim("other", b"digest")).rows == {}

    run(test())


def test_another_body_is_a_conflict() -> None:
    async def test() -> None:
        retained = Retained(10**6, 60)
        await retained.claim("key", b"digest")
        with pytest.raises(ConflictError, match="'key' was used with another body"):
            await retained.claim("key", b"another")

    run(test())


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_keys_have_a_bounded_length(key: str) -> None:
    async def test() -> None:
        with pytest.raises(InvalidError):
            await Retained(10**6, 60).claim(key, b"")

    run(test())


def test_a_repeated_request_waits_for_what_runs_and_drops_what_waits() -> None:
    async def test() -> None:
        slots, retained = Slots(), Retained(10**6, 60)
        first = opened(slots, await retained.claim("key", b""), retained, "abcd")
        slots.end("a")
        await settle()
        assert slots.names == ["a", "b", "c"]
        second = asyncio.create_task(retained.claim("key", b""))
        await settle()
        assert first.is_over
        assert not second.done()
        slots.end("b")
        slots.end("c")
        assert sorted((await second).rows) == [0, 1, 2]
        assert slots.names == ["a", "b", "c"]

    run(test())


def test_of_several_repetitions_that_wait_the_last_is_answered() -> None:
    async def test() -> None:
        slots, retained = Slots(), Retained(10**6, 60)
        opened(slots, await retained.claim("key", b""), retained, "a")
        waiting = [asyncio.create_task(retained.claim("key", b"")) for _ in range(3)]
        await settle()
        slots.end("a")
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes[:2]] == [ConflictError] * 2
        assert getattr(outcomes[2], "rows", None) == {0: b"a"}

    run(test())


def test_rows_are_kept_within_a_bound_and_the_oldest_go_first() -> None:
    async def test() -> None:
        retained = Retained(10_000, 60)
        first = await retained.claim("first", b"")
        retained.keep(first, 0, b"x" * 3000)
        second = await retained.claim("second", b"")
        retained.keep(second, 0, b"x" * 3000)
        assert retained.size <= 10_000
        await retained.claim("first", b"")
        third = await retained.claim("third", b"")
        retained.keep(third, 0, b"x" * 3000)
        assert retained.size <= 10_000
        assert (await retained.claim("first", b"")).rows
        assert not (await retained.claim("second", b"")).rows

    run(test())


def test_one_that_outgrows_the_bound_is_not_kept_at_all() -> None:
    async def test() -> None:
        retained = Retained(10_000, 60)
        kept = await retained.claim("key", b"")
        for place in range(100):
            retained.keep(kept, place, b"x" * 1000)
        assert (kept.rows, retained.size, len(retained)) == ({}, 0, 0)

    run(test())


def test_keys_alone_are_bounded_too() -> None:
    async def test() -> None:
        retained = Retained(10_000, 60)
        for number in range(1000):
            await retained.claim(str(number), b"")
        assert retained.size <= 10_000
        assert len(retained) <= 10

    run(test())


def test_what_was_not_used_for_long_is_forgotten_unless_it_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        now_s = 0.0
        monkeypatch.setattr(module.time, "monotonic", lambda: now_s)
        slots, retained = Slots(), Retained(10**6, 60)
        retained.keep(await retained.claim("idle", b""), 0, b"row")
        request = opened(slots, await retained.claim("busy", b""), retained, "a")
        now_s = 61.0
        await retained.claim("new", b"")
        assert sorted(retained._held) == ["busy", "new"]
        slots.end("a")
        await settle()
        assert request.is_done
        now_s = 122.0
        await retained.claim("newer", b"")
        assert sorted(retained._held) == ["newer"]

    run(test())


def test_a_claim_does_not_look_at_all_that_is_kept() -> None:
    class Counted(OrderedDict[Any, Any]):
        seen = 0

        def __iter__(self) -> Iterator[Any]:
            for key in super().__iter__():
                self.seen += 1
                yield key

        def items(self) -> Any:
            return ((key, self[key]) for key in self)

    async def test() -> None:
        kept = Retained(1 << 30, 60)
        for number in range(100):
            await kept.claim(str(number), b"")
        counted = kept._held = Counted(kept._held)
        counted.seen = 0
        await kept.claim("another", b"")
        assert counted.seen < 3

    run(test())
