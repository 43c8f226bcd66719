"""Run the corpus on this machine: no hostile program may earn anything or harm another, every honest one is AC.

Two slots or more work side by side, so that each honest program is judged beside hostile ones. After every program its
slot judges two honest ones, must be the same processes as before, and hold no other.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from containers.runtime import Runtime
from sandbox.allotment import allotment
from sandbox.checkup.corpus import ANSWERS, Program
from sandbox.errors import InfrastructureError
from sandbox.level import Level
from sandbox.limits import Limits
from sandbox.messages import definition, judge_request, judge_result, run_request, run_result
from sandbox.problem import Kind, Problem, StdioTest
from sandbox.result import JudgeResult
from sandbox.slot import Slot
from sandbox.verdict import Verdict

_PATIENCE_S = 60.0
"""A slot that has not answered by then hangs; the slowest program takes a few seconds, and machines are shared."""
_LIMITS = Limits(cpu_s=5.0, idle_s=10.0)
_WORK, _WORK_CPU_S = "for i in range(10**6): pass", 0.04
"""CPU time of that program on an ordinary machine. A slower one (emulated, say) gets CPU limits that are as much
larger, so that programs meet the limit that they are about."""
# Their answers are those that hostile programs must not get at.
_HONEST = (
    (
        Problem(id="honest function", tests=ANSWERS, entry_point="f", limits=_LIMITS),
        "def f(x):\n    return {2: 'alpha-7391', 3: ['beta', 5023], 4: {'gamma': (1, 2)}}[x]\n",
    ),
    (
        Problem(
            id="honest script", kind=Kind.STDIO, tests=(StdioTest(stdin="2\n", stdout="alpha-7391\n"),), limits=_LIMITS
        ),
        "print({2: 'alpha-7391'}[int(input())])\n",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A program that did what it must not, or an honest one that was not AC."""

    program: Program
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of all programs."""

    level: Level
    hostile: int
    """Programs that were run."""
    honest: int
    left_out: int
    """Programs that have no point at this level."""
    guards: dict[str, int]
    """Programs that were run, by the guard they test."""
    failures: tuple[Failure, ...]


def selftest(
    programs: Sequence[Program],
    runtime: Runtime,
    level: Level = Level.USERNS,
    on_done: Callable[[], None] = lambda: None,
) -> Report:
    """Run programs, slot by slot in parallel.

    Args:
        on_done: called after each program.

    Raises:
        UnsupportedHostError: a required guard is missing on this machine.
        InfrastructureError: a slot does not start.
    """
    todo = [program for program in programs if program.runs_at(level)]
    crew = _Crew(runtime, level, todo, on_done)
    try:
        crew.start(max(2, allotment().cpus))
        crew.wait()
    finally:
        crew.stop()
    return Report(
        level=level,
        hostile=sum(program.is_hostile for program in todo),
        honest=sum(not program.is_hostile for program in todo),
        left_out=len(programs) - len(todo),
        guards=dict(Counter(program.guard for program in todo)),
        failures=tuple(sorted(crew.failures, key=lambda failure: failure.program.name)),
    )


class _Crew:
    """Slots that take programs from one queue, each in a thread of its own."""

    def __init__(self, runtime: Runtime, level: Level, todo: Sequence[Program], on_done: Callable[[], None]) -> None:
        self._runtime = runtime
        self._level = level
        self._on_done = on_done
        self._waiting: queue.SimpleQueue[Program] = queue.SimpleQueue()
        for program in todo:
            self._waiting.put(program)
        self._slots: list[Slot] = []
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()
        self._broken: list[BaseException] = []
        self._slowness = 1.0
        self.failures: list[Failure] = []

    def start(self, size: int) -> None:
        """Raises as `selftest`."""
        for _ in range(size):
            self._slots.append(Slot(self._runtime, self._level))
        self._slowness = _slowness(self._slots[0])
        self._threads = [threading.Thread(target=self._work, args=(place,), daemon=True) for place in range(size)]
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Until every program was judged. Raises what kept a thread from it."""
        for thread in self._threads:
            thread.join()
        if self._broken:
            raise self._broken[0]

    def stop(self) -> None:
        """End the slots, in the midst of a program too."""
        self._stopped.set()
        for slot in self._slots:
            slot.interrupt()
        for thread in self._threads:
            thread.join()
        for slot in self._slots:
            slot.close()

    def _work(self, place: int) -> None:
        try:
            while not self._broken and not self._stopped.is_set():
                try:
                    program = self._waiting.get_nowait()
                except queue.Empty:
                    return
                why = _judge(self._slots[place], program, self._slowness)
                if why and not self._stopped.is_set():
                    self.failures.append(Failure(program=program, why=why))
                    self._slots[place].close()
                    self._slots[place] = Slot(self._runtime, self._level)
                self._on_done()
        except BaseException as error:  # noqa: BLE001 - to whoever waits: a program that was not run is no success
            self._broken.append(error)


def _slowness(slot: Slot) -> float:
    """How many times as long as an ordinary machine this one takes; at least 1."""
    answers = [slot.request(run_request(_WORK, b"", _LIMITS), timeout_s=_PATIENCE_S) for _ in range(3)]
    cpu_s = min(run_result(answer, slot.enforcement.level).cpu_s for answer in answers)
    return max(1.0, cpu_s / _WORK_CPU_S)


def _judge(slot: Slot, program: Program, slowness: float) -> str:
    """What is wrong with how the slot dealt with a program; empty where nothing is."""
    before = _processes_below(slot.pid)
    problem = replace(program.problem, limits=_scaled(program.problem.limits, slowness))
    try:
        for _ in range(program.runs):
            wrong = _verdict_is_wrong(program, _ask(slot, problem, program.code))
            if wrong:
                return wrong
        for problem, code in _HONEST:
            result = _ask(slot, problem, code)
            if result.verdict is not Verdict.AC:
                return f"the {problem.id} after it is {result.verdict.value}: {result.message}"
    except InfrastructureError as error:
        return f"its slot failed: {error}"
    left = _processes_below(slot.pid) - before - {slot.judge_pid}
    return f"processes are left: {sorted(left)}" if left else ""


def _scaled(limits: Limits, slowness: float) -> Limits:
    total = limits.total_cpu_s
    return replace(limits, cpu_s=limits.cpu_s * slowness, total_cpu_s=None if total is None else total * slowness)


def _verdict_is_wrong(program: Program, result: JudgeResult) -> str:
    expected = "/".join(sorted(verdict.value for verdict in program.expect))
    if result.verdict not in program.expect:
        return f"{result.verdict.value} where {expected} is expected: {result.message}"
    if program.is_hostile and result.passed > program.most_passed:
        return f"it passed {result.passed} of {result.total} tests"
    return ""


def _ask(slot: Slot, problem: Problem, code: str) -> JudgeResult:
    key, plain = definition(problem)
    request = judge_request(key, code, problem.limits, stop_on_first_failure=False, isolate_tests=False)
    answer = slot.request(request, plain, timeout_s=_PATIENCE_S)
    if "problem" in answer:
        raise InfrastructureError(f"the program's problem is of no use: {answer['problem']}")
    return judge_result(answer, problem, slot.enforcement.level)


def _processes_below(root: int) -> set[int]:
    """The descendants of a process, as proc(5) tells."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_bytes()
            except OSError:
                continue  # gone meanwhile
            parents[int(entry.name)] = int(stat.rpartition(b") ")[2].split()[1])
    found = {root}
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            return found - {root}
        found |= more
