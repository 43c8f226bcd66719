import pytest

from sandbox import JudgeResult, Limits, Problem, Sandbox, StdioTest, Verdict
from sandbox.problem import Kind

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
    assert verdicts(box, "print(0.5)", *tests, checker=checker) == verdict


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
