import time
from typing import Any

import pytest

from sandbox import (
    Checker,
    Compare,
    JudgeResult,
    Kind,
    Limits,
    Order,
    Problem,
    ProblemError,
    Sandbox,
    StdioTest,
    Verdict,
)

AC, WA, RE, TLE, CE, OLE, SKIPPED = (
    Verdict.AC, Verdict.WA, Verdict.RE, Verdict.TLE, Verdict.CE, Verdict.OLE, Verdict.SKIPPED,
)  # fmt: skip
ADD = "print(int(input()) + int(input()))"


def judge(box: Sandbox, code: str, *tests: tuple[str, str], stop: bool = False, **options: object) -> JudgeResult:
    cases = tuple(StdioTest(stdin=stdin, stdout=stdout) for stdin, stdout in tests)
    problem = Problem(id="p", kind=Kind.STDIO, tests=cases, **options)  # type: ignore[arg-type]
    return box.judge(problem, code, stop_on_first_failure=stop)


def verdicts(box: Sandbox, code: str, *tests: tuple[str, str], **options: object) -> list[Verdict]:
    return [test.verdict for test in judge(box, code, *tests, **options).tests]  # type: ignore[arg-type]


def test_each_run_has_its_own_verdict(box: Sandbox) -> None:
    result = judge(box, ADD, ("1\n2", "3\n"), ("1\n2", "4"), ("1", "1"))
    assert [test.verdict for test in result.tests] == [AC, WA, RE]
    assert (result.verdict, result.passed, result.total, result.pass_rate) == (RE, 1, 3, 1 / 3)
    assert result.message == "the output differs from what is expected"
    assert result.tests[2].message == "exited with status 1: EOFError: EOF when reading a line"


def test_each_run_is_a_new_process_with_a_folder_that_holds_the_script_only(box: Sandbox) -> None:
    code = "import os\nprint(os.listdir('/tmp'))\nopen('/tmp/seen', 'w').close()"
    assert verdicts(box, code, ("", "['main.py']"), ("", "['main.py']")) == [AC, AC]


def test_a_program_that_does_not_compile_runs_once_and_fails_all(box: Sandbox) -> None:
    result = judge(box, "print(", ("", ""), ("", ""))
    assert [test.verdict for test in result.tests] == [CE, CE]
    assert "SyntaxError" in result.message


def test_right_output_with_a_failing_status_is_re(box: Sandbox) -> None:
    assert verdicts(box, "print(1)\nexit(1)", ("", "1")) == [RE]
    assert verdicts(box, "import os\nprint(1, flush=True)\nos.kill(os.getpid(), 9)", ("", "1")) == [RE]


def test_no_output_is_wrong_where_some_is_expected_and_right_where_none_is(box: Sandbox) -> None:
    assert verdicts(box, "import os\nprint(1)\nos._exit(0)", ("", "1"), ("", "")) == [WA, AC]


def test_a_prefix_and_an_extension_of_the_output_are_wrong(box: Sandbox) -> None:
    assert verdicts(box, "print(1)", ("", "1 2")) == [WA]
    assert verdicts(box, "print(1, 2, 3)", ("", "1 2")) == [WA]


def test_stderr_does_not_matter(box: Sandbox) -> None:
    assert verdicts(box, "import sys\nprint('warning', file=sys.stderr)\nprint(1)", ("", "1")) == [AC]


@pytest.mark.parametrize(
    ("checker", "verdict"), [("exact", [WA, AC, WA]), ("tokens", [AC, AC, WA]), ("floats", [AC, AC, AC])]
)
def test_the_problem_names_its_checker(box: Sandbox, checker: str, verdict: list[Verdict]) -> None:
    tests = [("", "0.5"), ("", "0.5\n"), ("", "0.50000001")]
    assert verdicts(box, "print(0.5)", *tests, checker=Checker(compare=Compare(checker))) == verdict


def test_without_a_checker_tokens_are_compared(box: Sandbox) -> None:
    assert verdicts(box, "print(' a  b ')", ("", "a\nb"), ("", "A b"), ("", "b a")) == [AC, WA, WA]


@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        ({"compare": "tokens", "ignore_case": True}, [AC, WA, WA]),
        ({"compare": "tokens", "order": "any", "ignore_case": True}, [AC, AC, WA]),
        ({"compare": "floats", "order": "any_nested", "abs_tol": 0.1, "ignore_case": True}, [AC, AC, AC]),
    ],
)
def test_case_order_and_tolerance_are_the_checkers(box: Sandbox, options: dict[str, Any], verdict: list[str]) -> None:
    tests = [("", "a 0.5\nb"), ("", "B\nA 0.5"), ("", "0.55 a\nb")]
    assert verdicts(box, "print('A 0.5\\nB')", *tests, checker=Checker(**options)) == verdict


def test_lines_too_close_to_be_told_apart_are_wrong(box: Sandbox) -> None:
    checker = Checker(compare=Compare.FLOATS, order=Order.ANY, abs_tol=1.0)
    code = "for n in range(1500): print(f'{n / 1500:.4f} {-n / 1500 - 0.6:.4f}')"
    expected = "".join(f"{n / 1500:.4f} {n / 1500:.4f}\n" for n in range(1500))
    result = judge(box, code, ("", expected), checker=checker)
    assert result.verdict is WA
    assert "within tolerance of each other" in result.message


# --- checker programs ---

SUMS_TO_INPUT = """
import sys
given, output, answer = (open(name).read().split() for name in sys.argv[1:])
if len(output) != 2:
    print("two numbers belong here", file=sys.stderr)
    sys.exit(2)
sys.exit(0 if sum(map(int, output)) == int(given[0]) and answer == ["1", "2"] else 1)
"""


def own(program: str) -> Checker:
    return Checker(compare=Compare.PROGRAM, program=program)


def test_a_checker_program_decides_from_input_output_and_answer(box: Sandbox) -> None:
    tests = [("3", "1 2")]
    assert verdicts(box, "print(2, 1)", *tests, checker=own(SUMS_TO_INPUT)) == [AC]
    assert verdicts(box, "print(2, 2)", *tests, checker=own(SUMS_TO_INPUT)) == [WA]
    wrong = judge(box, "print(3)", *tests, checker=own(SUMS_TO_INPUT))
    assert (wrong.verdict, wrong.message) == (WA, "two numbers belong here")


def test_a_checker_program_is_not_asked_about_a_program_that_failed(box: Sandbox) -> None:
    assert verdicts(box, "print(1, 2)\nexit(1)", ("3", "1 2"), checker=own("exit(0)")) == [RE]


def test_the_words_of_a_checker_program_are_cut(box: Sandbox) -> None:
    result = judge(box, "", ("", ""), checker=own("print('é' * 10000)\nexit(1)"))
    assert result.message == "é" * 500


def test_a_checker_program_without_words_gets_some(box: Sandbox) -> None:
    assert judge(box, "", ("", ""), checker=own("exit(1)")).message == "the checker rejects the output"


def test_the_answer_is_not_where_the_program_is(box: Sandbox) -> None:
    code = "import os\nprint(os.listdir('/tmp'))"
    checker = own("import sys\nexit(open('output.txt').read() != \"['main.py']\\n\")")
    assert verdicts(box, code, ("", "secret"), ("", "secret"), checker=checker) == [AC, AC]


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ("int('x')", "ValueError"),
        ("exit(3)", "exited with status 3"),
        ("exit(7)", "exited with status 7"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL"),
        ("b = bytearray(1 << 34)", "MemoryError"),
        ("print('x' * (17 << 20))", "output limit exceeded"),
        ("import time; time.sleep(60)", "idle for longer"),
    ],
)
def test_an_output_that_a_checker_program_fails_on_is_wrong(box: Sandbox, end: str, why: str) -> None:
    """The output may be the cause: it must not keep its program from being judged."""
    result = judge(box, "print('bomb')", ("", "1"), checker=own(f"if 'bomb' in open('output.txt').read(): {end}"))
    assert result.verdict is WA
    assert result.message.startswith("the checker could not judge the output: ")
    assert why in result.message


def test_outputs_that_keep_a_checker_program_busy_hold_the_slot_for_three_tests_at_most(box: Sandbox) -> None:
    checker = own("import time\nif 'bomb' in open('output.txt').read(): time.sleep(60)")
    started = time.monotonic()
    result = judge(box, "print('bomb')", *[("", "1")] * 30, checker=checker)
    assert time.monotonic() - started < 60
    assert {test.verdict for test in result.tests} == {WA}
    assert result.tests[-1].message == "not checked: earlier outputs kept the checker busy for too long"


@pytest.mark.parametrize("end", ["int('x')", "exit(3)", "undefined"])
def test_a_checker_program_that_fails_on_the_answer_makes_the_problem_useless(box: Sandbox, end: str) -> None:
    with pytest.raises(ProblemError, match=r"'p'.*the checker fails on the expected answer 'right' itself"):
        judge(box, "print('wrong')", ("", "right"), checker=own(end))


def test_a_checker_program_that_rejects_the_answer_rejects(box: Sandbox) -> None:
    assert verdicts(box, "print(1)", ("", "1"), checker=own("exit(1)")) == [WA]


def test_a_checker_program_has_its_own_limits(box: Sandbox) -> None:
    checker = own("import time\nkeep = b'x' * (200 << 20)\nwhile time.process_time() < 0.5: pass")
    limits = Limits(cpu_s=0.2, total_cpu_s=0.4, memory_bytes=64 << 20, disk_bytes=1 << 16, output_bytes=1 << 20)
    result = judge(
        box, "print('x' * 1000000)", *[("x" * (1 << 20), "y" * (1 << 20))] * 3, checker=checker, limits=limits
    )
    assert result.verdict is AC, result.message
    assert result.cpu_s < 0.4
    assert result.peak_memory_bytes < 64 << 20


def test_an_output_of_any_bytes_reaches_a_checker_program(box: Sandbox) -> None:
    checker = own("exit(open('output.txt', 'rb').read() != bytes(range(256)))")
    assert verdicts(box, "import os; os.write(1, bytes(range(256)))", ("\udc80", "\udc80"), checker=checker) == [AC]


@pytest.mark.parametrize(
    "attack",
    ["open('/tmp/checker.py', 'w').write('')", "open('/tmp/answer.txt', 'w').write('x')", "print('exit(0)')",
     "import os; os.symlink('/etc/passwd', '/tmp/output.txt')", "print('__import__(\"os\")._exit(0)')"],
)  # fmt: skip
def test_no_program_can_answer_for_its_checker(box: Sandbox, attack: str) -> None:
    assert verdicts(box, attack, ("3", "1 2"), checker=own(SUMS_TO_INPUT)) == [WA]


@pytest.mark.usefixtures("needs_lower_level")
def test_a_level_without_files_has_no_checker_programs() -> None:
    with Sandbox(workers=1, level="landlock") as box, pytest.raises(ProblemError, match="level 'landlock'"):
        judge(box, "print(1)", ("", "1"), checker=own("exit(0)"))


def test_output_that_is_no_text_is_wrong(box: Sandbox) -> None:
    assert verdicts(box, "import os\nos.write(1, b'\\xff')", ("", "\udcff"), ("", "")) == [WA, WA]


def test_a_test_after_a_timeout_or_a_flood_is_still_judged(box: Sandbox) -> None:
    code = "n = int(input())\nwhile n == 1: pass\nwhile n == 2: print('x' * 1000)\nprint(n)"
    limits = Limits(cpu_s=0.2, output_bytes=10_000)
    tests = [(str(n), str(n)) for n in (0, 1, 2, 3)]
    assert verdicts(box, code, *tests, limits=limits) == [AC, TLE, OLE, AC]


def test_cpu_time_is_limited_over_all_tests(box: Sandbox) -> None:
    code = "import time\nwhile time.process_time() < 0.2: pass\nprint(1)"
    limits = Limits(cpu_s=5, total_cpu_s=0.3)
    assert verdicts(box, code, *[("", "1")] * 4, limits=limits)[2:] == [TLE, TLE]


def test_stop_on_first_failure_skips_the_rest(box: Sandbox) -> None:
    assert verdicts(box, "print(1)", ("", "1"), ("", "2"), ("", "1"), stop=True) == [AC, WA, SKIPPED]


def test_measurements_are_summed_over_the_tests(box: Sandbox) -> None:
    code = "import time\nkeep = b'x' * (40 << 20)\nwhile time.process_time() < 0.1: pass"
    result = judge(box, code, ("", ""), ("", ""), ("", ""))
    assert result.verdict is AC
    assert 0.3 <= result.cpu_s < 3
    assert 40 << 20 < result.peak_memory_bytes < 150 << 20
    assert result.wall_s >= 0.3


def test_millions_of_lines_of_errors_are_the_programs_fault(box: Sandbox) -> None:
    code = "import os\nb = b'\\xff\\n' * (8 * 2 ** 20 - 10)\nwhile b: b = b[os.write(2, b):]\nos._exit(1)"
    limits = Limits(memory_bytes=96 << 20, output_bytes=16 << 20)
    assert verdicts(box, code, ("", "1"), limits=limits) == [RE]


def test_naps_in_many_tests_count_for_the_limit_over_all_of_them(box: Sandbox) -> None:
    limits = Limits(cpu_s=0.5, total_cpu_s=1.0, idle_s=1.0)
    result = judge(box, "import time; time.sleep(0.4); print(1)", *[("", "1")] * 8, limits=limits)
    assert [test.verdict for test in result.tests][:2] == [AC, AC]
    assert result.tests[-1].verdict is TLE
    assert "over all tests" in result.message
