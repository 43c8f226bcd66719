import asyncio
import dataclasses
import errno
import gc
import inspect
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import ref

import pytest

from containers.host import HostRuntime, MissingPackageError
from sandbox import (
    ClosedError,
    InfrastructureError,
    JudgeResult,
    Kind,
    Limits,
    Problem,
    ProblemError,
    RunResult,
    Sandbox,
    StdioTest,
    Verdict,
)
from sandbox.messages import Message
from sandbox.slot import Slot

ADD = Problem(id="add", tests=("assert f(1, 2) == 3", "assert f(-1, 1) == 0"))
ECHO = Problem(id="echo", kind=Kind.STDIO, tests=(StdioTest(stdin="a", stdout="a"),))
RIGHT = "def f(a, b): return a + b"
WRONG = "def f(a, b): return a * b"
SLEEP = "import time\ntime.sleep(3600)"
PATIENT = Limits(idle_s=600)

Descendants = Callable[[int], list[int]]
IsAlive = Callable[[int], bool]
Eventually = Callable[[Callable[[], object]], None]


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(workers=2) as sandbox:
        yield sandbox


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """What the slots answer, as they do."""
    found: list[Message] = []
    request = Slot.request

    def noted(*arguments: Any) -> Message:
        found.append(request(*arguments))
        return found[-1]

    monkeypatch.setattr(Slot, "request", noted)
    return found


def slow(result: int, seconds: float = 0.2) -> str:
    return f"import time\ndef f(a, b):\n    time.sleep({seconds})\n    return {result}"


def expecting(result: int) -> Problem:
    return Problem(id=f"expecting {result}", tests=(f"assert f(1, 2) == {result}",))


# --- results ---


def test_a_result_tells_everything(box: Sandbox) -> None:
    result = box.judge(ADD, WRONG)
    assert (result.verdict, result.passed, result.total, result.pass_rate) == (Verdict.WA, 0, 2, 0.0)
    assert [test.verdict for test in result.tests] == [Verdict.WA, Verdict.WA]
    assert result.message == "the assertion failed"
    assert result.enforcement == box.enforcement.level == "userns"
    assert result.tamper_proof
    assert 0 < result.cpu_s < 10
    assert result.wall_s == sum(test.wall_s for test in result.tests) > 0
    assert result.peak_memory_bytes > 1 << 20


def test_no_code_is_a_verdict_with_the_right_total(box: Sandbox) -> None:
    for problem in (ADD, ECHO):
        result = box.judge(problem, None)
        assert (result.verdict, result.passed, result.total, result.tests) == (
            Verdict.NO_CODE,
            0,
            len(problem.tests),
            (),
        )
        assert result.message
    two_in_one = Problem(id="p", tests=("x = 1\nassert f(x)\nassert f(2)",))
    assert box.judge(two_in_one, None).total == 2


def test_an_empty_program_is_judged(box: Sandbox) -> None:
    assert box.judge(ADD, "").verdict is Verdict.RE


def test_a_batch_keeps_the_order_of_its_input(box: Sandbox) -> None:
    submissions = [(expecting(0), slow(0, 0.3)), (ADD, RIGHT), (ADD, None), (ADD, WRONG), (ECHO, "print(input())")] * 3
    verdicts = [result.verdict for result in box.judge_batch(submissions)]
    assert verdicts == [Verdict.AC, Verdict.AC, Verdict.NO_CODE, Verdict.WA, Verdict.AC] * 3


def test_results_come_as_they_finish_with_their_index(box: Sandbox) -> None:
    submissions = [(expecting(0), slow(0, 1.0)), (expecting(1), slow(1, 0.0)), (expecting(2), slow(2, 0.0))]
    found = list(box.judge_as_completed(submissions))
    assert sorted(index for index, _ in found) == [0, 1, 2]
    assert found[-1][0] == 0
    assert all(result.verdict is Verdict.AC for _, result in found)


def test_batches_may_be_empty_and_may_be_larger_than_the_queue(box: Sandbox) -> None:
    assert box.judge_batch([]) == []
    many = ((expecting(number), f"def f(a, b): return {number}") for number in range(100))
    assert [result.verdict for result in box.judge_batch(many)] == [Verdict.AC] * 100


def test_submissions_are_read_as_slots_get_free(box: Sandbox) -> None:
    taken = []

    def submissions() -> Iterator[tuple[Problem, str]]:
        for number in range(1000):
            taken.append(number)
            yield ADD, RIGHT

    results = box.judge_as_completed(submissions())
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(taken) <= 2 * 4 + 1  # four a slot


def test_runs_come_in_batches_too(box: Sandbox) -> None:
    programs: list[tuple[str, str | bytes]] = [
        ("import time\ntime.sleep(0.5)\nprint(input())", "0"),
        ("print(input())", b"1"),
        ("1 / 0", ""),
    ]
    assert [run.stdout for run in box.run_batch(programs)] == [b"0\n", b"1\n", b""]
    found = list(box.run_as_completed(iter(programs)))
    assert sorted(index for index, _ in found) == [0, 1, 2]
    assert found[-1][0] == 0
    assert [run.verdict for run in box.run_batch([("while True: pass", "")] * 2, Limits(cpu_s=0.1))] == [
        Verdict.TLE
    ] * 2
    assert box.run_batch([]) == []


def test_options_reach_the_judge(box: Sandbox) -> None:
    stopped = box.judge_batch([(ADD, WRONG)], stop_on_first_failure=True)[0]
    assert [test.verdict for test in stopped.tests] == [Verdict.WA, Verdict.SKIPPED]
    counting = "n = []\ndef f(a, b):\n    n.append(a)\n    return len(n)"
    problem = Problem(id="n", tests=("assert f(1, 1) == 1", "assert f(1, 1) == 1"))
    assert [box.judge(problem, counting, isolate=mode).passed for mode in ("submission", "test")] == [1, 2]


def test_a_problem_that_is_no_python_raises_and_leaves_the_sandbox_usable(box: Sandbox) -> None:
    bad = Problem(id="bad", tests=("assert f(",))
    for code in (RIGHT, RIGHT, None):
        with pytest.raises(ProblemError, match="does not compile"):
            box.judge(bad, code)
    with pytest.raises(ProblemError):
        box.judge_batch([(ADD, RIGHT)] * 5 + [(bad, RIGHT)] + [(ADD, RIGHT)] * 5)
    assert box.judge(ADD, RIGHT).verdict is Verdict.AC


def test_the_error_of_a_problem_names_it(box: Sandbox) -> None:
    check = "def check(candidate):\n    assert candidate(1, 2) == 3"
    for fields in (
        {"tests": ("x = 1",)},
        {"tests": ("assert f() == 1",), "prelude": "1 / 0"},
        {"tests": (check,), "entry_point": "f("},
        {"tests": (check,)},
    ):
        for code in (RIGHT, "raise SystemExit"):
            with pytest.raises(ProblemError, match=r"^problem 'task/7': ") as caught:
                box.judge(Problem(id="task/7", **fields), code)
            assert caught.value.problem_id == "task/7"


def test_an_error_in_the_callers_iterator_is_the_callers(box: Sandbox) -> None:
    def submissions() -> Iterator[tuple[Problem, str]]:
        yield ADD, RIGHT
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        box.judge_batch(submissions())
    assert box.judge(ADD, RIGHT).verdict is Verdict.AC


def test_problems_with_equal_ids_and_different_tests_are_different(box: Sandbox) -> None:
    for result in range(5):
        problem = Problem(id="same", tests=(f"assert f(1, 2) == {result}",))
        assert box.judge(problem, f"def f(a, b): return {result}").verdict is Verdict.AC


def test_limits_belong_to_the_problem_and_not_to_its_tests(box: Sandbox) -> None:
    code = "def f(a, b):\n    while True: pass"
    for cpu_s in (0.1, 0.2):
        problem = Problem(id="loop", tests=("assert f(1, 2) == 3",), limits=Limits(cpu_s=cpu_s))
        result = box.judge(problem, code)
        assert result.verdict is Verdict.TLE
        assert cpu_s < result.cpu_s


# --- many callers ---


def test_many_threads_may_use_one_sandbox(box: Sandbox) -> None:
    def work(number: int) -> bool:
        judged = box.judge(expecting(number), f"def f(a, b): return {number}")
        ran = box.run(f"print({number} + int(input()))", "1")
        return judged.verdict is Verdict.AC and ran.stdout == f"{number + 1}\n".encode()

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(work, range(100)))


def test_every_method_that_waits_for_results_has_an_async_twin_with_the_same_parameters() -> None:
    methods = {name: value for name, value in vars(Sandbox).items() if inspect.isfunction(value) and name[0] != "_"}
    methods = {name: value for name, value in methods.items() if not name.startswith("submit")}
    twins = {name for name in methods if name.endswith("_async")}
    assert twins == {f"{name}_async" for name in methods.keys() - twins}
    for twin in twins:
        parameters = inspect.signature(methods[twin.removesuffix("_async")]).parameters
        assert inspect.signature(methods[twin]).parameters == parameters


def test_the_async_variants_of_runs_give_the_same() -> None:
    programs: list[tuple[str, str | bytes]] = [("print(input())", str(number)) for number in range(20)]

    async def main(box: Sandbox) -> tuple[list[RunResult], dict[int, RunResult]]:
        batch = await box.run_batch_async(programs)
        found = {index: run async for index, run in box.run_as_completed_async(programs)}
        await box.close_async()
        with pytest.raises(ClosedError):
            box.run("")
        return batch, found

    batch, found = asyncio.run(main(Sandbox(workers=2)))
    assert [run.stdout for run in batch] == [f"{number}\n".encode() for number in range(20)]
    assert {index: run.stdout for index, run in found.items()} == {n: run.stdout for n, run in enumerate(batch)}


def test_the_async_variants_give_the_same(box: Sandbox) -> None:
    async def main() -> tuple[RunResult, JudgeResult, list[JudgeResult], list[int]]:
        as_completed = [index async for index, _ in box.judge_as_completed_async([(ADD, RIGHT)] * 3)]
        ran, judged, batch = await asyncio.gather(
            box.run_async("print(input())", "hi"),
            box.judge_async(ADD, WRONG, stop_on_first_failure=True),
            box.judge_batch_async([(ADD, RIGHT), (ADD, None), (ADD, WRONG)], isolate="test"),
        )
        return ran, judged, batch, as_completed

    ran, judged, batch, as_completed = asyncio.run(main())
    assert ran.stdout == b"hi\n"
    assert [test.verdict for test in judged.tests] == [Verdict.WA, Verdict.SKIPPED]
    assert [result.verdict for result in batch] == [Verdict.AC, Verdict.NO_CODE, Verdict.WA]
    assert sorted(as_completed) == [0, 1, 2]


def test_the_event_loop_goes_on_while_programs_run(box: Sandbox) -> None:
    async def main() -> int:
        beats = 0
        running = [asyncio.create_task(box.run_async("import time\ntime.sleep(0.3)")) for _ in range(12)]
        while not all(task.done() for task in running):
            await asyncio.sleep(0.01)
            beats += 1
        return beats

    assert asyncio.run(main()) > 10


def test_async_errors_are_raised_where_they_are_awaited(box: Sandbox) -> None:
    with pytest.raises(ProblemError):
        asyncio.run(box.judge_async(Problem(id="bad", tests=("x = 1",)), RIGHT))
    with pytest.raises(ValueError, match="isolate"):
        asyncio.run(box.judge_async(ADD, RIGHT, isolate="none"))  # type: ignore[arg-type]


# --- arguments ---


def test_arguments_are_checked() -> None:
    for workers in (0, -1):
        with pytest.raises(ValueError, match=f"workers is {workers}"):
            Sandbox(workers=workers)
    with pytest.raises(MissingPackageError, match="'no_such_package' is not installed"):
        Sandbox(workers=1, packages=["no_such_package"])


def test_isolate_is_checked(box: Sandbox) -> None:
    with pytest.raises(ValueError, match="isolate is 'process'; it must be 'submission' or 'test'"):
        box.judge(ADD, RIGHT, isolate="process")  # type: ignore[arg-type]


def test_only_the_named_packages_can_be_imported(box: Sandbox) -> None:
    code = "import {}"
    assert box.run(code.format("numpy")).verdict is Verdict.AC
    assert b"No module named 'pytest'" in box.run(code.format("pytest")).stderr
    with Sandbox(workers=1, packages=()) as bare:
        assert b"No module named 'numpy'" in bare.run(code.format("numpy")).stderr


# --- cancellation and closing ---


def test_a_generator_that_is_left_early_takes_back_what_has_not_started() -> None:
    with Sandbox(workers=1) as box:
        results = box.judge_as_completed([(ADD, RIGHT)] + [(expecting(0), slow(0, 3600))] * 3)
        assert next(results)[0] == 0
        running = time.monotonic()
        results.close()  # type: ignore[attr-defined]
        assert time.monotonic() - running < 30


def test_a_cancelled_task_that_has_not_started_never_runs() -> None:
    async def main(box: Sandbox) -> None:
        blocking = asyncio.create_task(box.run_async("import time\ntime.sleep(0.5)", limits=PATIENT))
        await asyncio.sleep(0.2)
        waiting = [asyncio.create_task(box.run_async(SLEEP, limits=PATIENT)) for _ in range(3)]
        await asyncio.sleep(0.1)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert (await blocking).verdict is Verdict.AC
        assert (await box.run_async("print(1)")).stdout == b"1\n"  # it would wait for ten minutes

    with Sandbox(workers=1) as box:
        asyncio.run(main(box))


def test_a_closed_sandbox_refuses(box: Sandbox) -> None:
    closed = Sandbox(workers=1)
    closed.close()
    closed.close()
    for use in (
        lambda: closed.run("print(1)"),
        lambda: closed.judge(ADD, RIGHT),
        lambda: closed.judge_batch([(ADD, RIGHT)]),
        lambda: asyncio.run(closed.judge_async(ADD, RIGHT)),
    ):
        with pytest.raises(ClosedError):
            use()
    assert box.judge(ADD, RIGHT).verdict is Verdict.AC


def test_closing_fails_what_runs_and_what_waits(
    descendants: Descendants, eventually: Eventually, is_alive: IsAlive
) -> None:
    box = Sandbox(workers=1)
    pid = box._crew._slots[0]._process.pid
    idle = len(descendants(pid))
    errors: list[BaseException] = []

    def use() -> None:
        try:
            box.run(SLEEP, limits=PATIENT)
        except Exception as error:  # noqa: BLE001 - looked at below
            errors.append(error)

    threads = [threading.Thread(target=use) for _ in range(10)]  # more than run and queue
    for thread in threads:
        thread.start()
    eventually(lambda: len(descendants(pid)) > idle)
    box.close()
    for thread in threads:
        thread.join(timeout=30)
    assert [type(error) for error in errors] == [ClosedError] * 10
    assert not is_alive(pid)


def test_no_process_is_left_after_closing(descendants: Descendants, is_alive: IsAlive) -> None:
    with Sandbox(workers=2) as box:
        box.judge_batch([(ADD, RIGHT)] * 8)
        pids = [slot._process.pid for slot in box._crew._slots.values()]
        family = [*pids, *(pid for parent in pids for pid in descendants(parent))]
        assert len(family) >= 3 * len(pids)
    assert list(filter(is_alive, family)) == []


@pytest.mark.parametrize("end", ["pass", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"])
@pytest.mark.parametrize(
    "busy", ["", "threading.Thread(target=box.judge, args=(p, code), daemon=True).start(); time.sleep(0.5)"]
)
def test_nothing_outlives_a_caller_that_never_closed(
    end: str, busy: str, eventually: Eventually, descendants: Descendants, is_alive: IsAlive
) -> None:
    script = f"""
import sys, threading, time
from sandbox import Limits, Problem, Sandbox
box = Sandbox(workers=1)
p = Problem(id="p", tests=("assert f()",), limits=Limits(idle_s=600))
code = "import time\\ndef f(): time.sleep(3600)"
{busy}
print(box._crew._slots[0]._process.pid, flush=True)
sys.stdin.read()
{end}
"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        pid = int(caller.stdout.readline())
        family = [pid, *descendants(pid)]
        assert len(family) >= 3
        caller.communicate()
    eventually(lambda: not any(map(is_alive, family)))


# --- failures of the host ---


def test_a_slot_that_dies_in_the_middle_is_replaced_and_the_result_is_right(
    descendants: Descendants, eventually: Eventually, is_alive: IsAlive
) -> None:
    with Sandbox(workers=1) as box, ThreadPoolExecutor(1) as thread:
        for victim in (0, 1):  # the broker, then the zygote
            pid = box._crew._slots[0]._process.pid
            idle = len(descendants(pid))
            pending = thread.submit(box.judge, expecting(7), slow(7, 0.5))
            eventually(lambda pid=pid, idle=idle: len(descendants(pid)) > idle)  # type: ignore[misc]
            os.kill(descendants(pid)[victim], signal.SIGKILL)
            assert pending.result(timeout=60).verdict is Verdict.AC
            assert box._crew._slots[0]._process.pid != pid
            assert not is_alive(pid)


def test_a_slot_that_died_while_idle_is_replaced(descendants: Descendants) -> None:
    with Sandbox(workers=1) as box:
        os.kill(descendants(box._crew._slots[0]._process.pid)[0], signal.SIGKILL)
        assert box.judge(ADD, RIGHT).verdict is Verdict.AC
        os.kill(box._crew._slots[0]._process.pid, signal.SIGKILL)
        assert box.run("print(1)").stdout == b"1\n"


def test_one_slot_that_dies_does_not_disturb_the_others(
    descendants: Descendants, eventually: Callable[[Callable[[], object]], None]
) -> None:
    with Sandbox(workers=2) as box:
        box.judge_batch([(expecting(0), slow(0, 0.2))] * 4)
        eventually(lambda: len(box._crew._slots) == 2)
        submissions = [(expecting(number % 5), slow(number % 5, 0.05)) for number in range(30)]
        results = []
        for done, (_, result) in enumerate(box.judge_as_completed(submissions)):
            results.append(result.verdict)
            if done in (5, 15):
                os.kill(descendants(box._crew._slots[done % 2]._process.pid)[0], signal.SIGKILL)
        assert results == [Verdict.AC] * 30


class ShortOfProcesses(HostRuntime):
    """A host on which starting a slot fails as often as `refusals` says."""

    refusals = 0

    def start(self, *arguments: Any) -> subprocess.Popen[bytes]:
        if type(self).refusals > 0:
            type(self).refusals -= 1
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return super().start(*arguments)


def test_a_slot_that_cannot_be_replaced_at_once_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(workers=1, runtime=ShortOfProcesses()) as box:
        monkeypatch.setattr(ShortOfProcesses, "refusals", 5)
        os.kill(box._crew._slots[0]._process.pid, signal.SIGKILL)
        assert box.judge(ADD, RIGHT).verdict is Verdict.AC


def test_a_host_that_goes_on_failing_is_told_with_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.crew._PATIENCE_S", 0.0)
    with Sandbox(workers=1, runtime=ShortOfProcesses()) as box:
        monkeypatch.setattr(ShortOfProcesses, "refusals", 2)
        os.kill(box._crew._slots[0]._process.pid, signal.SIGKILL)
        with pytest.raises(InfrastructureError, match=r"3 times, .*could not be started: .*temporarily unavailable"):
            box.judge(ADD, RIGHT)
        assert box.judge(ADD, RIGHT).verdict is Verdict.AC


@pytest.mark.parametrize("role", ["first process", "broker", "zygote"])
def test_a_slot_that_somebody_stops_is_replaced(descendants: Descendants, role: str) -> None:
    with Sandbox(workers=1) as box:
        slot = box._crew._slots[0].pid
        place = {"first process": 0, "broker": 1, "zygote": 2}[role]
        pid = [slot, *descendants(slot)][place]
        os.kill(pid, signal.SIGSTOP)
        assert box.judge(ADD, RIGHT).verdict is Verdict.AC
        if role != "first process":  # which the others do not need
            assert box._crew._slots[0].pid != slot


def test_a_judge_that_somebody_stops_is_replaced(descendants: Descendants, eventually: Eventually) -> None:
    with Sandbox(workers=1) as box, ThreadPoolExecutor(1) as caller:
        box.judge(ADD, RIGHT)
        slot = box._crew._slots[0].pid
        before = len(descendants(slot))
        answer = caller.submit(box.judge, expecting(0), slow(0, 1.0))
        eventually(lambda: len(descendants(slot)) > before)
        judge = descendants(slot)[2]
        os.kill(judge, signal.SIGSTOP)
        assert answer.result().verdict is Verdict.AC


def test_a_program_that_stops_itself_is_no_matter_of_the_host() -> None:
    with Sandbox(workers=1) as box:
        slot = box._crew._slots[0].pid
        result = box.run("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", limits=Limits(idle_s=1.5))
        assert (result.verdict, box._crew._slots[0].pid) == (Verdict.TLE, slot)


def test_what_uses_a_little_more_than_its_time_is_too_late() -> None:
    slow_once = (
        "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\nprint('done')"
    )
    with Sandbox(workers=2) as box:
        late = box.run(slow_once.format(seconds=1.1), limits=Limits(cpu_s=1))
        in_time = box.run(slow_once.format(seconds=0.9), limits=Limits(cpu_s=1))
    assert (late.verdict, in_time.verdict) == (Verdict.TLE, Verdict.AC)


def test_a_late_program_runs_twice_and_the_second_run_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Message] = []
    request = Slot.request

    def late_the_first_time(self: Slot, message: Message, *rest: Any) -> Message:
        seen.append(message)
        return request(self, message, *rest) | {"is_late": len(seen) == 1, "exit_code": len(seen)}

    monkeypatch.setattr(Slot, "request", late_the_first_time)
    with Sandbox(workers=2) as box:
        assert box.run("", limits=Limits(cpu_s=2)).exit_code == 2
    assert [message["limits"]["cpu_s"] for message in seen] == [2.5, 2]


def test_a_host_that_cannot_start_the_first_slot_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ShortOfProcesses, "refusals", 1)
    with pytest.raises(InfrastructureError, match="could not be started"):
        Sandbox(workers=1, runtime=ShortOfProcesses())


def test_a_program_draws_the_same_random_numbers_in_every_run() -> None:
    with Sandbox(workers=1) as box:
        drawn = {box.run("import random; print(random.random())").stdout for _ in range(3)}
    assert len(drawn) == 1


def test_a_program_does_not_draw_what_its_tests_draw() -> None:
    problem = Problem(id="draw", tests=("import random\nassert f() != random.random()",))
    with Sandbox(workers=1) as box:
        assert box.judge(problem, "import random\ndef f():\n    return random.random()").verdict is Verdict.AC


def test_a_fork_of_a_program_draws_other_numbers_than_its_parent() -> None:
    code = (
        "import os, random\n"
        "r, w = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.write(w, repr(random.random()).encode())\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "print(os.read(r, 99).decode() != repr(random.random()))"
    )
    with Sandbox(workers=1) as box:
        assert box.run(code).stdout == b"True\n"


BUSY = "import time\nend = time.process_time() + 0.55\nwhile time.process_time() < end: pass\n"
BUSY_FUNCTION = (
    "def f(n):\n    if n == 1:\n" + "".join(f"        {line}\n" for line in BUSY.splitlines()) + "    return n"
)
HALF_A_SECOND = Limits(cpu_s=0.5)
LATE = {
    "a script": (Problem(id="s", kind=Kind.STDIO, tests=(StdioTest(stdin="", stdout=""),), limits=HALF_A_SECOND), BUSY),
    "the first of two calls": (
        Problem(id="f", tests=("assert f(1) == 1", "assert f(2) == 2"), limits=HALF_A_SECOND),
        BUSY_FUNCTION,
    ),
    "the last of two calls": (
        Problem(id="l", tests=("assert f(2) == 2", "assert f(1) == 1"), limits=HALF_A_SECOND),
        BUSY_FUNCTION,
    ),
    "all calls together": (
        Problem(id="t", tests=("assert f(1) == 1", "assert f(1) == 1"), limits=Limits(cpu_s=0.9, total_cpu_s=1.0)),
        BUSY_FUNCTION,
    ),
    "the last of two shared tests": (
        Problem(id="u", kind=Kind.SHARED, tests=("assert f(2) == 2", "assert f(1) == 1"), limits=HALF_A_SECOND),
        BUSY_FUNCTION,
    ),
    "all shared tests together": (
        Problem(
            id="v",
            kind=Kind.SHARED,
            tests=("assert f(1) == 1", "assert f(1) == 1"),
            limits=Limits(cpu_s=0.9, total_cpu_s=1.0),
        ),
        BUSY_FUNCTION,
    ),
}


@pytest.mark.parametrize("what", LATE)
def test_a_submission_is_judged_again_for(answers: list[Message], what: str) -> None:
    with Sandbox(workers=1) as box:
        assert box.judge(*LATE[what]).verdict is Verdict.TLE
    assert {test[0] for test in answers[0]["tests"]} == {"AC"}
    assert [answer["is_late"] for answer in answers] == [True, False]  # then its time has ended it
    answers.clear()
    quick = LATE[what][1].replace("0.55", "0.01")
    with Sandbox(workers=1) as box:
        assert box.judge(LATE[what][0], quick).verdict is Verdict.AC
    assert [answer["is_late"] for answer in answers] == [False]


def test_a_judge_goes_on_where_tests_leave_nothing(descendants: Descendants) -> None:
    with Sandbox(workers=1) as box:
        judges = []
        for code in (RIGHT, WRONG, RIGHT):
            box.judge(ADD, code)
            judges.append(descendants(box._crew._slots[0].pid)[2:])
        assert judges[0] == judges[1] == judges[2] != []
        box.judge(expecting(3), RIGHT)
        assert descendants(box._crew._slots[0].pid)[2:] != judges[0]


def test_tests_find_nothing_of_those_before_them() -> None:
    code = "import math\nassert not hasattr(math, 'seen')\nmath.seen = f()\nassert math.seen == 1"
    with Sandbox(workers=1) as box:
        problem = Problem(id="seen", tests=(code,))
        assert [box.judge(problem, "def f(): return 1").verdict for _ in range(3)] == [Verdict.AC] * 3


def test_a_judge_that_has_become_large_does_not_go_on(descendants: Descendants, eventually: Eventually) -> None:
    problem = Problem(id="large", tests=("assert len(f()) == 1500000",))
    with Sandbox(workers=1) as box:
        assert box.judge(problem, "def f(): return [10**6] * 1500000").verdict is Verdict.AC
        eventually(lambda: len(descendants(box._crew._slots[0].pid)) == 2)


def test_an_idle_judge_that_is_killed_is_replaced(descendants: Descendants) -> None:
    with Sandbox(workers=1) as box:
        box.judge(ADD, RIGHT)
        os.kill(descendants(box._crew._slots[0].pid)[2], signal.SIGKILL)
        assert box.judge(ADD, RIGHT).verdict is Verdict.AC


ENDLESS = {
    "a script": (Problem(id="s", kind=Kind.STDIO, tests=(StdioTest(stdin="", stdout=""),) * 2), "while True: pass"),
    "a call": (Problem(id="f", tests=("assert f() == 1",) * 2), "def f():\n    while True: pass"),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_goes_on_for_ever_is_not_judged_again(answers: list[Message], what: str) -> None:
    problem, code = ENDLESS[what]
    limits = Limits(cpu_s=0.3, total_cpu_s=0.4)
    with Sandbox(workers=1) as box:
        assert box.judge(dataclasses.replace(problem, limits=limits), code).verdict is Verdict.TLE
    assert [answer["is_late"] for answer in answers] == [False]


def test_what_is_no_text_is_the_callers_error(box: Sandbox) -> None:
    with pytest.raises(TypeError, match="code is b'pass'; it must be text"):
        box.run(b"pass")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="stdin is 5; it must be text or bytes"):
        box.run("pass", stdin=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="code is 5; it must be text"):
        box.judge(ADD, 5)  # type: ignore[arg-type]


def test_a_sandbox_does_not_keep_problems_alive(eventually: Callable[[Callable[[], object]], None]) -> None:
    with Sandbox(workers=1) as own:
        problem = Problem(id="p", tests=("assert f() == 1",))
        alive = ref(problem)
        assert own.judge(problem, "def f(): return 1").verdict is Verdict.AC
        del problem
        eventually(lambda: gc.collect() is not None and alive() is None)
