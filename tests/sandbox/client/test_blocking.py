from __future__ import annotations

import asyncio
import dataclasses
import inspect
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sandbox import (
    ClosedError,
    Kind,
    Limits,
    Problem,
    ProblemError,
    RunResult,
    Sandbox,
    StdioTest,
    UnreachableError,
    Verdict,
)
from sandbox.client import SandboxClient

ADD = Problem(id="add", tests=("assert f(1, 2) == 3", "assert f(-1, 1) == 0"))
ECHO = Problem(id="echo", kind=Kind.STDIO, tests=(StdioTest(stdin="a", stdout="a"),))
RIGHT = "def f(a, b): return a + b"
WRONG = "def f(a, b): return a * b"
LONE = "# \ud800"
METHODS = [
    name
    for name in ("run", "run_batch", "run_as_completed", "judge", "judge_batch", "judge_as_completed")
    for name in (name, name + "_async")
]


@pytest.fixture(scope="module")
def server(start_server: Any) -> Any:
    return start_server(workers=2)


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[SandboxClient]:
    with SandboxClient(server.url) as client:
        yield client


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as sandbox:
        yield sandbox


def expecting(result: int) -> Problem:
    return Problem(id=f"expecting {result}", tests=(f"assert f(1, 2) == {result}",))


def comparable(result: Any) -> dict[str, Any]:
    """What does not depend on how long it took and how much was used."""
    plain = dataclasses.asdict(result)
    for test in plain.get("tests", ()):
        test.pop("wall_s")
    return {name: value for name, value in plain.items() if name not in {"cpu_s", "wall_s", "peak_memory_bytes"}}


# --- the same as the embedded sandbox ---


@pytest.mark.parametrize("name", [*METHODS, "close", "close_async"])
def test_a_method_takes_and_gives_what_that_of_the_sandbox_does(name: str) -> None:
    assert inspect.signature(getattr(SandboxClient, name)) == inspect.signature(getattr(Sandbox, name))
    assert inspect.iscoroutinefunction(getattr(SandboxClient, name)) == inspect.iscoroutinefunction(
        getattr(Sandbox, name)
    )


def test_it_has_all_that_a_sandbox_has_but_what_concerns_its_own_slots() -> None:
    names = {name for name in dir(Sandbox) if not name.startswith("_")} | {"workers", "enforcement"}
    assert names - set(dir(SandboxClient)) == {"activity", "submit", "submit_run"}


@pytest.mark.parametrize(
    ("problem", "code", "options"),
    [
        (ADD, RIGHT, {}),
        (ADD, WRONG, {}),
        (ADD, WRONG, {"stop_on_first_failure": True}),
        (ADD, None, {}),
        (ADD, "", {}),
        (ADD, "def f(:", {}),
        (ADD, "def f(a, b): raise ValueError('é')", {"isolate": "test"}),
        (ADD, RIGHT + LONE, {}),
        (ADD, RIGHT + "\0", {}),
        (ECHO, "print(input())" + LONE, {}),
        (dataclasses.replace(ECHO, language="bash"), "cat " + LONE, {}),
        (dataclasses.replace(ADD, id=""), RIGHT, {}),
        (dataclasses.replace(ADD, id="\udcff", prompt="\udcff", meta={"\udcff": ""}), RIGHT, {}),
        (dataclasses.replace(ADD, limits=Limits(cpu_s=0.2)), "def f(a, b):\n    while True: pass", {}),
        (dataclasses.replace(ADD, kind=Kind.SHARED), RIGHT, {}),
    ],
)
def test_it_judges_as_the_sandbox_does(
    box: Sandbox, client: SandboxClient, problem: Problem, code: str | None, options: Any
) -> None:
    assert comparable(client.judge(problem, code, **options)) == comparable(box.judge(problem, code, **options))


@pytest.mark.parametrize(
    ("code", "stdin", "options"),
    [
        ("print(input())", "é", {}),
        ("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())", b"\xff\0", {}),
        ("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())", "\udc80", {}),
        ("import sys; print(1, file=sys.stderr); sys.exit(3)", b"", {}),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", b"", {}),
        ("print(1)" + LONE, b"", {}),
        ("echo hi " + LONE, b"", {"language": "bash"}),
        ("while True: pass", b"", {"limits": Limits(cpu_s=0.1)}),
    ],
)
def test_it_runs_as_the_sandbox_does(
    box: Sandbox, client: SandboxClient, code: str, stdin: str | bytes, options: Any
) -> None:
    assert comparable(client.run(code, stdin, **options)) == comparable(box.run(code, stdin, **options))


@pytest.mark.parametrize(
    "call",
    [
        lambda box: box.judge(Problem(id="p/1", tests=("assert f(",)), RIGHT),
        lambda box: box.judge(Problem(id="p/1", tests=("x = 1",)), None),
        lambda box: box.judge(Problem(id="", tests=("x = 1",)), RIGHT),
        lambda box: box.judge(Problem(id="p/1", prelude="1 / 0", tests=("assert f()",)), RIGHT),
        lambda box: box.judge(Problem(id="p/1", entry_point="f(", tests=("assert f()",)), RIGHT),
        lambda box: box.judge(Problem(id="p/1", tests=("assert f() == '\ud800'",)), RIGHT),
        lambda box: box.judge_batch([(ADD, RIGHT)] * 5 + [(Problem(id="p/1", tests=("x",)), RIGHT)]),
        lambda box: box.judge(ADD, 3),
        lambda box: box.judge_batch([(ADD, RIGHT), (ADD, b"")]),
        lambda box: box.judge(ADD, RIGHT, isolate="never"),
        lambda box: box.judge(ADD, RIGHT, on_host_failure="ignore"),
        lambda box: box.judge(ADD, RIGHT, nonsense=1),
        lambda box: box.run(3),
        lambda box: box.run("", 3),
        lambda box: box.run("", "\ud800"),
        lambda box: box.run("", language="cobol"),
        lambda box: box.run_as_completed([], language="cobol"),
        lambda box: box.judge_batch([ADD]),
    ],
)
def test_it_raises_as_the_sandbox_does(box: Sandbox, client: SandboxClient, call: Callable[[Any], object]) -> None:
    with pytest.raises(Exception) as expected:  # noqa: PT011  # whichever it is
        call(box)
    with pytest.raises(type(expected.value)) as caught:
        call(client)
    if isinstance(expected.value, ProblemError):
        assert caught.value.problem_id == expected.value.problem_id
        assert caught.value.reason == expected.value.reason
    elif not isinstance(expected.value, TypeError | UnicodeError):  # those are Python's own
        assert str(caught.value) == str(expected.value)
    assert client.judge(ADD, RIGHT).verdict is Verdict.AC


def test_it_tells_what_its_servers_are(box: Sandbox, client: SandboxClient) -> None:
    assert client.workers == 2
    assert client.enforcement == box.enforcement
    assert client.languages == box.languages


# --- batches ---


def test_a_batch_keeps_the_order_of_its_input(client: SandboxClient) -> None:
    submissions = [(expecting(number % 7), f"def f(a, b): return {number % 5}") for number in range(400)]
    verdicts = [result.verdict for result in client.judge_batch(iter(submissions))]
    assert verdicts == [Verdict.AC if number % 7 == number % 5 else Verdict.WA for number in range(400)]
    assert client.judge_batch([]) == []
    assert client.judge_batch(iter([])) == []


def test_results_come_as_they_finish_with_their_index(client: SandboxClient) -> None:
    programs = [("import time; time.sleep(1); print(0)", ""), ("print(1)", ""), ("print(2)", "")]
    found = list(client.run_as_completed(programs))
    assert found[-1][0] == 0
    assert {index: run.stdout for index, run in found} == {0: b"0\n", 1: b"1\n", 2: b"2\n"}


def test_input_is_read_as_there_is_room(client: SandboxClient) -> None:
    taken = []

    def programs() -> Iterator[tuple[str, str]]:
        for number in range(100_000):
            taken.append(number)
            yield "pass", ""

    results = client.run_as_completed(programs())
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(taken) <= 2048


def test_slow_input_is_judged_while_it_is_read(client: SandboxClient) -> None:
    def programs() -> Iterator[tuple[str, str]]:
        for number in range(4):
            time.sleep(0.5)
            read.append(number)
            yield "pass", ""

    read: list[int] = []
    results = client.run_as_completed(programs())
    assert next(results)[0] == 0
    assert len(read) <= 2
    assert [index for index, _ in results] == [1, 2, 3]


def test_an_error_in_the_callers_iterator_is_the_callers(client: SandboxClient) -> None:
    def submissions() -> Iterator[tuple[Problem, str]]:
        yield ADD, RIGHT
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        client.judge_batch(submissions())
    assert client.judge(ADD, RIGHT).verdict is Verdict.AC


def test_large_programs_are_sent_in_parts(client: SandboxClient) -> None:
    programs = [(f"print({number})  # {'x' * 3_000_000}", "") for number in range(8)]
    assert [run.stdout for run in client.run_batch(programs)] == [f"{number}\n".encode() for number in range(8)]


def test_the_asynchronous_twins_give_the_same(client: SandboxClient) -> None:
    async def all_of_them() -> list[list[Verdict]]:
        return [
            [(await client.judge_async(ADD, RIGHT)).verdict, (await client.run_async("1 / 0")).verdict],
            [result.verdict for result in await client.judge_batch_async([(ADD, RIGHT), (ADD, WRONG)])],
            [result.verdict for result in await client.run_batch_async([("pass", ""), ("1 / 0", "")])],
        ]

    assert asyncio.run(all_of_them()) == [
        [Verdict.AC, Verdict.RE], [Verdict.AC, Verdict.WA], [Verdict.AC, Verdict.RE]
    ]  # fmt: skip


def test_blocking_methods_work_inside_a_running_event_loop(client: SandboxClient) -> None:
    async def call() -> RunResult:
        return client.run("print(1)")

    assert asyncio.run(call()).stdout == b"1\n"


def test_a_progress_bar_is_shown_on_stderr_when_wanted(server: Any, capfd: pytest.CaptureFixture[str]) -> None:
    for progress in (False, True):
        with SandboxClient(server.url, progress=progress) as client:
            client.run_batch([("pass", "")] * 3)
        out, err = capfd.readouterr()
        assert out == ""
        assert ("3/3" in err) == progress


# --- threads, processes, ends ---


def test_many_threads_may_use_it_at_once(client: SandboxClient) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda number: client.run(f"print({number})").stdout, range(64)))
    assert found == [f"{number}\n".encode() for number in range(64)]


FORK = """
import os, sys
from sandbox.client import SandboxClient

with SandboxClient(sys.argv[1]) as client:
    assert client.run("print(1)").stdout == b"1\\n"
    child = os.fork()
    if not child:
        with client:
            assert client.run("print(2)").stdout == b"2\\n"
        os._exit(7)
    assert client.run("print(3)").stdout == b"3\\n"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert client.run("print(4)").stdout == b"4\\n"
print("done")
"""


def test_a_fork_begins_anew_and_leaves_the_parents_connections_alone(server: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, server.url], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_after_its_end_it_says_that_it_is_closed(server: Any) -> None:
    client = SandboxClient(server.url)
    assert client.run("pass").verdict is Verdict.AC
    client.close()
    client.close()
    for call in (lambda: client.run("pass"), lambda: client.judge_batch([(ADD, RIGHT)]), lambda: client.workers):
        with pytest.raises(ClosedError, match="closed; make a new one"):
            call()


def test_its_end_ends_what_is_pending(server: Any) -> None:
    client = SandboxClient(server.url)
    results = client.run_as_completed([("pass", ""), ("import time; time.sleep(2)", "")])
    next(results)
    threading.Timer(0.2, client.close).start()
    with pytest.raises(ClosedError):
        list(results)


def test_what_is_given_up_is_dropped_by_the_server(
    start_server: Any, descendants: Callable[[int], list[int]], eventually: Callable[[Callable[[], object]], None]
) -> None:
    server = start_server(workers=1)
    with SandboxClient(server.url) as client:
        results = client.run_as_completed([("pass", ""), *[("import time; time.sleep(20)", "")] * 50])
        next(results)
        results.close()  # type: ignore[attr-defined]
        began = time.monotonic()
        assert client.run("pass", limits=Limits(idle_s=60)).verdict is Verdict.AC
        assert time.monotonic() - began < 10


INTERRUPTED = """
import sys
from sandbox.client import SandboxClient

with SandboxClient(sys.argv[1]) as client:
    print("ready", flush=True)
    try:
        client.run_batch([("import time; time.sleep(2)", "")] * 1000)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def test_ctrl_c_ends_a_batch(server: Any) -> None:
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED, server.url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[0] == "interrupted\n"
    assert process.returncode == 0


def test_without_a_server_it_says_what_to_do(tmp_path: Path) -> None:
    with (
        SandboxClient(tmp_path / "none", patience_s=0.2) as client,
        pytest.raises(UnreachableError, match="qrpo-sandbox serve"),
    ):
        client.run("pass")
    assert not os.path.lexists(tmp_path / "none")


def test_it_says_that_it_waits_for_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sandbox.client.servers._SILENCE_S", 0.1)
    with SandboxClient(tmp_path / "none", patience_s=1.5) as client, pytest.raises(UnreachableError):
        client.run("pass")
    [said] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said.endswith("set QRPO_SANDBOX_SERVERS; waiting up to 1.5 s")
