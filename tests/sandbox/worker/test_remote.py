# ruff: noqa: E501  (a program on one line beside its test reads better than one cut in four)
"""A candidate that speaks the protocol itself: it may lose its own tests, and nothing else."""

import subprocess
import time
from collections.abc import Sequence
from typing import IO

import pytest

from containers.host import HostRuntime
from sandbox import JudgeResult, Limits, Problem, Sandbox, Verdict

AC, RE, TLE, OLE, MLE = Verdict.AC, Verdict.RE, Verdict.TLE, Verdict.OLE, Verdict.MLE
SPEAK = """
import os, struct, time
def send(body, header=b'{"ok":true,"classes":[],"same":{}}'):
    frame = header + b'\\n' + body
    raw(struct.pack('=I', len(frame)) + frame)
def raw(data):
    while data:
        data = data[os.write(3, data):]
def sleep():
    time.sleep(3600)
"""
# Small enough for a test to be quick; a loaded machine only makes the wall time longer.
LIMITS = Limits(cpu_s=1.0, idle_s=0.3)


def judge(box: Sandbox, code: str, *tests: str, prelude: str = "") -> JudgeResult:
    return box.judge(Problem(id="p", tests=tests, prelude=prelude, limits=LIMITS), SPEAK + code)


def verdicts(box: Sandbox, code: str, *tests: str) -> list[Verdict]:
    return [test.verdict for test in judge(box, code, *tests).tests]


@pytest.mark.parametrize(
    "part", ["b'\\x10'", "b'\\x10\\0\\0\\0'", "b'\\x10\\0\\0\\0{}'", "b'\\xff\\xff\\xff\\0' + bytes(300_000)"]
)
def test_an_answer_that_never_ends_is_tle_not_a_hang(box: Sandbox, part: str) -> None:
    assert verdicts(box, f"def f():\n    raw({part})\n    sleep()", "assert f() == 1") == [TLE]


def test_a_candidate_that_stops_reading_is_tle_not_a_hang(box: Sandbox) -> None:
    code = "def f(x):\n    if x == 1:\n        send(b'[[],[1]]')\n        sleep()\n    return 2"
    assert verdicts(box, code, "assert f(1) == 1", "assert f([0] * 500_000) == 2", "assert f(0) == 2") == [AC, TLE, AC]


def test_a_candidate_that_does_not_end_after_the_last_test_is_ended(box: Sandbox) -> None:
    started = time.monotonic()
    assert verdicts(box, "def f():\n    send(b'[[],[1]]')\n    sleep()", "assert f() == 1") == [AC]
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    "body",
    [
        b"", b"1", b"[]", b"[[]]", b"[[],1]", b"[[],[]]", b"[[],[1,2]]", b"[[],[1,2,3]]", b"[[],{}]", b"[5,[1]]",
        b'[[],[{"o":0}]]', b'[[],[{"h":"x"}]]', b'[[],[{"cb":0}]]', b'[[],[{"bi":"eval"}]]', b'[[],[{"bi":[]}]]',
        b'[[],[{"s":[[1]]}]]', b'[[],[{"t":{"r":[0,9000000,1]}}]]', b'[[],[{"?":1}]]', b'[[],[{"t":[],"s":[]}]]', b"\xff\n",
    ],
)  # fmt: skip
def test_a_malformed_answer_is_re_and_the_next_test_is_judged(box: Sandbox, body: bytes) -> None:
    code = f"def f(x):\n    if x:\n        send({body!r})\n        sleep()\n    return 0"
    assert verdicts(box, code, "assert f(1) == 1", "assert f(0) == 0") == [RE, AC]


@pytest.mark.parametrize(
    "header",
    [
        b"", b"1", b"[]", b"{}", b'{"ok":true}', b'{"raised":5}', b'{"raised":[]}', b'{"raised":[5],"message":1}',
        b'{"raised":["SystemExit"]}', b'{"callback":0}', b'{"callback":0,"classes":[]}', b'{"callback":"x","classes":[]}',
        b'{"ok":true,"classes":["Nobody"],"same":{}}', b'{"ok":true,"classes":5,"same":{}}', b'{"ok":true,"classes":[],"same":[]}',
        b'{"ok":true,"classes":[],"same":{"x":1}}', b'{"ok":true,"classes":["C"],"same":{"0":99}}', b"\xff", b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_malformed_header_is_re_while_judging_and_while_loading(box: Sandbox, header: bytes) -> None:
    prelude = "class C: pass"
    code = f"def f():\n    send(b'[[],[1]]', {header!r})\n    sleep()"
    assert judge(box, code, "assert f() == 1", prelude=prelude).verdict is RE
    assert judge(box, f"send(b'[[],[1]]', {header!r})\nsleep()", "assert f() == 1", prelude=prelude).verdict in {
        RE,
        TLE,
    }


@pytest.mark.parametrize("then", ["sleep()", "os._exit(0)", "os.close(3); sleep()"])
def test_an_answer_over_the_limit_is_ole_whatever_the_program_does_next(box: Sandbox, then: str) -> None:
    assert verdicts(box, f"def f():\n    raw(b'\\xff\\xff\\xff\\xff')\n    {then}", "assert f() == 1") == [OLE]


def test_an_answer_ahead_of_its_question_earns_nothing(box: Sandbox) -> None:
    code = "def f():\n    send(b'[[],[1]]')\n    send(b'[[],[2]]')\n    return 0"
    assert judge(box, code, "assert f() == 2", "assert f() == 3").passed == 0


def test_closing_the_channel_ends_the_test_only(box: Sandbox) -> None:
    code = "def f():\n    os.close(3)\n    sleep()\ndef g(): return 1"
    assert verdicts(box, code, "assert f() == 1", "assert g() == 1") == [TLE, AC]
    assert verdicts(box, code.replace("sleep()", "os._exit(0)"), "assert f() == 1", "assert g() == 1") == [RE, AC]


def test_a_fake_class_name_gets_no_other_object_of_the_judge(box: Sandbox) -> None:
    code = 'def f(c):\n    send(b\'[[[["__class__",1]]],[{"o":0}]]\', b\'{"ok":true,"classes":["C"],"same":{"0":0}}\')\n    sleep()'
    assert judge(box, code, "c = C()\nassert f(c) is c", prelude="class C: pass").verdict is RE


def test_an_object_of_a_dead_candidate_is_of_no_use(box: Sandbox) -> None:
    code = "class C:\n    n = 1\ndef die(): os._exit(0)"
    assert verdicts(box, code, "c = C()\nassert c.n == 1", "assert die()", "assert c.n == 1") == [AC, RE, AC]


def test_a_result_that_would_fill_the_judges_memory_is_mle(box: Sandbox) -> None:
    assert verdicts(box, "def f(): return 1", "assert [0] * (f() << 40)", "assert f() == 1") == [MLE, AC]


class ImpatientRuntime:
    """The host, with a judge that gives its own computations half a second."""

    preload: tuple[str, ...] = ()

    def root(self) -> dict[str, object]:
        return HostRuntime().root()

    def inside(self, folder: str) -> str:
        return folder

    def start(
        self, program: Sequence[str], descriptor: int, log: IO[bytes], folders: Sequence[str]
    ) -> subprocess.Popen[bytes]:
        flag, boot = program
        boot = boot.replace("main()", "import worker.function_judge as judge; judge._MIN_CPU_S = 0.5; main()")
        return HostRuntime().start([flag, boot], descriptor, log, folders)


def test_a_result_that_keeps_the_judge_busy_is_tle() -> None:
    limits = Limits(cpu_s=0.5)
    in_python = "for x in range(f() << 60):\n    assert x >= 0"
    in_c = "assert sum(range(f() << 60)) == 1"
    with Sandbox(workers=1, runtime=ImpatientRuntime()) as box:
        problem = Problem(id="p", tests=("assert f() == 1", in_python, "assert f() == 1"), limits=limits)
        assert [test.verdict for test in box.judge(problem, "def f(): return 1").tests] == [AC, TLE, AC]
        problem = Problem(id="c", tests=("assert f() == 1", in_c), limits=limits)
        result = box.judge(problem, "def f(): return 1")
        assert [test.verdict for test in result.tests] == [TLE, TLE]  # the judge is gone, with what it had found
        assert "kept the judge busy" in result.message
