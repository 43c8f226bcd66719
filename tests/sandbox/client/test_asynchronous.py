from __future__ import annotations

import asyncio
import inspect
from contextlib import aclosing
from typing import Any

import pytest

from sandbox import AsyncSandboxClient, ClosedError, Problem, SandboxClient, Verdict

ADD = Problem(id="add", tests=("assert f(1, 2) == 3",))
RIGHT, WRONG = "def f(a, b): return a + b", "def f(a, b): return a * b"


@pytest.fixture(scope="module")
def server(start_server: Any) -> Any:
    return start_server(workers=2)


@pytest.mark.parametrize("name", ["run", "run_batch", "run_as_completed", "judge", "judge_batch", "judge_as_completed"])
def test_a_method_takes_what_the_asynchronous_twin_of_the_other_client_does(name: str) -> None:
    assert inspect.signature(getattr(AsyncSandboxClient, name)) == inspect.signature(
        getattr(SandboxClient, name + "_async")
    )


def test_it_is_made_as_the_other_client_is() -> None:
    assert inspect.signature(AsyncSandboxClient.__init__) == inspect.signature(SandboxClient.__init__)


def test_it_does_all_that_the_other_client_does(server: Any) -> None:
    async def all_of_it() -> None:
        async with AsyncSandboxClient(server.url) as client:
            assert (await client.judge(ADD, RIGHT)).verdict is Verdict.AC
            assert (await client.run("print(input())", "x")).stdout == b"x\n"
            results = await client.judge_batch(iter([(ADD, RIGHT), (ADD, WRONG), (ADD, None)]))
            assert [result.verdict for result in results] == [Verdict.AC, Verdict.WA, Verdict.NO_CODE]
            assert [run.verdict for run in await client.run_batch([("pass", ""), ("1 / 0", "")])] == [
                Verdict.AC, Verdict.RE
            ]  # fmt: skip
            assert {index async for index, _ in client.run_as_completed([("pass", "")] * 20)} == set(range(20))
            assert await client.workers() == 2
            assert (await client.enforcement()).level == "userns"
            assert "python" in await client.languages()
        with pytest.raises(ClosedError):
            await client.run("pass")

    asyncio.run(all_of_it())


def test_many_tasks_may_use_it_at_once(server: Any) -> None:
    async def many() -> list[bytes]:
        async with AsyncSandboxClient(server.url) as client:
            runs = await asyncio.gather(*(client.run(f"print({number})") for number in range(40)))
            return [run.stdout for run in runs]

    assert asyncio.run(many()) == [f"{number}\n".encode() for number in range(40)]


def test_an_iterator_that_is_left_gives_up_the_rest(server: Any) -> None:
    async def leave() -> None:
        async with AsyncSandboxClient(server.url) as client:
            async with aclosing(client.run_as_completed([("pass", "")] + [("import time; time.sleep(2)", "")] * 50)) as found:  # type: ignore[type-var]  # fmt: skip  # noqa: E501
                async for index, _ in found:
                    assert index == 0
                    break
            async with asyncio.timeout(20):
                assert (await client.run("pass")).verdict is Verdict.AC

    asyncio.run(leave())


def test_a_cancelled_call_gives_up(server: Any) -> None:
    async def cancel() -> None:
        async with AsyncSandboxClient(server.url) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await client.run_batch([("import time; time.sleep(2)", "")] * 100)
            async with asyncio.timeout(20):
                assert (await client.run("pass")).verdict is Verdict.AC

    asyncio.run(cancel())


def test_in_the_next_event_loop_it_begins_anew(server: Any) -> None:
    client = AsyncSandboxClient(server.url)

    async def run() -> Verdict:
        try:
            return (await client.run("pass")).verdict
        finally:
            core, client._core = client._core, None
            assert core is not None
            await core.close()

    assert [asyncio.run(run()) for _ in range(2)] == [Verdict.AC] * 2
