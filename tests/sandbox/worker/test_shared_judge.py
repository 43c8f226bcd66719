# ruff: noqa: E501  (a program on one line beside its test reads better than one cut in four)
"""Tests that share the program's interpreter, judged through the real sandbox: what passes, and what programs try."""

import textwrap

import pytest

from sandbox import JudgeResult, Kind, Limits, Problem, ProblemError, Sandbox, Verdict

AC, WA, RE, TLE, CE, MLE, SKIPPED = (Verdict[name] for name in ("AC", "WA", "RE", "TLE", "CE", "MLE", "SKIPPED"))
HONEST = "def f(x):\n    return x + 1\n"
CASE = """
import unittest
class TestCases(unittest.TestCase):
    def test_one(self): self.assertEqual(f(1), 2)
    def test_two(self): self.assertEqual(f(2), 3)
"""


def judge(box: Sandbox, code: str, *tests: str, **options: object) -> JudgeResult:
    judging = {name: options.pop(name) for name in ("isolate", "stop_on_first_failure") if name in options}
    problem = Problem(id="p", kind=Kind.SHARED, tests=tuple(map(textwrap.dedent, tests)), **options)  # type: ignore[arg-type]
    return box.judge(problem, textwrap.dedent(code), **judging)  # type: ignore[arg-type]


def verdicts(box: Sandbox, code: str, *tests: str, **options: object) -> list[Verdict]:
    return [test.verdict for test in judge(box, code, *tests, **options).tests]


def in_case(body: str, header: str = "") -> str:
    """A test case with this body."""
    return f"import unittest\n{header}\nclass TestCases(unittest.TestCase):\n" + textwrap.indent(
        textwrap.dedent(body), "    "
    )


def assert_accepted(box: Sandbox, code: str, *tests: str, **options: object) -> None:
    result = judge(box, code, *tests, **options)
    assert (result.verdict, result.message, result.passed) == (AC, "", result.total)


# --- verdicts ---


def test_each_method_has_its_own_verdict(box: Sandbox) -> None:
    tests = in_case(
        "def test_a(self): self.assertEqual(f(1), 2)\n"
        "def test_b(self): self.assertEqual(f(1), 3)\n"
        "def test_c(self): f(None)\n"
        "def test_d(self): raise MemoryError\n"
    )
    result = judge(box, HONEST, tests)
    assert [test.verdict for test in result.tests] == [AC, WA, RE, MLE]
    assert result.tests[1].message == "TestCases.test_b: AssertionError: 2 != 3"
    assert result.tests[2].message.startswith("TestCases.test_c: TypeError: ")
    assert (result.passed, result.total) == (1, 4)


def test_results_are_never_called_tamper_proof(box: Sandbox) -> None:
    problem = Problem(id="p", kind=Kind.SHARED, tests=(CASE,))
    assert not box.judge(problem, HONEST).tamper_proof
    without = box.judge(problem, None)
    assert (without.verdict, without.total, without.tamper_proof) == (Verdict.NO_CODE, 2, False)


def test_a_program_that_does_not_compile_is_ce(box: Sandbox) -> None:
    assert verdicts(box, "def f(:", CASE) == [CE, CE]


def test_an_exception_while_loading_is_re_and_names_its_line(box: Sandbox) -> None:
    result = judge(box, "x = 1\nraise LookupError('nothing')", CASE)
    assert [test.verdict for test in result.tests] == [RE, RE]
    assert result.message == "TestCases.test_one: loading the program: LookupError: nothing (line 2)"


def test_a_message_is_one_short_line(box: Sandbox) -> None:
    result = judge(box, "def f(): raise ValueError('a\\n b' + 'x' * 10_000)", in_case("def test_a(self): f()"))
    assert result.message.startswith("TestCases.test_a: ValueError: a bxxx")
    assert len(result.message) < 600


def test_the_test_that_a_program_hangs_in_is_tle_and_the_others_are_judged(box: Sandbox) -> None:
    code = "import time\ndef f(x):\n    while x == 2: pass\n    if x == 3: time.sleep(99)\n    return x + 1"
    tests = in_case("\n".join(f"def test_{x}(self): self.assertEqual(f({x}), {x + 1})" for x in range(5)))
    result = judge(box, code, tests, limits=Limits(cpu_s=0.5, idle_s=0.5, total_cpu_s=20))
    assert [test.verdict for test in result.tests] == [AC, AC, TLE, TLE, AC]


def test_the_test_that_a_program_crashes_in_is_re_and_the_others_are_judged(box: Sandbox) -> None:
    code = "import os\ndef f(x):\n    if x == 20: os.kill(os.getpid(), 9)\n    return x + 1"
    tests = in_case("\n".join(f"def test_{x:02}(self): self.assertEqual(f({x}), {x + 1})" for x in range(40)))
    result = judge(box, code, tests)
    assert [test.verdict for test in result.tests] == [AC] * 20 + [RE] + [AC] * 19
    assert "SIGKILL" in result.message


def test_memory_beyond_the_limit_is_mle(box: Sandbox) -> None:
    code = "def f(x):\n    if x == 1: held = bytearray(1 << 28)\n    return x + 1"
    assert verdicts(box, code, CASE, limits=Limits(memory_bytes=128 << 20)) == [MLE, AC]


def test_the_time_over_all_tests_is_limited(box: Sandbox) -> None:
    code = "def f(x):\n    while True: pass"
    tests = in_case("\n".join(f"def test_{x}(self): f({x})" for x in range(6)))
    result = judge(box, code, tests, limits=Limits(cpu_s=0.3, total_cpu_s=0.6))
    assert [test.verdict for test in result.tests] == [TLE] * 6
    assert "over all tests" in result.tests[5].message


def test_tests_after_a_failure_are_skipped_on_demand(box: Sandbox) -> None:
    assert verdicts(box, "def f(x): return 2", CASE, CASE, stop_on_first_failure=True) == [AC, WA, SKIPPED, SKIPPED]


def test_isolated_tests_share_nothing(box: Sandbox) -> None:
    code = "n = 0\ndef f():\n    global n\n    n += 1\n    return n"
    tests = in_case("def test_a(self): self.assertEqual(f(), 1)\ndef test_b(self): self.assertEqual(f(), 1)")
    assert verdicts(box, code, tests) == [AC, WA]
    assert verdicts(box, code, tests, isolate="test") == [AC, AC]


# --- what is a test ---


def test_functions_and_methods_are_tests_and_their_helpers_are_not(box: Sandbox) -> None:
    tests = (
        CASE
        + "def test_three(): check(f(3), 4)\ndef check(a, b): assert a == b\nasync def test_four(): assert f(4) == 5\n"
    )
    assert verdicts(box, HONEST, tests) == [AC] * 4
    assert verdicts(box, "def f(x): return 4", tests) == [WA, WA, AC, WA]


def test_statements_are_tests_where_there_is_nothing_else(box: Sandbox) -> None:
    assert verdicts(box, HONEST, "x = f(1)\nassert x == 2\nassert x == 3", "assert f(2) == 3") == [AC, WA, AC]


def test_pieces_may_use_the_same_names(box: Sandbox) -> None:
    second = "def helper(x): return x\ndef test_one(): assert f(1) == helper(2)\n"
    third = second.replace("helper(2)", "helper(3)") + CASE.replace("f(2), 3", "f(2), 4")
    assert verdicts(box, HONEST, CASE, second, third) == [AC, AC, AC, AC, WA, WA]


def test_a_piece_that_fails_takes_its_tests_with_it_or_all_later_ones(box: Sandbox) -> None:
    assert verdicts(box, HONEST, "x = f(None)\nassert x", "assert f(1) == 2") == [RE, AC]
    assert verdicts(box, HONEST, "assert f(1) == 2", "x = f(None)", "assert f(1) == 2", CASE) == [AC, RE, RE, RE]
    assert verdicts(box, HONEST, "assert f(1) == 3\n" + CASE, CASE) == [WA, WA, AC, AC]


def test_check_gets_the_entry_point(box: Sandbox) -> None:
    tests = "def check(candidate):\n    assert candidate(1) == 2\n    assert candidate(1) == 3\ncheck(f)"
    assert verdicts(box, HONEST, tests, entry_point="f") == [AC, WA]


def test_inherited_methods_are_tests_of_each_class(box: Sandbox) -> None:
    tests = """
    from unittest import TestCase as Base
    class Mixin:
        def test_mixed(self): self.assertEqual(f(self.x), self.x + 1)
    class First(Mixin, Base):
        x = 1
        def test_own(self): self.assertEqual(f(2), 3)
    class Second(First):
        x = 2
        test_own = None
    """
    assert verdicts(box, HONEST, tests) == [AC, AC, AC]


def test_a_failing_subtest_fails_its_method(box: Sandbox) -> None:
    tests = in_case("""
    def test_all(self):
        for x in range(4):
            with self.subTest(x=x):
                self.assertEqual(f(x), 2)
    def test_none(self):
        with self.subTest():
            pass
    """)
    assert verdicts(box, HONEST, tests) == [WA, AC]


def test_an_expected_failure_passes_and_an_unexpected_success_does_not(box: Sandbox) -> None:
    tests = in_case("@unittest.expectedFailure\ndef test_a(self): self.assertEqual(f(1), 9)")
    assert verdicts(box, HONEST, tests) == [AC]
    assert verdicts(box, "def f(x): return 9", tests) == [WA]


def test_a_test_that_is_always_skipped_is_none_and_one_that_skips_itself_never_passes(box: Sandbox) -> None:
    tests = in_case("@unittest.skip('later')\ndef test_a(self): pass\ndef test_b(self): f()\n")
    result = judge(box, "import unittest\ndef f(): raise unittest.SkipTest('no time')", tests)
    assert [test.verdict for test in result.tests] == [SKIPPED]
    assert (result.verdict, result.passed, result.total) == (SKIPPED, 0, 1)
    assert "no time" in result.message


@pytest.mark.parametrize(
    "tests",
    [
        "x = 1",
        "import unittest\nclass TestCases(unittest.TestCase):\n    def check(self): pass",
        "def test_a(tmp_path): pass",
        "import pytest\n@pytest.mark.parametrize('x', [1])\ndef test_a(x): pass",
        CASE + "setattr(TestCases, 'test_made', lambda self: None)",
        CASE + "def load_tests(loader, tests, pattern): return tests",
        "def test_a(:",
    ],
)
def test_tests_that_cannot_be_counted_are_a_fault_of_the_problem(box: Sandbox, tests: str) -> None:
    with pytest.raises(ProblemError):
        judge(box, HONEST, tests)


# --- what tests do ---


def test_mocks_reach_the_program_by_any_of_its_names(box: Sandbox) -> None:
    code = """
    import random, time, urllib.request
    from os import path
    def helper(): return 1
    def task(url):
        time.sleep(1000)
        with open('/nowhere') as file: text = file.read()
        return text, random.random(), urllib.request.urlopen(url).read(), helper(), path.exists('/x')
    """
    tests = in_case(
        """
    @patch('time.sleep')
    @patch('builtins.open', new_callable=mock_open, read_data='data')
    @patch('random.random', return_value=0.5)
    @patch('urllib.request.urlopen')
    def test_task(self, urlopen, *others):
        urlopen.return_value.read.return_value = b'page'
        with patch(__name__ + '.helper', return_value=7), patch('__main__.path.exists', return_value=True):
            self.assertEqual(task('http://x'), ('data', 0.5, b'page', 7, True))
        with patch('solution.helper', return_value=8), patch('__test__.path', MagicMock()):
            self.assertEqual(task('http://x')[3], 8)
        urlopen.assert_called_with('http://x')
        urlopen.assert_called_with(ANY)
    """,
        "from unittest.mock import ANY, MagicMock, mock_open, patch",
    )
    assert_accepted(box, code, tests)


def test_a_patch_may_last_for_a_class(box: Sandbox) -> None:
    tests = in_case(
        """
    @classmethod
    def setUpClass(cls):
        cls.patcher = patch('builtins.print')
        cls.print = cls.patcher.start()
    @classmethod
    def tearDownClass(cls): cls.patcher.stop()
    def test_a(self): f('a'); self.print.assert_called_with('a')
    def test_b(self): f('b'); self.print.assert_called_with('b')
    """,
        "from unittest.mock import patch",
    )
    assert_accepted(box, "def f(x): print(x)", tests)


def test_fixtures_run_as_unittest_runs_them(box: Sandbox) -> None:
    tests = """
    import os, shutil, tempfile, unittest
    seen = []
    def setUpModule(): seen.append('module')
    def tearDownModule(): seen.append('end')
    class A(unittest.TestCase):
        @classmethod
        def setUpClass(cls): seen.append('A')
        @classmethod
        def tearDownClass(cls): seen.append('-A')
        def setUp(self):
            self.folder = tempfile.mkdtemp()
            self.addCleanup(shutil.rmtree, self.folder)
        def tearDown(self): seen.append('down')
        def test_a(self):
            f(os.path.join(self.folder, 'x'))
            with open(os.path.join(self.folder, 'x')) as file: self.assertEqual(file.read(), 'text')
        def test_b(self): self.assertEqual(seen, ['module', 'A', 'down'])
    class B(unittest.TestCase):
        @classmethod
        def setUpClass(cls): cls.at = list(seen)
        def test_c(self): self.assertEqual(self.at, ['module', 'A', 'down', 'down', '-A'])
    """
    code = "def f(name):\n    with open(name, 'w') as file: file.write('text')"
    assert_accepted(box, code, tests, "assert seen[-1] == 'end'")


def test_a_fixture_that_fails_fails_the_tests_it_is_for(box: Sandbox) -> None:
    tests = """
    import unittest
    class A(unittest.TestCase):
        @classmethod
        def setUpClass(cls): f(0)
        def test_a(self): pass
        def test_b(self): pass
    class B(unittest.TestCase):
        @classmethod
        def tearDownClass(cls): f(0)
        def test_a(self): pass
        def test_b(self): pass
    class C(unittest.TestCase):
        def tearDown(self): f(0)
        def test_a(self): pass
    class D(unittest.TestCase):
        def test_a(self): pass
    """
    result = judge(box, "def f(x): return 1 // x", tests)
    assert [test.verdict for test in result.tests] == [RE, RE, AC, RE, RE, AC]
    assert "ZeroDivisionError" in result.tests[1].message


def test_class_fixtures_run_again_after_a_crash(box: Sandbox) -> None:
    tests = in_case("""
    @classmethod
    def setUpClass(cls): cls.x = 1
    def test_a(self): f(self.x)
    def test_b(self): f(2)
    def test_c(self): f(self.x)
    """)
    assert verdicts(box, "import os\ndef f(x): x == 1 or os.abort()", tests) == [AC, RE, AC]


def test_coroutines_are_awaited(box: Sandbox) -> None:
    tests = """
    import unittest
    class TestCases(unittest.IsolatedAsyncioTestCase):
        async def asyncSetUp(self): self.x = await f(0)
        async def test_a(self): self.assertEqual(await f(self.x), 2)
        async def test_b(self): self.assertEqual(await f(1), 3)
    """
    assert verdicts(box, "import asyncio\nasync def f(x):\n    await asyncio.sleep(0)\n    return x + 1", tests) == [
        AC,
        WA,
    ]


def test_the_programs_own_exceptions_and_classes_are_seen(box: Sandbox) -> None:
    code = """
    from dataclasses import dataclass
    class Bad(ValueError): pass
    @dataclass
    class Point:
        x: int
        y: int
    class Money:
        def __init__(self, n): self.n = n
        def __eq__(self, other): return self.n == getattr(other, 'n', other)
    def f(x):
        if x < 0: raise Bad('negative')
        return [Point(x, x)], {'m': Money(x)}
    """
    tests = in_case("""
    def test_a(self):
        with self.assertRaises(Bad) as caught: f(-1)
        self.assertEqual(str(caught.exception), 'negative')
        self.assertRaisesRegex(ValueError, 'neg', f, -1)
    def test_b(self):
        self.assertEqual(f(2), ([Point(2, 2)], {'m': Money(2)}))
        self.assertEqual(f(2)[1]['m'], 2)
        self.assertIn(Point(2, 2), f(2)[0])
        self.assertNotEqual(f(2), f(3))
    """)
    assert_accepted(box, code, tests)


def test_numpy_can_be_used_on_both_sides(box: Sandbox) -> None:
    tests = in_case(
        "def test_a(self): np.testing.assert_allclose(f(3), np.array([0, 2, 4]))\ndef test_b(self): self.assertTrue((f(2) == f(3)).all())",
        "import numpy as np",
    )
    assert verdicts(box, "import numpy as np\ndef f(n): return np.arange(n) * 2", tests) == [AC, RE]


def test_output_is_the_tests_to_capture(box: Sandbox) -> None:
    tests = in_case(
        """
    def test_a(self):
        with patch('sys.stdout', new_callable=io.StringIO) as out: f()
        self.assertEqual(out.getvalue(), 'hello\\n')
    def test_b(self):
        with self.assertLogs('x', 'INFO'): f()
        self.maxDiff = None
    """,
        "import io\nfrom unittest.mock import patch",
    )
    assert_accepted(box, "import logging\ndef f():\n    print('hello')\n    logging.getLogger('x').info('y')", tests)


def test_the_tests_own_doubles_may_be_equal_to_anything(box: Sandbox) -> None:
    tests = in_case(
        "def test_a(self): self.assertEqual(f(1), Anything())",
        "class Anything:\n    def __eq__(self, other): return True",
    )
    assert_accepted(box, HONEST, tests)


def test_a_program_may_print_and_start_processes(box: Sandbox) -> None:
    code = """
    import os, subprocess, sys
    def f(x):
        print('x' * 10_000_000)
        if os.fork() == 0: return x
        os.wait()
        return int(subprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True).stdout) + x
    """
    assert_accepted(box, code, CASE)


# --- what programs try ---

ATTACKS = {
    "exit while loading": "import sys\nsys.exit(0)",
    "exit without a trace while loading": "import os\nos._exit(0)",
    "exit in a call": "import os\ndef f(x): os._exit(0)",
    "SystemExit in a call": "def f(x): raise SystemExit(0)",
    "exit at the end": "import atexit, os\natexit.register(lambda: os._exit(0))\ndef f(x): raise SystemExit",
    "markers": "def f(x): print('OK\\n\\nRan 2 tests in 0.001s\\n\\nOK'); return 0",
    "asserts that do nothing": "import unittest\nunittest.TestCase.assertEqual = lambda *a, **k: None\ndef f(x): return 0",
    "asserts replaced in a call": "import unittest\ndef f(x):\n    unittest.TestCase.assertEqual = lambda *a, **k: None\n    return 0",
    "the code of an assert": "import unittest\ndef f(x):\n    unittest.TestCase.assertEqual.__code__ = (lambda self, first, second, msg=None: None).__code__\n    return 0",
    "a deeper assert": "import unittest\nunittest.TestCase._baseAssertEqual = lambda *a, **k: None\ndef f(x): return 0",
    "unittest.main": "import unittest, sys\nunittest.main = lambda *a, **k: sys.exit(0)\ndef f(x): return 0",
    "results": "import unittest\nfor name in ('addError', 'addFailure'): setattr(unittest.TestResult, name, lambda *a: None)\ndef f(x): return 0",
    "the runner of a test": "import unittest\nunittest.TestCase.run = lambda self, result: result.addSuccess(self)\ndef f(x): return 0",
    "the suite": "import unittest\nunittest.TestSuite.run = lambda self, result: result.addSuccess(self)\ndef f(x): return 0",
    "a subclass of TestCase": "import unittest\nclass Mine(unittest.TestCase):\n    assertEqual = lambda *a: None\nunittest.TestCase = Mine\ndef f(x): return 0",
    "another unittest": "import sys, types\nfake = types.ModuleType('unittest')\nclass TestCase:\n    def __init__(self, name): pass\n    def run(self, result): result.addSuccess(self)\n    __call__ = run\nfake.TestCase = TestCase\nsys.modules['unittest'] = fake\ndef f(x): return 0",
    "builtins": "import builtins\nclass Never(Exception): pass\nbuiltins.AssertionError = Never\ndef f(x): return 0",
    "builtins in a call": "import builtins\ndef f(x):\n    builtins.isinstance = lambda *a: True\n    return 0",
    "equal to everything": "class Same:\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\ndef f(x): return Same()",
    "an int equal to all": "class Same(int):\n    __eq__ = lambda self, other: True\n    __hash__ = int.__hash__\ndef f(x): return Same(0)",
    "equal to everything, made by type()": "Same = type('Same', (), {'__eq__': lambda self, other: True})\ndef f(x): return Same()",
    "equal to everything, made in a call": "def f(x):\n    class Same:\n        def __eq__(self, other): return isinstance(other, (int, list, str))\n    return Same()",
    "the test class": "def f(x):\n    globals()['TestCases'].test_one = globals()['TestCases'].test_two = lambda self: None\n    return 0",
    "another test class": "class TestCases:\n    test_one = test_two = lambda self: None\ndef f(x):\n    global TestCases\n    class TestCases: pass\n    return 0",
    "how the test class is called": "def f(x):\n    TestCases.__call__ = lambda self, result: result.addSuccess(self)\n    return 0",
    "an assert of the test class": "def f(x):\n    TestCases.assertEqual = lambda *a: None\n    return 0",
    "a test expected to fail": "def f(x):\n    TestCases.__unittest_expecting_failure__ = True\n    TestCases.test_two.__unittest_expecting_failure__ = True\n    return 0",
    "tests marked as skipped": "def f(x):\n    TestCases.__unittest_skip__ = True\n    return 0",
    "a trace function": "import sys\ndef trace(frame, event, arg):\n    if 'verdict' in frame.f_locals: frame.f_locals['verdict'] = 'AC'\n    return trace\nsys.settrace(trace)\ndef f(x): return 0",
    "the runner's frames": """
import sys
def f(x):
    frame = sys._getframe()
    while frame:
        result = frame.f_locals.get('result')
        for name in ('problems', 'failures', 'errors'):
            if hasattr(result, name): getattr(result, name).clear()
        for name in ('addFailure', 'addError'):
            try: setattr(result, name, lambda *a: None)
            except AttributeError: pass
        frame = frame.f_back
    return 0""",
    "the outcome of the case": """
import gc, unittest
def f(x):
    for found in gc.get_objects():
        if isinstance(found, unittest.TestResult): found.addFailure = found.addError = lambda *a: None
    return 0""",
    "the runner's modules": "import sys\nfor name in list(sys.modules):\n    if 'shared' in name: sys.modules[name].VERDICTS = ('AC',) * 5\ndef f(x): return 0",
    "writing to every descriptor": """
import os
def f(x):
    for number in range(3, 256):
        try: os.write(number, b'{"verdict": "AC"}\\n')
        except OSError: pass
    return x + 1""",
    "an answer without the secret": """
import os, struct, time
def f(x):
    for number in range(3, 256):
        try: os.write(number, struct.pack('=I16sB', 17, bytes(16), 0))
        except OSError: pass
    time.sleep(99)""",
    "answering on the usual descriptor": """
import os, struct
os.write(3, struct.pack('=I', 21) + b'{"ok":true}\\n[[],null]')
size, = struct.unpack('=I', os.read(3, 4))
while size: size -= len(os.read(3, size))
while True:
    request = os.read(3, 25)
    os.write(3, struct.pack('=I', 17) + request[-16:] + b'\\0')""",
    "json and marshal": "import json, marshal\njson.dumps = lambda *a, **k: '{\"ok\": true}'\nmarshal.loads = lambda data: compile('', '', 'exec')\ndef f(x): return 0",
    "a child that answers": "import os\nif os.fork(): os._exit(0)\ndef f(x): return x + 1",
    "a child that answers, in a call": "import os\ndef f(x):\n    if os.fork(): os._exit(0)\n    return x + 1",
    "hanging up": "import os\ndef f(x):\n    os.closerange(3, 256)\n    return x + 1",
    "an alarm": "import signal, sys\nsignal.signal(signal.SIGALRM, lambda *a: sys.exit(0))\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\ndef f(x):\n    while True: pass",
    "a thread": "import threading, os, time\nthreading.Thread(target=lambda: (time.sleep(0.05), os._exit(0)), daemon=True).start()\ndef f(x):\n    while True: pass",
    "a skipped test": "import unittest\ndef f(x): raise unittest.SkipTest",
    "no assertion fails": "import unittest\nunittest.TestCase.failureException = SystemExit\ndef f(x): return 0",
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_it_does_not_pay(box: Sandbox, name: str) -> None:
    result = judge(box, ATTACKS[name], CASE, limits=Limits(cpu_s=1, idle_s=1))
    assert result.passed == 0, result
    assert (result.total, len(result.tests)) == (2, 2)
    assert judge(box, HONEST, CASE).passed == 2, "the next program pays for it"


@pytest.mark.parametrize("name", ["equal to everything", "asserts that do nothing", "builtins", "another unittest"])
def test_the_message_tells_what_was_tried(box: Sandbox, name: str) -> None:
    message = judge(box, ATTACKS[name], CASE).message
    assert "the program" in message
    assert ("true of everything" in message) or ("which tests rely on" in message)


def test_a_child_that_answers_in_the_name_of_its_parent_earns_no_ac(box: Sandbox) -> None:
    code = """
    import os, sys
    def f(x):
        if os.fork(): os._exit(0)
        frame = sys._getframe()
        while frame:
            if hasattr(frame.f_locals.get('self'), '_process'): frame.f_locals['self']._process = os.getpid()
            frame = frame.f_back
        return x + 1
    """
    assert judge(box, code, CASE).verdict is RE
    assert judge(box, code, in_case("def test_a(self): self.assertEqual(f(1), 2)")).verdict is RE


@pytest.mark.parametrize(
    "header",
    [
        '{"raised": 1}',
        '{"raised": [[]], "message": %s}' % ("[" * 900 + "]" * 900),
        '{"tampered": {}}',
        '{"ok": 1}',
        "[]",
        "{",
    ],
)
def test_whatever_a_program_says_instead_of_the_runner_is_re(box: Sandbox, header: str) -> None:
    code = f"""
    import os, struct
    words = {header!r}.encode() + b'\\n'
    for number in range(3, 256):
        try: os.write(number, struct.pack('=I', len(words)) + words)
        except OSError: pass
    os._exit(0)
    """
    assert verdicts(box, code, CASE) == [RE, RE]


def test_an_assert_that_puts_itself_right_was_never_called(box: Sandbox) -> None:
    code = """
    import unittest
    real = unittest.TestCase.assertEqual
    def fake(*values): unittest.TestCase.assertEqual = real
    def f(x):
        unittest.TestCase.assertEqual = fake
        return 0
    """
    assert verdicts(box, code, in_case("def test_a(self):\n    x = f(1)\n    self.assertEqual(x, 2)")) == [RE]
    assert verdicts(box, code, in_case("def test_a(self):\n    x = f(1)\n    self.assertEqual(x, 0)")) == [RE]


def test_what_equals_everything_does_so_in_no_container(box: Sandbox) -> None:
    code = "class Same:\n    def __eq__(self, other): return True\ndef f(x): return [Same()], {1: Same()}"
    tests = "assert f(1)[0] == [2]\nassert f(1)[1] == {1: 2}\nassert 2 in f(1)[0]\nassert f(1)[0][0] == 2"
    assert verdicts(box, code, tests) == [RE] * 4


def test_numpys_asserts_cannot_be_replaced(box: Sandbox) -> None:
    tests = in_case("def test_a(self): np.testing.assert_allclose(f(), [1.0])", "import numpy as np")
    code = "import numpy as np\nnp.testing.assert_allclose = lambda *a, **k: None\ndef f(): return [2.0]"
    assert verdicts(box, code, tests) == [RE]


def test_the_secret_of_a_test_lies_unread_in_the_socket_while_it_runs(box: Sandbox) -> None:
    code = """
    import os, socket
    def f():
        unread = []
        for number in os.listdir('/proc/self/fd'):
            try: unread.append(socket.socket(fileno=os.dup(int(number))).recv(99, socket.MSG_PEEK | socket.MSG_DONTWAIT))
            except OSError: pass
        return list(map(len, unread))
    """
    assert_accepted(box, code, in_case("def test_a(self): self.assertEqual(f(), [16])"))


def test_the_tests_are_not_in_the_process_while_the_program_is_loaded(box: Sandbox) -> None:
    code = """
    import os, re
    def is_there():
        memory = os.open('/proc/self/mem', os.O_RDONLY)
        for line in open('/proc/self/maps').read().splitlines():
            first, last = (int(word, 16) for word in line.split()[0].split('-'))
            if ' rw' in line and re.search(b'needle-[0-9]+', os.pread(memory, last - first, first)):
                return True
        return False
    before = is_there()
    def f(): return before, is_there()
    """
    assert_accepted(box, code, in_case("def test_a(self): self.assertEqual(f(), (False, True), 'needle-1')"))
