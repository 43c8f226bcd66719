# ruff: noqa: E501  (a program on one line beside its test reads better than one cut in four)
"""What test code may do with a program's functions, judged through the real sandbox."""

import pytest

from sandbox import Checker, Compare, JudgeResult, Limits, Order, Problem, ProblemError, Sandbox, Verdict

AC, WA, RE, TLE, CE = Verdict.AC, Verdict.WA, Verdict.RE, Verdict.TLE, Verdict.CE
MLE, OLE, SKIPPED = Verdict.MLE, Verdict.OLE, Verdict.SKIPPED
LINKED_LIST = """
class ListNode:
    def __init__(self, val=0, next=None):
        self.val = val
        self.next = next

class TreeNode:
    def __init__(self, val=0, left=None, right=None):
        self.val, self.left, self.right = val, left, right

def linked(items):
    head = None
    for item in reversed(items):
        head = ListNode(item, head)
    return head

def listed(node):
    items = []
    while node:
        items.append(node.val)
        node = node.next
    return items
"""


def judge(box: Sandbox, code: str, *tests: str, **options: object) -> JudgeResult:
    judging = {name: options.pop(name) for name in ("isolate", "stop_on_first_failure") if name in options}
    return box.judge(Problem(id="p", tests=tests, **options), code, **judging)  # type: ignore[arg-type]


def verdicts(box: Sandbox, code: str, *tests: str, **options: object) -> list[Verdict]:
    return [test.verdict for test in judge(box, code, *tests, **options).tests]


def assert_accepted(box: Sandbox, code: str, *tests: str, **options: object) -> None:
    result = judge(box, code, *tests, **options)
    assert (result.verdict, result.message, result.passed) == (AC, "", result.total)


# --- verdicts, one a test ---


def test_each_test_has_its_own_verdict(box: Sandbox) -> None:
    result = judge(
        box, "def f(x):\n    return x // 1 if x else 1 // x", "assert f(1) == 1", "assert f(2) == 3", "assert f(0) == 1"
    )
    assert [test.verdict for test in result.tests] == [AC, WA, RE]
    assert (result.verdict, result.passed, result.total) == (RE, 1, 3)
    assert result.message == "the assertion failed"
    assert "ZeroDivisionError" in result.tests[2].message
    assert result.tamper_proof


def test_the_message_of_an_assert_is_told(box: Sandbox) -> None:
    assert judge(box, "def f(): return 1", "assert f() == 2, 'one is not two'").message == "one is not two"


def test_a_program_that_does_not_compile_fails_every_test_as_ce(box: Sandbox) -> None:
    result = judge(box, "def f(:", "assert f() == 2", "assert f() == 3")
    assert [test.verdict for test in result.tests] == [CE, CE]
    assert "SyntaxError" in result.message


@pytest.mark.parametrize("code", ["return 1", "x = 1\n  y = 2", "\0", "(" * 1000, "def f(): yield\n\tpass\n        x"])
def test_broken_sources_are_ce(box: Sandbox, code: str) -> None:
    assert judge(box, code, "assert f() == 2").verdict is CE


def test_an_exception_while_loading_names_its_line(box: Sandbox) -> None:
    result = judge(box, "x = 1\nraise LookupError('no such thing')", "assert f() == 2")
    assert result.verdict is RE
    assert result.message == "loading the program: LookupError: no such thing (line 2)"


def test_a_missing_function_is_re(box: Sandbox) -> None:
    assert "f" in judge(box, "def g(): pass", "assert f() == 2").message
    assert verdicts(box, "def g(): pass", "assert f() == 2", "assert g() is None") == [RE, AC]
    assert judge(box, "def g(): pass", "assert candidate() == 2", entry_point="f").verdict is RE


def test_a_test_after_a_crash_is_still_judged(box: Sandbox) -> None:
    code = "import os\ndef f(x):\n    if x == 1: os._exit(0)\n    if x == 2: os.kill(os.getpid(), 9)\n    return x"
    tests = [f"assert f({x}) == {x}" for x in range(4)]
    assert verdicts(box, code, *tests) == [AC, RE, RE, AC]


def test_a_test_after_a_timeout_is_still_judged(box: Sandbox) -> None:
    code = "def f(x):\n    while x == 1: pass\n    return x"
    limits = Limits(cpu_s=0.2)
    assert verdicts(box, code, "assert f(0) == 0", "assert f(1) == 1", "assert f(2) == 2", limits=limits) == [
        AC,
        TLE,
        AC,
    ]


def test_a_sleeping_program_is_tle(box: Sandbox) -> None:
    code = "import time\ndef f():\n    time.sleep(60)"
    assert verdicts(box, code, "assert f() == 0", limits=Limits(idle_s=0.2)) == [TLE]


def test_memory_and_output_over_the_limit(box: Sandbox) -> None:
    limits = Limits(memory_bytes=64 << 20, output_bytes=100_000)
    code = "def f(n):\n    return 'x' * n\ndef g(n):\n    return len(bytearray(n))"
    assert verdicts(box, code, "assert f(200_000)", "assert g(1 << 30)", "assert f(10)", limits=limits) == [
        OLE,
        MLE,
        AC,
    ]


def test_stop_on_first_failure_skips_the_rest(box: Sandbox) -> None:
    tests = ["assert f(1) == 1", "assert f(2) == 1", "assert f(1) == 1"]
    result = judge(box, "def f(x): return x", *tests, stop_on_first_failure=True)
    assert [test.verdict for test in result.tests] == [AC, WA, SKIPPED]
    assert (result.verdict, result.passed, result.total) == (WA, 1, 3)


def test_state_lives_through_a_submission_but_not_with_isolated_tests(box: Sandbox) -> None:
    code = "calls = []\ndef f():\n    calls.append(1)\n    return len(calls)"
    tests = ["assert f() == 1", "assert f() == 2"]
    assert verdicts(box, code, *tests) == [AC, AC]
    assert verdicts(box, code, *tests, isolate="test") == [AC, WA]


def test_nothing_lives_on_into_the_next_submission(box: Sandbox) -> None:
    code = "import builtins, os\nbuiltins.seen = 1\nopen('/tmp/x', 'w').close()\ndef f(): return True"
    assert_accepted(box, code, "assert f()")
    check = "import builtins, os\ndef f(): return hasattr(builtins, 'seen') or os.path.exists('/tmp/x')"
    assert_accepted(box, check, "assert f() is False")


# --- set-up ---


def test_set_up_statements_run_in_order_before_each_test_that_needs_them(box: Sandbox) -> None:
    assert_accepted(box, "def f(x): return x", "x = 1\nassert f(x) == 1\nx += 1\nassert f(x) == 2", "assert f(x) == 2")


def test_set_up_runs_again_for_a_fresh_candidate(box: Sandbox) -> None:
    code = "import os\nclass C:\n    n = 0\n    def add(self):\n        self.n += 1\n        return self.n\ndef die(): os._exit(1)"
    tests = ["c = C()\nassert c.add() == 1", "assert die()", "assert c.add() == 1"]
    assert verdicts(box, code, *tests) == [AC, RE, AC]
    assert verdicts(box, code, tests[0], tests[2], isolate="test") == [AC, AC]


def test_a_set_up_that_fails_fails_the_tests_of_its_piece_only(box: Sandbox) -> None:
    code = "def f(x):\n    return 1 // x"
    assert verdicts(box, code, "y = f(0)\nassert y == 1", "assert f(1) == 1") == [RE, AC]


def test_tests_that_are_no_python_are_the_callers_fault(box: Sandbox) -> None:
    with pytest.raises(ProblemError, match="does not compile"):
        judge(box, "def f(): pass", "assert f( == 1")
    with pytest.raises(ProblemError, match="asserts anything"):
        judge(box, "def f(): pass", "f()")
    with pytest.raises(ProblemError, match="prelude"):
        judge(box, "def f(): pass", "assert f() is None", prelude="import (")
    assert_accepted(box, "def f(): pass", "assert f() is None")


# --- entry points and names ---


def test_check_receives_the_entry_point(box: Sandbox) -> None:
    assert_accepted(
        box,
        "def add(a, b): return a + b",
        "def check(candidate):\n    assert candidate(1, 2) == 3\n",
        entry_point="add",
    )


@pytest.mark.parametrize("entry_point", ["Solution().f", "(lambda x: Solution().f(x))", "Solution.g", "instance.f"])
def test_an_entry_point_is_any_expression(box: Sandbox, entry_point: str) -> None:
    code = "class Solution:\n    def f(self, x): return x + 1\n    @staticmethod\n    def g(x): return x + 1\ninstance = Solution()"
    assert_accepted(
        box,
        code,
        "def check(candidate):\n    assert candidate(1) == 2\n    assert candidate(x=1) == 2",
        entry_point=entry_point,
    )


def test_tests_may_use_the_entry_points_own_name(box: Sandbox) -> None:
    assert_accepted(
        box, "def add(a, b): return a + b", "assert add(1, 2) == 3", "assert candidate(1, 2) == 3", entry_point="add"
    )


def test_classes_defined_only_in_the_program_can_be_used(box: Sandbox) -> None:
    code = "class Pair:\n    def __init__(self, a, b): self.a, self.b = a, b\ndef longest(pairs): return max(p.b - p.a for p in pairs)"
    assert_accepted(box, code, "assert longest([Pair(5, 24), Pair(15, 25)]) == 19")


def test_constants_of_the_program_can_be_read(box: Sandbox) -> None:
    assert_accepted(
        box, "TABLE = {1: (2, [3])}\ndef f(): pass", "assert TABLE == {1: (2, [3])}", "assert TABLE[1][1] == [3]"
    )


def test_helpers_of_the_prelude_win_over_the_programs(box: Sandbox) -> None:
    code = "def same(a, b): return True\ndef f(): return 1"
    prelude = "def same(a, b): return a == b"
    assert verdicts(box, code, "assert same(f(), 1)", "assert same(f(), 2)", prelude=prelude) == [AC, WA]


def test_imports_of_the_tests_win_over_the_programs(box: Sandbox) -> None:
    code = "class math:\n    @staticmethod\n    def isclose(a, b): return True\ndef f(): return 1.0"
    assert verdicts(box, code, "import math\nassert math.isclose(f(), 1.0)\nassert math.isclose(f(), 2.0)") == [AC, WA]


def test_the_prelude_is_there_for_the_program_too(box: Sandbox) -> None:
    assert_accepted(
        box, "def f(x): return sqrt(x) + BASE", "assert f(4) == 12", prelude="from math import sqrt\nBASE = 10"
    )


def test_a_function_is_imported_not_run_as_a_script(box: Sandbox) -> None:
    assert_accepted(
        box, "def f(): return __name__\nif __name__ == '__main__':\n    input()", "assert f() != '__main__'"
    )


# --- values ---


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ("True", "1"), ("1", "1.0"), ("0.0", "-0.0"), ("2", "Decimal(2)"), ("{1: 'a'}", "{1.0: 'a'}"), ("{2, 1}", "{1, 2}"),
        ("frozenset([1])", "{1}"), ("Counter('aab')", "{'a': 2, 'b': 1}"), ("defaultdict(int, a=1)", "{'a': 1}"),
        ("OrderedDict(a=1, b=2)", "{'b': 2, 'a': 1}"), ("deque([1, 2])", "deque([1, 2])"), ("range(3)", "range(3)"),
        ("b'a'", "bytearray(b'a')"), ("'é\\U0001f600'", "'é\\U0001f600'"), ("None", "None"), ("(1, (2, [3]))", "(1, (2, [3]))"),
        ("10**5000", "10**5000"), ("Fraction(1, 2)", "0.5"), ("float('inf')", "float('inf')"), ("1j", "1j"),
        ("date(2020, 1, 2)", "date(2020, 1, 2)"), ("'\\ud800'", "'\\ud800'"), ("[[]] * 2", "[[], []]"),
        ("int", "int"), ("Point(1, 2)", "(1, 2)"),
    ],
)  # fmt: skip
def test_equal_as_python_says(box: Sandbox, returned: str, expected: str) -> None:
    imports = (
        "from collections import *\nfrom decimal import Decimal\nfrom fractions import Fraction\n"
        "from datetime import date\nPoint = namedtuple('Point', 'x y')\n"
    )
    assert_accepted(box, f"def f(): return {returned}", f"assert f() == {expected}", prelude=imports)


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ("(1, 2)", "[1, 2]"), ("[1, 2]", "(1, 2)"), ("'1'", "1"), ("1", "'1'"), ("{'1': 2}", "{1: 2}"), ("None", "0"),
        ("''", "None"), ("float('nan')", "float('nan')"), ("[1, 2]", "[2, 1]"), ("deque([1])", "[1]"), ("[[1, 2]]", "[(1, 2)]"),
        ("{1}", "[1]"), ("b'a'", "'a'"), ("0.1 + 0.2", "0.3"), ("int", "float"), ("10**5000", "10**5000 + 1"),
        ("object()", "1"), ("f", "1"), ("5e16 + 1", "50000000000000001"),
    ],
)  # fmt: skip
def test_unequal_as_python_says(box: Sandbox, returned: str, expected: str) -> None:
    assert verdicts(box, f"from collections import deque\ndef f(): return {returned}", f"assert f() == {expected}") == [
        WA
    ]


def test_types_of_results_can_be_asked(box: Sandbox) -> None:
    code = "def f(x): return x"
    tests = [
        "assert type(f(True)) is bool",
        "assert isinstance(f((1,)), tuple)",
        "assert f(None) is None",
        "assert f(2.0).is_integer()",
    ]
    assert_accepted(box, code, *tests)


def test_numpy_values_cross(box: Sandbox) -> None:
    code = "import numpy as np\ndef f(n): return np.arange(n)\ndef total(a): return a.sum()\ndef double(a): a *= 2"
    tests = [
        "import numpy as np\nassert f(3).tolist() == [0, 1, 2]",
        "assert np.array_equal(f(2), np.array([0, 1]))",
        "assert total(np.array([1.5, 2.5])) == 4.0",
        "a = np.array([1, 2])\ndouble(a)\nassert a.tolist() == [2, 4]",
    ]
    assert_accepted(box, code, *tests)


def test_huge_arguments_and_results(box: Sandbox) -> None:
    code = "def f(a): return sorted(a, reverse=True)\ndef g(a): a.reverse()"
    tests = ["a = list(range(100_000))\nassert f(a) == a[::-1]", "g(a)\nassert a[0] == 99_999 and len(a) == 100_000"]
    assert_accepted(box, code, *tests)


# --- arguments changed in place ---


@pytest.mark.parametrize(
    ("body", "argument", "after"),
    [
        ("a.append(3)", "[1, 2]", "[1, 2, 3]"),
        ("a[:] = a[::-1]", "[1, 2]", "[2, 1]"),
        ("a.clear()", "[1, 2]", "[]"),
        ("a[0][1] = 9", "[[1, 2], [3]]", "[[1, 9], [3]]"),
        ("a[0], a[1] = a[1], a[0]", "[[1], [2, 3]]", "[[2, 3], [1]]"),
        ("a['k'].append(1); a['n'] = None", "{'k': []}", "{'k': [1], 'n': None}"),
        ("del a['k']", "{'k': 1, 'j': 2}", "{'j': 2}"),
        ("a.add(3); a.discard(1)", "{1, 2}", "{2, 3}"),
        ("a[0].append(5)", "([], 1)", "([5], 1)"),
        ("a.extend(b'x')", "bytearray(b'a')", "bytearray(b'ax')"),
        ("a.rotate(1)", "deque([1, 2, 3])", "deque([3, 1, 2])"),
        ("a.update('ab')", "Counter('a')", "Counter('aab')"),
        ("a.move_to_end('x')", "OrderedDict(x=1, y=2)", "OrderedDict(y=2, x=1)"),
        ("a[0] += 1", "[True]", "[2]"),
        ("a[0] = float(a[0])", "[1]", "[1.0]"),
    ],
)
def test_changes_of_arguments_come_back(box: Sandbox, body: str, argument: str, after: str) -> None:
    test = f"a = {argument}\nb = a\nf(a)\nassert a == {after} and a is b and repr(a) == repr({after})"
    keyword = f"a = {argument}\nf(a=a)\nassert a == {after}"
    assert_accepted(box, f"def f(a):\n    {body}", test, keyword, prelude="from collections import *")


def test_changes_reach_lists_inside_that_the_test_holds(box: Sandbox) -> None:
    test = "row = [1, 2]\ngrid = [row, [3]]\nf(grid)\nassert row == [0, 2] and grid[0] is row"
    assert_accepted(box, "def f(grid): grid[0][0] = 0", test)


def test_changes_come_back_although_the_call_raises_nothing_and_returns_something(box: Sandbox) -> None:
    code = "def f(a):\n    a.sort()\n    return len(set(a))"
    assert_accepted(box, code, "a = [3, 1, 1]\nassert f(a) == 2 and a == [1, 1, 3]")


def test_a_result_that_aliases_an_argument_has_its_contents(box: Sandbox) -> None:
    assert_accepted(box, "def f(a):\n    a.append(1)\n    return a", "a = []\nassert f(a) == [1]", "assert a == [1]")


def test_arguments_that_no_call_changed_stay(box: Sandbox) -> None:
    code = "def f(a, b=None): return sorted(a)"
    assert_accepted(
        box,
        code,
        "a = [2, 1]\nb = {'x': {3, 1}}\nassert f(a, b=b) == [1, 2]",
        "assert (a, b) == ([2, 1], {'x': {1, 3}})",
    )


def test_each_test_gets_the_objects_of_the_test_not_what_the_program_kept(box: Sandbox) -> None:
    code = "kept = []\ndef f(a):\n    kept.append(a)\n    kept[0].append(0)\n    return len(a)"
    assert_accepted(box, code, "a = []\nassert f(a) == 1", "b = []\nassert f(b) == 0 and b == []")


# --- known classes ---


def test_linked_lists_cross_by_their_fields(box: Sandbox) -> None:
    code = "def rev(head):\n    last = None\n    while head:\n        head.next, last, head = last, head, head.next\n    return last"
    tests = [
        "assert listed(rev(linked([1, 2, 3]))) == [3, 2, 1]",
        "assert rev(None) is None",
        "assert listed(rev(linked(list(range(5000))))) == list(range(5000))[::-1]",
        "head = linked([1, 2])\ntail = head.next\nassert rev(head) is tail and tail.next is head and head.next is None",
    ]
    assert_accepted(box, code, *tests, prelude=LINKED_LIST)


def test_trees_are_changed_in_place(box: Sandbox) -> None:
    code = "def invert(t):\n    if t:\n        t.left, t.right = t.right, t.left\n        invert(t.left)\n        invert(t.right)\n    return t"
    test = "t = TreeNode(1, TreeNode(2), TreeNode(3, TreeNode(4)))\nr = t.right\ninvert(t)\nassert t.left is r and r.right.val == 4 and t.right.val == 2"
    assert_accepted(box, code, test, prelude=LINKED_LIST)


def test_cyclic_lists_keep_their_cycle(box: Sandbox) -> None:
    code = "def cycle(head):\n    slow = fast = head\n    while fast and fast.next:\n        slow, fast = slow.next, fast.next.next\n        if slow is fast: return True\n    return False"
    assert_accepted(
        box,
        code,
        "a = linked([1, 2, 3])\nassert not cycle(a)",
        "a.next.next.next = a\nassert cycle(a)",
        prelude=LINKED_LIST,
    )


def test_the_programs_own_copy_of_a_known_class_crosses_too(box: Sandbox) -> None:
    code = "class ListNode:\n    def __init__(self, val=0, next=None):\n        self.val, self.next = val, next\ndef one(): return ListNode(1)"
    assert_accepted(box, code, "assert listed(one()) == [1]", prelude=LINKED_LIST)


def test_lists_of_known_objects_and_slots(box: Sandbox) -> None:
    prelude = "class P:\n    __slots__ = ('x',)\n    def __init__(self, x): self.x = x"
    assert_accepted(
        box,
        "def f(ps):\n    ps[0].x = 5\n    return ps[::-1]",
        "ps = [P(1), P(2)]\nq = f(ps)\nassert q[1] is ps[0] and ps[0].x == 5",
        prelude=prelude,
    )


# --- objects that stay in the candidate ---


def test_class_design_problems(box: Sandbox) -> None:
    code = """
class Stack:
    limit = 3
    def __init__(self, *items): self.items = list(items)
    def push(self, x):
        self.items.append(x)
        return self
    def pop(self): return self.items.pop()
    def __len__(self): return len(self.items)
    def __bool__(self): return bool(self.items)
    def __contains__(self, x): return x in self.items
    def __getitem__(self, i): return self.items[i]
    def __setitem__(self, i, x): self.items[i] = x
    def __delitem__(self, i): del self.items[i]
    def __iter__(self): return iter(self.items)
    def __str__(self): return 'Stack' + str(self.items)
    def __enter__(self): return self
    def __exit__(self, *exc): self.items.clear()
    @property
    def top(self): return self.items[-1]
"""
    test = """
s = Stack(1)
s.push(2).push(3)
assert len(s) == 3 and s and 2 in s and 9 not in s
assert s.pop() == 3 and s.top == 2 and s.limit == 3 and s[0] == 1
s[0] = 7
del s[1]
assert list(s) == [7] and [x for x in s] == [7] and str(s) == 'Stack[7]'
s.limit = 9
assert s.limit == 9 and Stack.limit == 3
with s as t:
    assert t is s or t == s
assert not s and s != Stack() and s == s
try:
    s.missing
except AttributeError:
    pass
else:
    assert False
"""
    assert_accepted(box, code, test)


def test_handles_can_be_given_back(box: Sandbox) -> None:
    code = "class C:\n    def __init__(self, n): self.n = n\ndef total(items, key=None): return sum(c.n for c in items)\ndef same(a, b): return a is b"
    assert_accepted(
        box,
        code,
        "a, b = C(1), C(2)\nassert total([a, b]) == 3 and same(a, a) and not same(a, b)",
        "assert total(items=(a, b)) == 3",
    )


def test_an_object_has_no_say_in_what_it_equals(box: Sandbox) -> None:
    code = "class Yes:\n    def __eq__(self, other): return True\n    __ne__ = lambda self, other: False\n    __hash__ = None\ndef f(): return Yes()"
    assert verdicts(box, code, "assert f() == 1", "assert 1 == f()", "assert [f()] == [1]") == [WA, WA, WA]


def test_generators_and_iterators(box: Sandbox) -> None:
    code = "def count(n):\n    for i in range(n):\n        yield i\ndef forever():\n    while True:\n        yield 1"
    tests = [
        "assert list(count(3)) == [0, 1, 2]",
        "assert sum(count(4)) == 6 and [x for x in count(2)] == [0, 1]",
        "g = count(1)\nassert next(g) == 0\nassert next(g, 'end') == 'end'",
        "import itertools\nassert list(itertools.islice(forever(), 3)) == [1, 1, 1]",
    ]
    assert_accepted(box, code, *tests)


def test_functions_that_return_functions(box: Sandbox) -> None:
    assert_accepted(box, "def adder(n): return lambda x: x + n", "assert adder(2)(3) == 5")


# --- callbacks ---


def test_functions_of_the_test_can_be_given_to_the_program(box: Sandbox) -> None:
    code = "def apply(f, items): return [f(x) for x in items]\ndef key(f): return sorted([3, -1, 2], key=f)\ndef fold(f):\n    return f(f(1, b=2), b=3)"
    tests = [
        "assert apply(lambda x: x * 2, [1, 2]) == [2, 4]",
        "assert apply(str, [1]) == ['1'] and apply(len, ['ab']) == [2] and apply(int, ['7']) == [7]",
        "assert key(abs) == [-1, 2, 3]",
        "calls = []\nassert apply(calls.append, [1, 2]) == [None, None] and calls == [1, 2]",
        "def g(a, b=0):\n    return a * 10 + b\nassert fold(g) == 123",
        "assert apply(lambda f: f(2), [lambda x: x + 1]) == [3]",
    ]
    assert_accepted(box, code, *tests)


def test_an_exception_in_a_callback_can_be_caught_by_the_program_and_by_the_test(box: Sandbox) -> None:
    code = "def safe(f):\n    try:\n        return f()\n    except ZeroDivisionError:\n        return 'caught'\ndef unsafe(f): return f()"
    tests = [
        "assert safe(lambda: 1 // 0) == 'caught'",
        "try:\n    unsafe(lambda: [][1])\n    assert False\nexcept IndexError:\n    pass",
    ]
    assert_accepted(box, code, *tests)


def test_a_callback_may_call_the_program(box: Sandbox) -> None:
    code = "def f(g, n): return g(n)\ndef double(n): return 2 * n"
    assert_accepted(box, code, "assert f(lambda n: double(n) + 1, 4) == 9", "assert f(double, 4) == 8")


# --- exceptions ---


def test_expected_exceptions_can_be_caught_by_their_builtin_type(box: Sandbox) -> None:
    code = "class Mine(ValueError): pass\ndef f(x):\n    if x == 1: raise ValueError('one')\n    if x == 2: raise Mine('two')\n    raise KeyError(x)"
    tests = [
        "try:\n    f(1)\n    assert False\nexcept ValueError as e:\n    assert str(e) == 'one'",
        "try:\n    f(2)\n    assert False\nexcept ValueError as e:\n    assert str(e) == 'two'",
        "try:\n    f(3)\n    assert False\nexcept (KeyError, TypeError):\n    pass",
        "import contextlib\ncaught = False\ntry:\n    f(3)\nexcept LookupError:\n    caught = True\nassert caught",
    ]
    assert_accepted(box, code, *tests)


def test_an_exception_that_should_have_been_raised(box: Sandbox) -> None:
    test = "try:\n    f()\n    assert False, 'nothing was raised'\nexcept ValueError:\n    pass"
    assert judge(box, "def f(): pass", test).message == "nothing was raised"
    assert verdicts(box, "def f(): raise TypeError", test) == [RE]


def test_an_assertion_error_of_the_program_is_no_failed_test(box: Sandbox) -> None:
    assert verdicts(box, "def f(): assert False, 'mine'", "assert f() == 1") == [RE]


@pytest.mark.parametrize(
    "raised", ["SystemExit(0)", "KeyboardInterrupt", "GeneratorExit", "BaseException('x')", "StopIteration"]
)
def test_exceptions_that_end_programs_are_re(box: Sandbox, raised: str) -> None:
    assert verdicts(box, f"def f(): raise {raised}\ndef g(): return 1", "assert f() == 1", "assert g() == 1") == [
        RE,
        AC,
    ]
    assert judge(box, f"raise {raised}", "assert f() == 1").verdict is RE


def test_unprintable_and_odd_exceptions_are_re(box: Sandbox) -> None:
    code = "class E(Exception):\n    def __str__(self): raise self\ndef f(): raise E\ndef g(): b'\\xff'.decode()"
    assert verdicts(
        box, code, "assert f()", "assert g()", "try:\n    g()\nexcept UnicodeError:\n    pass\nassert True is not None"
    ) == [RE, RE, RE]


def test_too_deep_recursion_is_re(box: Sandbox) -> None:
    result = judge(box, "def f(n): return f(n + 1)", "assert f(0) == 1")
    assert result.verdict is RE
    assert "RecursionError" in result.message


def test_a_deep_recursion_that_the_program_asks_for_works(box: Sandbox) -> None:
    code = "import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)"
    assert_accepted(box, code, "assert f(50_000) == 50_000")


# --- test code of its own ---


def test_test_code_may_loop_and_call_its_own_helpers(box: Sandbox) -> None:
    tests = [
        "def brute(n):\n    return sum(range(n + 1))\n\nfor n in range(50):\n    assert f(n) == brute(n)",
        "import random\nrandom.seed(1)\nassert all(f(n) == brute(n) for n in [random.randrange(100) for _ in range(20)])",
        "assert [f(n) for n in range(3)] == [0, 1, 3] and sorted(map(f, [2, 1])) == [1, 3] and f(f(2)) == 6",
    ]
    assert_accepted(box, "def f(n): return n * (n + 1) // 2", *tests)


def test_a_loop_of_tests_stops_at_its_first_failure(box: Sandbox) -> None:
    assert verdicts(box, "def f(n): return n if n < 5 else 0", "for n in range(9):\n    assert f(n) == n, n") == [WA]


def test_printing_does_not_disturb_the_judge(box: Sandbox) -> None:
    code = "import sys, os\nprint('AC')\ndef f():\n    print('x' * 100_000)\n    os.write(1, b'1')\n    sys.stderr.write('y')\n    return 1"
    assert_accepted(box, code, "assert f() == 1")


def test_reading_stdin_is_end_of_file(box: Sandbox) -> None:
    assert verdicts(
        box,
        "def f(): return input()\ndef g():\n    import sys\n    return sys.stdin.read()",
        "assert f()",
        "assert g() == ''",
    ) == [RE, AC]


def test_dataclasses_pickle_and_typing_work_in_the_programs_module(box: Sandbox) -> None:
    code = """
from __future__ import annotations
import copy, pickle, typing
from dataclasses import dataclass
@dataclass(order=True)
class Point:
    x: int
    y: typing.Optional[Point] = None
def f(): return pickle.loads(pickle.dumps(Point(1))).x, copy.deepcopy(Point(2)) == Point(2), typing.get_type_hints(Point)['x'] is int
"""
    assert_accepted(box, code, "assert f() == (1, True, True)")


def test_threads_left_running_do_not_delay_the_verdict(box: Sandbox) -> None:
    code = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\ndef f(): return 1"
    assert_accepted(box, code, "assert f() == 1")


def test_measurements_are_those_of_the_program(box: Sandbox) -> None:
    code = "import time\nkeep = bytearray(40 << 20)\ndef f():\n    end = time.process_time() + 0.2\n    while time.process_time() < end: pass\n    return 1"
    result = judge(box, code, "assert f() == 1")
    assert 0.2 <= result.cpu_s < 2
    assert 40 << 20 < result.peak_memory_bytes < 200 << 20
    assert result.enforcement == "userns"


def test_an_object_that_claims_to_contain_everything_earns_nothing(box: Sandbox) -> None:
    """`in` goes by what the object yields: asked with the expected value, it would be told the answer."""
    code = "class Liar:\n    def __contains__(self, x): return True\ndef f(): return Liar()\n"
    problem = Problem(id="liar", entry_point="f", tests=("assert 5 in f()",))
    assert box.judge(problem, code).verdict is not Verdict.AC


def test_a_module_that_tests_use_without_importing_it_is_the_real_one(box: Sandbox) -> None:
    """The program's own `math` has no say in a comparison."""
    code = "class math:\n    isclose = staticmethod(lambda a, b, **k: True)\ndef f(): return 2.0\n"
    right = Problem(id="right", entry_point="f", tests=("assert math.isclose(f(), 2.0)",))
    wrong = Problem(id="wrong", entry_point="f", tests=("assert math.isclose(f(), 3.0)",))
    assert box.judge(right, code).verdict is Verdict.AC
    assert box.judge(wrong, code).verdict is Verdict.WA


def test_a_prelude_that_raises_is_the_problems_fault(box: Sandbox) -> None:
    """Not an infrastructure failure, which would be tried again, nor a verdict on the program."""
    problem = Problem(id="bad", prelude="1 / 0", tests=("assert f()",))
    with pytest.raises(ProblemError, match="ZeroDivisionError"):
        box.judge(problem, "def f(): return True")


# --- what a program must not get away with ---


def test_a_set_up_without_tests_of_its_own_takes_the_later_ones_with_it(box: Sandbox) -> None:
    code = "def f(x):\n    return 1 // x"
    assert verdicts(box, code, "y = f(0)", "assert f(1) == 1") == [RE]
    assert verdicts(box, code, "y = f(1)", "assert f(y) == 1") == [AC]


def test_an_assertion_that_the_program_swallows_has_failed(box: Sandbox) -> None:
    test = "def seen(x):\n    assert x == 3, 'not three'\nassert f(seen) is None"
    swallowing = "def f(g):\n    try: g(4)\n    except AssertionError: pass"
    result = judge(box, swallowing, test, "assert f(print) is None")
    assert [test.verdict for test in result.tests] == [WA, AC]
    assert result.message == "not three"
    assert verdicts(box, "def f(g): g(3)", test) == [AC]


def test_an_object_is_callable_where_the_program_made_it_so(box: Sandbox) -> None:
    code = "def f(x):\n    return (lambda: x) if x else object()"
    assert verdicts(box, code, "assert callable(f(1)) and f(1)() == 1", "assert not callable(f(0))") == [AC, AC]


def test_a_function_of_the_test_is_not_handed_to_c_code_for_the_program(box: Sandbox) -> None:
    """`str.format` would read the test's variables through the function's attributes."""
    test = "secret = 'x'\nassert f(str.format, lambda: 1) == 'x'"
    assert verdicts(box, "def f(form, g): return form('{0.__globals__[secret]}', g)", test) == [RE]
    assert_accepted(box, "def f(form, x): return form('<{}>', x)", "assert f(str.format, 3) == '<3>'")


def test_answers_of_a_child_do_not_count_for_a_program_that_has_ended(box: Sandbox) -> None:
    code = "import os\nif os.fork(): os._exit(0)\nwhile os.getppid() != 1: pass\ndef f(x): return x"
    for _ in range(10):
        assert set(verdicts(box, code, "assert f(1) == 1", "assert f(2) == 2")) == {RE}


def test_a_busy_generator_is_not_idle(box: Sandbox) -> None:
    """Between its thousands of quick answers it is seen asleep at every look."""
    limits = Limits(cpu_s=10, idle_s=0.6)
    assert verdicts(box, "def f(n):\n    yield from range(n)", "assert sum(f(20000)) == 199990000", limits=limits) == [
        AC
    ]


def test_a_program_that_ends_in_every_test_costs_the_judge_no_more_than_one(box: Sandbox) -> None:
    """Each end is followed by a fresh candidate, and by a fresh prelude here, which once piled up."""
    result = judge(
        box, "import os\ndef f(x): os._exit(0)", *["assert f(1) == 1"] * 40,
        prelude="TABLE = list(range(1000, 1_500_000))", limits=Limits(memory_bytes=128 << 20),
    )  # fmt: skip
    assert {test.verdict for test in result.tests} == {RE}


def test_what_a_program_says_of_a_cached_property_is_not_believed(box: Sandbox) -> None:
    prelude = """
import functools
class P:
    def __init__(self, items): self.items = items
    @functools.cached_property
    def is_sorted(self): return self.items == sorted(self.items)
"""
    lying = "def f(x):\n    p = P(x); p.__dict__['is_sorted'] = True; return p"
    asking = "def f(x):\n    p = P(sorted(x)); assert p.is_sorted; return p"
    test = "assert f([3, 1, 2]).is_sorted"
    assert verdicts(box, lying, test, prelude=prelude) == [WA]
    assert verdicts(box, asking, test, prelude=prelude) == [AC]


def test_naps_in_many_calls_of_one_process_count_for_the_limit_over_all_tests(box: Sandbox) -> None:
    limits = Limits(cpu_s=0.5, total_cpu_s=1.0, idle_s=1.0)
    found = verdicts(box, "import time\ndef f(): time.sleep(0.3)", *["assert f() is None"] * 8, limits=limits)
    assert found[:2] == [AC, AC]
    assert found[-1] is TLE


# --- checkers ---

FLOATS = Checker(compare=Compare.FLOATS)
ANY = Checker(compare=Compare.FLOATS, order=Order.ANY)
THIRD = "def f(x=1):\n    return x / 3"


def test_python_compares_where_there_is_no_checker(box: Sandbox) -> None:
    assert verdicts(box, THIRD, "assert f() == 0.3333333333333333", "assert f() == 0.3333333333") == [AC, WA]


@pytest.mark.parametrize(
    "test",
    [
        "assert f() == 0.33333333",
        "assert 0.33333333 == f()",
        "assert not f() != 0.33333333",
        "assert f() == 0.33333333 and f(2) == 0.66666666, 'message'",
        "assert all(f(x) == y for x, y in [(1, 0.33333333), (2, 0.66666666)])",
        "assert [f(), [f(2)]] == [0.33333333, [0.66666666]]",
        "assert {'k': f()} == {'k': 0.33333333}",
        "import numpy as np\nassert (np.array([f()]) == np.array([0.33333333])).all()",
        "for x, y in [(1, 0.33333333)]:\n    assert f(x) == y",
        "def verify(x, y):\n    assert f(x) == y\nverify(1, 0.33333333)",
        "def check(candidate):\n    assert candidate() == 0.33333333",
        "class Suite:\n    def run(self):\n        assert f() == 0.33333333\ndef go():\n    assert True\n    Suite().run()\ngo()\nassert Suite().run() is None",
    ],
)
def test_a_checker_compares_in_assertions(box: Sandbox, test: str) -> None:
    assert_accepted(box, THIRD, test, checker=FLOATS, entry_point="f")
    assert judge(box, THIRD.replace("3", "3.1"), test, checker=FLOATS, entry_point="f").verdict is WA


def test_a_checker_compares_nowhere_else(box: Sandbox) -> None:
    tests = [
        "same = f() == 0.33333333\nassert same",
        "assert f() == 0.33333333 == 0.33333333",
        "assert f() <= 0.33333333",
    ]
    assert verdicts(box, THIRD, *tests, checker=FLOATS) == [WA, WA, WA]


def test_a_checker_may_ignore_order_and_case(box: Sandbox) -> None:
    code = "def f():\n    return [[2, 'B'], [1 / 3, 'A']]"
    test = "assert f() == [[0.33333333, 'a'], [2, 'b']]"
    assert judge(box, code, test, checker=FLOATS).verdict is WA
    assert judge(box, code, test, checker=ANY).verdict is WA
    folded = Checker(compare=Compare.FLOATS, order=Order.ANY, ignore_case=True)
    assert_accepted(box, code, test, checker=folded)


LYING_VALUES = [
    "type('E', (), {'__eq__': lambda s, o: True, '__ne__': lambda s, o: False})()",
    "type('F', (float,), {'__eq__': lambda s, o: True, '__sub__': lambda s, o: 0.0, '__abs__': lambda s: 0.0})(5)",
    "type('I', (int,), {'__eq__': lambda s, o: True, '__float__': lambda s: 0.5, '__hash__': lambda s: 1})(5)",
    "type('L', (list,), {'__eq__': lambda s, o: True, '__len__': lambda s: 1, '__iter__': lambda s: iter([0.5])})([7])",
    "type('S', (str,), {'__eq__': lambda s, o: True, 'split': lambda s: ['x'], 'casefold': lambda s: 'x'})('y')",
    "type('N', (), {'__float__': lambda s: 0.5, '__index__': lambda s: 1, '__array__': lambda s, *a: 0})()",
    "float('nan')",
    "float('inf')",
    "[float('nan')]",
    "__import__('decimal').Decimal('NaN')",
    "__import__('numpy').array([float('nan')])",
    "__import__('numpy').float64('nan')",
    "type('A', (__import__('numpy').ndarray,), {'__eq__': lambda s, o: True})(1)",
    "[[]] * 100000",
    "[object()]",
    "None",
]


@pytest.mark.parametrize("value", LYING_VALUES)
def test_no_value_fools_a_checker(box: Sandbox, value: str) -> None:
    tests = [f"assert f() == {expected}" for expected in ("0.5", "[0.5]", "'x'", "1", "f(1)")]
    for checker in (FLOATS, ANY, Checker(compare=Compare.TOKENS, order=Order.ANY_NESTED, ignore_case=True)):
        found = verdicts(box, f"def f(x=0):\n    return {value} if not x else 'other'", *tests, checker=checker)
        assert AC not in found


def test_no_program_can_put_its_own_in_the_place_of_the_checker(box: Sandbox) -> None:
    code = (
        "globals()['checker.equal'] = lambda a, b: True\nimport builtins\n"
        "setattr(builtins, 'checker.equal', lambda a, b: True)\ndef f(): return 1"
    )
    assert verdicts(box, code, "assert f() == 2", "assert f() != 1", checker=FLOATS) == [WA, WA]
    assert verdicts(box, code, "assert f() == 2", "assert f() != 1") == [WA, WA]


def test_values_that_keep_a_checker_busy_are_tle_or_wrong(box: Sandbox) -> None:
    code = "def f():\n    return [[n / 1e9, -n / 1e9] for n in range(20000)]"
    test = "assert f() == [[n / 1e9, (20000 - n) / 1e9] for n in range(20000)]"
    assert judge(box, code, test, checker=ANY).verdict in (TLE, WA)


# --- values arrive as they were ---

ZONED = "__import__('datetime').datetime(2023, 10, 29, 2, 30, fold=1, tzinfo=__import__('zoneinfo').ZoneInfo('Europe/Berlin'))"


@pytest.mark.parametrize(
    ("value", "test"),
    [
        ("(1, [2], {3})", "f() == (1, [2], {3}) and f() != [1, [2], {3}]"),
        ("{1: 'a', (2, 3): 'b', None: 'c', frozenset({4}): 'd'}", "f()[(2, 3)] == 'b' and f()[frozenset({4})] == 'd'"),
        ("collections.Counter('aab')", "f() == {'a': 2, 'b': 1} and f()['z'] == 0"),
        ("collections.defaultdict(list, a=[1])", "f() == {'a': [1]} and f()['z'] == []"),
        ("collections.OrderedDict(b=1, a=2)", "f() == {'a': 2, 'b': 1} and list(f()) == ['b', 'a']"),
        ("collections.OrderedDict(b=1, a=2)", "f() != collections.OrderedDict(a=2, b=1)"),
        ("collections.deque([1, 2], 2)", "f() == collections.deque([1, 2]) and f().maxlen == 2 and f() != [1, 2]"),
        ("collections.namedtuple('R', 'x count')(1, [2])", "f() == (1, [2]) and f().x == 1 and f().count == [2]"),
        ("decimal.Decimal('1.10')", "f() == decimal.Decimal('1.1') and str(f()) == '1.10'"),
        ("decimal.Decimal('-0')", "f() == 0 and f().is_signed()"),
        ("decimal.Decimal('NaN')", "f() != f() and f().is_nan()"),
        ("decimal.Decimal('sNaN')", "f().is_snan()"),
        ("decimal.Decimal('-Infinity')", "f() == float('-inf')"),
        ("fractions.Fraction(2, 6)", "f() == fractions.Fraction(1, 3) and f().denominator == 3"),
        ("complex(float('inf'), -0.0)", "f() == complex('inf') and str(f().imag) == '-0.0'"),
        ("float('nan')", "f() != f()"),
        ("-0.0", "f() == 0 and str(f()) == '-0.0'"),
        ("[True, 1, 1.0]", "f() == [1, 1, 1] and [type(x).__name__ for x in f()] == ['bool', 'int', 'float']"),
        ("range(0, 10, 3)", "f() == range(0, 12, 3) and f() != [0, 3, 6, 9]"),
        ("[b'a', bytearray(b'b')]", "f() == [b'a', b'b'] and f()[1].decode() == 'b'"),
        ("array.array('d', [1.5])", "f() == array.array('d', [1.5]) and f().typecode == 'd'"),
        ("datetime.timedelta(days=-1, microseconds=1)", "f() == datetime.timedelta(microseconds=1) - datetime.timedelta(1)"),
        ("datetime.time(2, 30, fold=1, tzinfo=datetime.timezone.utc)", "f().fold == 1 and f().tzinfo == datetime.timezone.utc"),
        (ZONED, f"f() == {ZONED} and f().utcoffset() == datetime.timedelta(hours=1)"),
        ("np.float64(0.5)", "f() == 0.5 and f().dtype == 'f8'"),
        ("np.float16(0.1)", "f() == np.float16(0.1) and float(f()) != 0.1"),
        ("np.longdouble(1) / 3", "f() == np.longdouble(1) / 3 and f() != 1 / 3"),
        ("np.array([[1, 2]], 'i2')", "f().shape == (1, 2) and f().dtype == 'i2' and (f() == [[1, 2]]).all()"),
        ("np.array(5)", "f() == 5 and f().shape == ()"),
        ("np.zeros((0, 3))", "f().shape == (0, 3)"),
        ("np.arange(4) > 1", "f().tolist() == [False, False, True, True] and np.arange(4)[f()].tolist() == [2, 3]"),
        ("np.array(['2020-01-01', 'NaT'], 'M8[D]')", "f()[0] == datetime.date(2020, 1, 1) and np.isnat(f()[1])"),
        ("np.timedelta64(90, 'm')", "f() == np.timedelta64(5400, 's')"),
        ("np.array([1, None, 'x'], dtype=object)", "f().tolist() == [1, None, 'x'] and f().dtype == object"),
        ("np.array([(1, 2.5)], dtype=[('a', 'i4'), ('b', 'f8')])", "f()['b'][0] == 2.5 and f()[0]['a'] == 1"),
        ("np.array([1 + 2j])", "f()[0] == 1 + 2j"),
        ("Colour.RED", "f() is Colour.RED and f() == Colour('r') and f() != Colour.BLUE"),
        ("Right.READ | Right.WRITE", "f() == Right.WRITE | Right.READ and f() != Right.READ"),
        ("Level.LOW", "f() is Level.LOW and f() == 1"),
        ("Point(1, 2)", "f() == Point(1, 2) and isinstance(f(), Point) and f().norm() == 5"),
        ("http.HTTPStatus.OK", "f() == 200"),
    ],
)  # fmt: skip
def test_values_arrive_as_they_were(box: Sandbox, value: str, test: str) -> None:
    imports = "import array, collections, datetime, decimal, fractions, http\nimport numpy as np\n"
    prelude = imports + (
        "import enum, typing\n"
        "class Colour(enum.Enum):\n    RED = 'r'\n    BLUE = 'b'\n"
        "class Right(enum.Flag):\n    READ = 1\n    WRITE = 2\n"
        "class Level(enum.IntEnum):\n    LOW = 1\n"
        "class Point(typing.NamedTuple):\n    x: int\n    y: int\n    def norm(self):\n        return self.x ** 2 + self.y ** 2\n"
    )
    program = f"def f():\n    return {value}"
    assert_accepted(box, program, f"assert {test}", prelude=prelude)
    assert eval(test, {**_names(prelude), "f": lambda: _value(prelude, value)})  # plain Python says so, too


def _names(prelude: str) -> dict[str, object]:
    names = _NAMES.setdefault(prelude, {})
    if not names:
        exec(prelude, names)
    return names


def _value(prelude: str, value: str) -> object:
    return eval(value, _names(prelude))


_NAMES: dict[str, dict[str, object]] = {}


@pytest.mark.parametrize(
    "value",
    ["Colour.RED", "Right.READ | Right.WRITE", "collections.defaultdict(int, a=1)", "array.array('i', [1])",
     "datetime.timezone.utc", "np.datetime64('2020-01-01')", "decimal.Decimal('1.1')"],
)  # fmt: skip
def test_values_reach_the_program_as_they_are(box: Sandbox, value: str) -> None:
    prelude = (
        "import array, collections, datetime, decimal, enum\nimport numpy as np\n"
        "class Colour(enum.Enum):\n    RED = 'r'\nclass Right(enum.Flag):\n    READ = 1\n    WRITE = 2\n"
    )
    assert_accepted(
        box, f"def f(x):\n    return type(x) is type({value}) and x == {value}", f"assert f({value})", prelude=prelude
    )


def test_changes_of_a_defaultdict_come_back(box: Sandbox) -> None:
    code = "def f(d):\n    d['a'].append(1)\n    d['b'].append(2)"
    test = "import collections\nd = collections.defaultdict(list, a=[0])\nf(d)\nassert d == {'a': [0, 1], 'b': [2]} and d['c'] == []"
    assert_accepted(box, code, test)


def test_a_named_tuple_cannot_answer_for_its_methods(box: Sandbox) -> None:
    code = "import collections\ndef f():\n    return collections.namedtuple('R', 'count')(lambda x: 3)"
    assert judge(box, code, "assert f().count(1) == 3").verdict is RE
