"""Requests on their way to a real sandbox and back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from sandbox.errors import ClosedError, InfrastructureError, SandboxError
from sandbox.limits import Limits
from sandbox.pool import Sandbox
from sandbox.result import RunResult
from sandbox.server import dispatch
from sandbox.server.dispatch import Dispatcher, Request
from sandbox.server.errors import DrainingError, OverloadedError, TooLargeError
from sandbox.server.work import Work

LIMITS = Limits(idle_s=20)


class Seen:
    """What the dispatcher has told of."""

    def __init__(self) -> None:
        self.outcomes: list[object] = []
        self.waited_s: list[float] = []

    def finished(self, outcome: object, about: object, *, waited_s: float, took_s: float) -> None:
        self.outcomes.append(outcome)
        self.waited_s.append(waited_s)
        assert took_s >= 0


class Run:
    """A dispatcher before a sandbox, in an event loop."""

    def __init__(self, box: Sandbox, queued: int = 1000, unsent_bytes: int = 1 << 28) -> None:
        self.box = box
        self.seen = Seen()
        self.dispatcher = Dispatcher(box, queued, self.seen, unsent_bytes)

    def open(self, client: str, *codes: str, **work: Any) -> Request[RunResult]:
        tasks = [partial(self.box.submit_run, code, b"", LIMITS) for code in codes]
        size: Callable[[RunResult], int] = lambda result: len(result.stdout)
        return self.dispatcher.open(client, Work(tasks=tasks, size=size, **work))

    async def is_idle(self) -> None:
        end = time.monotonic() + 30
        while self.dispatcher.depth or self.dispatcher._running or self.dispatcher._turns._clients:
            assert time.monotonic() < end
            await asyncio.sleep(0.005)


def started(code: str) -> str:
    return f"import time\ntime.sleep({code})"


async def results(request: Request[RunResult]) -> dict[int, RunResult | SandboxError]:
    found: list[tuple[int, RunResult | SandboxError]] = []
    with request:
        async for finished in request:
            found += finished
    assert len(dict(found)) == len(found)
    return dict(found)


def go(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


def test_every_submission_is_answered_once(box: Sandbox) -> None:
    async def test() -> None:
        run = Run(box)
        requests = [run.open(client, *[f"print({n})" for n in range(20)]) for client in "aab"]
        assert run.dispatcher.depth == 60
        for found in await asyncio.gather(*map(results, requests)):
            assert {place: getattr(result, "stdout", None) for place, result in found.items()} == {
                place: b"%d\n" % place for place in range(20)
            }
        await run.is_idle()
        assert len(run.seen.outcomes) == 60

    go(test())


def test_a_small_client_does_not_wait_for_a_large_one(box: Sandbox) -> None:
    async def test() -> None:
        run = Run(box)
        with run.open("large", *["pass"] * 400):
            await results(run.open("small", *["pass"] * 4))
            assert run.dispatcher.depth > 300
        await run.is_idle()

    go(test())


def test_leaving_a_request_drops_what_waits_and_frees_its_share(box: Sandbox) -> None:
    async def test() -> None:
        run = Run(box, queued=100)
        with run.open("a", *["pass"] * 50) as request:
            await anext(request)
        await run.is_idle()
        assert len(run.seen.outcomes) < 50
        assert len(await results(run.open("a", *["pass"] * 50))) == 50

    go(test())


def test_a_client_that_comes_and_goes_never_blocks_the_event_loop(box: Sandbox) -> None:
    async def test() -> None:
        run = Run(box)
        longest_s = 0.0
        for _ in range(40):
            before_s = time.monotonic()
            with run.open("a", *[started("1.5")] * 20):
                await asyncio.sleep(0.01)
            longest_s = max(longest_s, time.monotonic() - before_s)
        # What is in a slot goes on, and is counted as running, but nothing queues up behind it.
        assert longest_s < 1.0
        assert box.activity.waiting <= box.workers
        await run.is_idle()
        assert len(run.seen.outcomes) <= 2 * box.workers

    go(test())


def test_a_reader_that_does_not_keep_up_gets_no_further_turn(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_MOST_UNTAKEN_BYTES", 10_000)

    async def test() -> None:
        run = Run(box)
        with run.open("slow", *["print('x' * 5000)"] * 50) as slow:
            assert len(await results(run.open("fast", *["pass"] * 30))) == 30
            assert len(slow._untaken) <= 2 + 2 * box.workers
            assert slow.waiting > 30
            count = 0
            async for finished in slow:
                count += len(finished)
            assert count == 50
        await run.is_idle()

    go(test())


def test_too_much_is_refused_now_or_for_ever(box: Sandbox) -> None:
    async def test() -> None:
        run = Run(box, queued=100)
        with pytest.raises(TooLargeError):
            run.open("a", *["pass"] * 51)
        with run.open("a", *["pass"] * 50):
            with pytest.raises(OverloadedError) as caught:
                run.open("a", "pass")
            assert 1 <= (caught.value.retry_after_s or 0) <= 60
            assert len(await results(run.open("b", "pass"))) == 1
        await run.is_idle()

    go(test())


def test_draining_finishes_what_was_taken_and_takes_nothing_new(box: Sandbox) -> None:
    async def test() -> None:
        run = Run(box)
        request = run.open("a", *["pass"] * 30)
        draining = asyncio.create_task(run.dispatcher.drain())
        await asyncio.sleep(0)
        assert run.dispatcher.is_draining
        with pytest.raises(DrainingError):
            run.open("b", "pass")
        assert not draining.done()
        assert len(await results(request)) == 30
        await draining

    go(test())


def test_what_a_closed_sandbox_did_not_do_ends_with_closed_errors() -> None:
    async def test() -> None:
        with Sandbox(workers=1) as box:
            run = Run(box)
            request = run.open("a", *[started("20")] * 20)
            await asyncio.sleep(0.2)
            await box.close_async()
            found = await results(request)
        assert len(found) == 20
        assert {type(outcome) for outcome in found.values()} == {ClosedError}
        await run.is_idle()

    go(test())


def test_a_task_that_fails_in_an_unforeseen_way_is_the_hosts_failure(box: Sandbox) -> None:
    async def test() -> None:
        run = Run(box)
        broken: list[Any] = [lambda: 1 / 0]
        [outcome] = (await results(run.dispatcher.open("a", Work(tasks=broken, size=lambda _: 0)))).values()
        assert isinstance(outcome, InfrastructureError)
        assert len(await results(run.open("a", "pass"))) == 1
        await run.is_idle()

    go(test())


def test_what_is_to_be_kept_is_told_also_when_nobody_waits_any_more(box: Sandbox) -> None:
    async def test() -> None:
        run = Run(box)
        kept: list[int] = []
        request = run.open("a", *[started("0.3")] * 20, keep=lambda place, _: kept.append(place))
        with request:
            await asyncio.sleep(0.15)
        await request.settled()
        assert kept
        assert sorted(kept) == list(range(len(kept)))
        assert len(kept) <= 2 * box.workers
        with pytest.raises(ClosedError):
            await anext(request)
        await run.is_idle()

    go(test())


def test_a_client_that_lets_results_lie_in_many_requests_gets_no_turn_and_others_do(box: Sandbox) -> None:
    async def test() -> None:
        run = Run(box, unsent_bytes=100_000)
        with contextlib.ExitStack() as stack:
            requests = [stack.enter_context(run.open("slow", *["print('x' * 40_000)"] * 3)) for _ in range(5)]
            await asyncio.sleep(0.1)
            for _ in range(1000):
                if not run.dispatcher._running:
                    break
                await asyncio.sleep(0.01)
            assert 50_000 < run.dispatcher.unsent.total <= 50_000 + 5 * 40_001  # and those that ran meanwhile
            assert len(await results(run.open("other", "print(1)"))) == 1
        assert all(request.is_over for request in requests)
        assert not run.dispatcher.unsent.total

    go(test())


def test_what_is_sent_makes_room_again(box: Sandbox) -> None:
    async def test() -> None:
        run = Run(box, unsent_bytes=100_000)
        taken = 0
        with run.open("reader", *["print('x' * 40_000)"] * 20) as request:
            async for finished in request:
                taken += len(finished)
                request.sent()
        assert taken == 20
        assert not run.dispatcher.unsent.total

    go(test())
