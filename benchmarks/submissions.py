"""Submissions whose verdict is known, one of every kind that a stream of generated programs has."""

from __future__ import annotations

from typing import NamedTuple

from sandbox import Kind, Limits, Problem, StdioTest, Verdict

_SHORT = Limits(cpu_s=0.2, total_cpu_s=0.2, idle_s=0.2)
_SMALL = Limits(memory_bytes=128 << 20)
_TESTS = (
    "def check(candidate):\n"
    "    assert candidate([3, 1, 2]) == [1, 2, 3]\n"
    "    assert candidate([]) == []\n"
    "    for size in range(20):\n"
    "        assert candidate(list(range(size, 0, -1))) == list(range(1, size + 1))\n"
    "    assert candidate(['b', 'a']) == ['a', 'b']\n"
)
_LINES = (StdioTest(stdin="1 2\n", stdout="3\n"), StdioTest(stdin="-5 5\n", stdout="0\n"))
_ADD = "print(sum(map(int, input().split())))"


class Known(NamedTuple):
    """A submission and its verdict."""

    problem: Problem
    code: str
    verdict: Verdict


def _function(name: str, code: str, verdict: Verdict, limits: Limits | None = None) -> Known:
    problem = Problem(id=name, tests=(_TESTS,), entry_point="order", limits=limits or Limits())
    return Known(problem, code, verdict)


def _stdio(name: str, code: str, verdict: Verdict, limits: Limits | None = None) -> Known:
    problem = Problem(id=name, kind=Kind.STDIO, tests=_LINES, limits=limits or Limits())
    return Known(problem, code, verdict)


KNOWN = (
    _function("function right", "def order(values):\n    return sorted(values)", Verdict.AC),
    _function("function right in place", "def order(values):\n    values.sort()\n    return values", Verdict.AC),
    _function("function wrong", "def order(values):\n    return values", Verdict.WA),
    _function("function raises", "def order(values):\n    return sorted(values)[0]", Verdict.RE),
    _function("function leaves", "import os\ndef order(values):\n    os._exit(0)", Verdict.RE),
    _function("function spins", "def order(values):\n    while True: pass", Verdict.TLE, _SHORT),
    _function("function sleeps", "import time\ndef order(values):\n    time.sleep(100)", Verdict.TLE, _SHORT),
    _function("function is none", "def order(values)\n    return sorted(values)", Verdict.CE),
    _function("function grows", "def order(values):\n    return bytearray(1 << 30)", Verdict.MLE, _SMALL),
    _stdio("script right", _ADD, Verdict.AC),
    _stdio("script right, child stays", f"import os\nif os.fork():\n    {_ADD}\nelse:\n    os.setsid()\n    "
           "import time\n    time.sleep(100)", Verdict.AC),
    _stdio("script wrong", "print(input())", Verdict.WA),
    _stdio("script raises", f"{_ADD}\nraise ValueError", Verdict.RE),
    _stdio("script is killed", "import os\nos.kill(os.getpid(), 9)", Verdict.RE),
    _stdio("script spins", "while True: pass", Verdict.TLE, _SHORT),
    _stdio("script is none", "print(", Verdict.CE),
)  # fmt: skip
