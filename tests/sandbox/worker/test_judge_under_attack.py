"""What a program returns must neither bring the judge down, nor keep it busy, nor read its memory."""

import sys

import pytest

from sandbox import Limits, Problem, ProblemError, Sandbox, Verdict

HONEST = Problem(id="honest", entry_point="f", tests=("assert f() == 1",))


def assert_slot_is_well(box: Sandbox) -> None:
    """The next submission in the same slot is judged rightly."""
    assert box.judge(HONEST, "def f(): return 1").verdict is Verdict.AC


def test_numpy_reads_no_address_that_a_program_names(box: Sandbox) -> None:
    code = """
class X:
    @property
    def __array_interface__(self):
        return {"shape": (4,), "typestr": "<f8", "data": (4096, False), "version": 3}
def f(): return X()
"""
    problem = Problem(
        id="array", entry_point="f", tests=("import numpy as np\nassert np.allclose(f(), [1.0, 2.0, 3.0, 4.0])",)
    )
    assert box.judge(problem, code).verdict in (Verdict.RE, Verdict.WA)
    assert_slot_is_well(box)


def test_a_crash_of_the_test_code_is_the_programs_re_and_no_failure_of_the_host(box: Sandbox) -> None:
    test = "import ctypes\nassert ctypes.string_at(f()) == b''"
    result = box.judge(Problem(id="crash", entry_point="f", tests=(test, "assert f()")), "def f(): return 4096")
    assert result.verdict is Verdict.RE
    assert (result.passed, result.total) == (0, 2)
    assert_slot_is_well(box)


def test_time_the_judge_spends_on_what_a_program_returns_is_charged(box: Sandbox) -> None:
    """Keys that collide: each test costs the judge seconds, the program nothing."""
    code = "def f(): return {i * (2**61 - 1) for i in range(12000)}"
    limits = Limits(cpu_s=1, total_cpu_s=1)
    problem = Problem(id="collide", entry_point="f", tests=("assert f() == 1",) * 40, limits=limits)
    result = box.judge(problem, code)
    assert result.verdict is Verdict.TLE
    assert result.tests[-1].message == "time limit over all tests exceeded"
    assert_slot_is_well(box)


def test_memory_that_an_answer_takes_in_the_judge_is_bounded(box: Sandbox) -> None:
    """A few bytes of JSON that become gigabytes of fixed-width strings."""
    code = "import numpy as np\ndef f(): return [np.array(['a'], dtype='U16000000') for _ in range(60)]"
    limits = Limits(memory_bytes=256 << 20, cpu_s=5)
    problem = Problem(id="wide", entry_point="f", tests=("assert f() == 1",), limits=limits)
    assert box.judge(problem, code).verdict is not Verdict.AC
    assert_slot_is_well(box)


def test_messages_of_a_program_are_cut(box: Sandbox) -> None:
    """They are repeated for every test."""
    code = "raise ValueError('x' * 1_000_000)"
    result = box.judge(Problem(id="long", entry_point="f", tests=("assert f()",) * 3), code)
    assert result.verdict is Verdict.RE
    assert max(len(test.message) for test in result.tests) <= 2000


@pytest.mark.parametrize("prelude", ["import sys; sys.exit(0)", "raise KeyboardInterrupt", "1 +", "-" * 200_000 + "1"])
def test_a_prelude_that_cannot_run_is_the_problems_fault(box: Sandbox, prelude: str) -> None:
    with pytest.raises(ProblemError, match="prelude"):
        box.judge(Problem(id="bad", prelude=prelude, entry_point="f", tests=("assert f()",)), "def f(): return 1")
    assert_slot_is_well(box)


def test_a_limit_that_cannot_be_set_is_never_the_programs_fault() -> None:
    for wrong in ({"memory_bytes": 1e9}, {"processes": 8.5}, {"memory_bytes": 1 << 62}, {"cpu_s": 1e300}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Limits(**wrong)
    assert sys.maxsize > Limits().memory_bytes
