"""What the pool and a slot's broker say to each other: plain dicts, made of our types and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from sandbox.checker import Checker
from sandbox.limits import Limits
from sandbox.problem import Kind, Problem, StdioTest
from sandbox.result import JudgeResult, RunResult, TestResult
from sandbox.surroundings import NOTHING, Surroundings
from sandbox.syntax import count_tests
from sandbox.verdict import Verdict, strongest
from sandbox.worker.languages import PYTHON

Message = dict[str, Any]
_GRACE = 1.25
"""So far past its time a program may go on when others run beside it, which slow it down by what they share: caches,
memory, the other thread of a core. Where it ends in between it is run again, alone, and then its time is its time."""


def run_request(
    code: str,
    stdin: str | bytes,
    limits: Limits,
    language: str = PYTHON,
    surroundings: Surroundings = NOTHING,
) -> Message:
    """Asks for a run."""
    return {
        "op": "run",
        "language": language,
        "code": code,
        "stdin": stdin.encode("utf-8", "surrogateescape") if isinstance(stdin, str) else stdin,
        "limits": _plain_limits(limits),
        "arguments": surroundings.arguments,
        "files": dict(surroundings.files),
        "fetch": surroundings.fetch,
    }


def judge_request(
    key: str, code: str, limits: Limits, *, stop_on_first_failure: bool, isolate_tests: bool, language: str = PYTHON
) -> Message:
    """Asks for a judging by the problem of this key."""
    return {
        "op": "judge",
        "key": key,
        "language": language,
        "code": code,
        "limits": _plain_limits(limits),
        "stop_on_first_failure": stop_on_first_failure,
        "isolate_tests": isolate_tests,
    }


def alone(request: Message) -> Message:
    """The same request for when nothing else runs: what is late then is too late."""
    limits = request["limits"]
    due = {"cpu_s": limits["due_cpu_s"], "total_cpu_s": limits["due_total_cpu_s"]}
    return {**request, "limits": {**limits, **due}}


def definition(problem: Problem) -> tuple[str, Message]:
    """A problem's key, which is a hash of what it is judged by, and its plain form."""
    tests = [(test.stdin, test.stdout) if isinstance(test, StdioTest) else test for test in problem.tests]
    plain = {
        "kind": problem.kind.value,
        "prelude": problem.prelude,
        "tests": tests,
        "entry_point": problem.entry_point,
        "checker": None if problem.checker is None else _plain_checker(problem.checker),
    }
    return hashlib.blake2b(repr(plain).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest(), plain


def run_result(answer: Message, level: str) -> RunResult:
    """The answer to a `run_request`."""
    return RunResult(
        verdict=Verdict(answer["verdict"]),
        stdout=answer["stdout"],
        stderr=answer["stderr"],
        exit_code=answer["exit_code"],
        signal=answer["signal"],
        files=answer["files"],
        message=answer["message"],
        cpu_s=answer["cpu_ns"] / 1e9,
        wall_s=answer["wall_ns"] / 1e9,
        peak_memory_bytes=answer["peak_bytes"],
        enforcement=level,
    )


def judge_result(answer: Message, problem: Problem, level: str) -> JudgeResult:
    """The answer to a `judge_request` for this problem."""
    tests = tuple(
        TestResult(verdict=Verdict(verdict), message=message, wall_s=test_wall_s)
        for verdict, message, test_wall_s in answer["tests"]
    )
    return JudgeResult(
        verdict=strongest(test.verdict for test in tests),
        passed=sum(test.verdict is Verdict.AC for test in tests),
        total=len(tests),
        tests=tests,
        message=next((test.message for test in tests if test.verdict is not Verdict.AC), ""),
        cpu_s=answer["cpu_ns"] / 1e9,
        wall_s=sum(test.wall_s for test in tests),
        peak_memory_bytes=answer["peak_bytes"],
        enforcement=level,
        tamper_proof=problem.kind is not Kind.SHARED,
    )


def no_code_result(problem: Problem, level: str) -> JudgeResult:
    """What a completion without a program gets, of which no slot is asked.

    Raises:
        ProblemError: the tests are of no use.
    """
    return _not_judged(problem, level, Verdict.NO_CODE, "the completion holds no code")


def host_failed_result(problem: Problem, level: str, message: str) -> JudgeResult:
    """What a submission gets that the host failed: it says nothing about the program."""
    return _not_judged(problem, level, Verdict.IE, message)


def _not_judged(problem: Problem, level: str, verdict: Verdict, message: str) -> JudgeResult:
    return JudgeResult(
        verdict=verdict,
        passed=0,
        total=count_tests(problem),
        tests=(),
        message=message,
        cpu_s=0.0,
        wall_s=0.0,
        peak_memory_bytes=0,
        enforcement=level,
        tamper_proof=problem.kind is not Kind.SHARED,
    )


def _plain_checker(checker: Checker) -> dict[str, Any]:
    return {**asdict(checker), "compare": checker.compare.value, "order": checker.order.value}


@lru_cache(maxsize=256)  # a fifth of what a run costs the caller's process
def _plain_limits(limits: Limits) -> Mapping[str, Any]:
    plain = asdict(limits)
    if plain["total_cpu_s"] is None:
        plain["total_cpu_s"] = 10 * limits.cpu_s
    plain["due_cpu_s"], plain["due_total_cpu_s"] = plain["cpu_s"], plain["total_cpu_s"]
    plain["cpu_s"] *= _GRACE
    plain["total_cpu_s"] *= _GRACE
    return plain
