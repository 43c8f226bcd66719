# ruff: noqa: E501  (a program on one line beside its test reads better than one cut in four)
"""Programs run as scripts behave as they do under plain Python: their input, their output, their end."""

import pytest

from sandbox import Limits, RunResult, Sandbox, Verdict

READERS = {
    "input": "import sys\ntry:\n    while True: print(input())\nexcept EOFError: pass",
    "read": "import sys\nprint(sys.stdin.read(), end='')",
    "readline": "import sys\nwhile line := sys.stdin.readline(): print(line, end='')",
    "readlines": "import sys\nprint(*sys.stdin.readlines(), sep='', end='')",
    "iteration": "import sys\nfor line in sys.stdin: print(line, end='')",
    "buffer.read": "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read())",
    "buffer.readline": "import sys\nfor line in iter(sys.stdin.buffer.readline, b''): sys.stdout.buffer.write(line)",
    "buffer iteration": "import sys\nfor line in sys.stdin.buffer: sys.stdout.buffer.write(line)",
    "open(0)": "print(open(0).read(), end='')",
    "open(0, 'rb')": "import sys\nsys.stdout.buffer.write(open(0, 'rb').read())",
    "os.read": "import os\nwhile data := os.read(0, 7): os.write(1, data)",
    "os.fstat": "import os\nos.write(1, os.read(0, os.fstat(0).st_size))",
    "mmap": "import mmap, os\nos.write(1, mmap.mmap(0, 0, access=mmap.ACCESS_READ)[:])",
    "io.BytesIO": "import io, os, sys\ninput = io.BytesIO(os.read(0, os.fstat(0).st_size)).readline\nsys.stdout.write(''.join(iter(lambda: input().decode(), '')))",
    "/dev/stdin": "print(open('/dev/stdin').read(), end='')",
    "/proc/self/fd/0": "print(open('/proc/self/fd/0').read(), end='')",
    "fileinput": "import fileinput\nfor line in fileinput.input(): print(line, end='')",
    "map over stdin": "import sys\ninput = sys.stdin.readline\nwhile True:\n    line = input()\n    if not line: break\n    sys.stdout.write(line)",
    "subprocess": "import subprocess\nsubprocess.run(['cat'])",
    "os.system": "import os\nos.system('cat')",
    "csv": "import csv, sys\nfor row in csv.reader(sys.stdin): print(','.join(row))",
    "select": "import os, select\nassert select.select([0], [], [], 5)[0] == [0]\nos.write(1, os.read(0, 1000))",
    "asyncio thread": "import asyncio, sys\nprint(asyncio.run(asyncio.to_thread(sys.stdin.read)), end='')",
}  # fmt: skip


def run(box: Sandbox, code: str, stdin: str | bytes = "", **limits: object) -> RunResult:
    return box.run(code, stdin, Limits(**limits))  # type: ignore[arg-type]


def output(box: Sandbox, code: str, stdin: str | bytes = "", **limits: object) -> bytes:
    result = run(box, code, stdin, **limits)
    assert (result.verdict, result.exit_code, result.message) == (Verdict.AC, 0, ""), result
    return result.stdout


# --- stdin ---


@pytest.mark.parametrize("code", READERS.values(), ids=READERS.keys())
def test_every_way_to_read_the_input_gets_all_of_it(box: Sandbox, code: str) -> None:
    text = "3 4\nhello wörld\n\n-7\n"
    assert output(box, code, text).decode() == text


@pytest.mark.parametrize(
    "code", [READERS[name] for name in READERS if name != "mmap"], ids=[n for n in READERS if n != "mmap"]
)
def test_an_empty_input_is_the_end_of_the_file_and_no_wait(box: Sandbox, code: str) -> None:
    assert output(box, code, "") == b""


@pytest.mark.parametrize("name", ["read", "readline", "iteration", "buffer.read", "open(0)", "os.read"])
def test_a_missing_last_newline_stays_missing(box: Sandbox, name: str) -> None:
    assert output(box, READERS[name], "1\n2") == b"1\n2"


def test_input_takes_a_last_line_without_newline(box: Sandbox) -> None:
    assert output(box, "print(int(input()) + int(input()))", "1\n2") == b"3\n"


def test_reading_past_the_end_raises_eoferror(box: Sandbox) -> None:
    result = run(box, "input()\ninput()", "1\n")
    assert (result.verdict, result.exit_code) == (Verdict.RE, 1)
    assert result.stderr.decode().endswith("EOFError: EOF when reading a line\n")


def test_windows_line_ends_arrive_as_they_are_as_on_any_linux(box: Sandbox) -> None:
    assert (
        output(box, "import sys\nprint(repr(input()), repr(sys.stdin.read()))", "a\r\nb\r\n") == b"'a\\r' 'b\\r\\n'\n"
    )
    assert output(box, "print(int(input()) + int(input()))", "1\r\n2\r\n") == b"3\n"
    assert output(box, READERS["buffer.read"], "a\r\nb\r\n") == b"a\r\nb\r\n"


def test_input_prompts_go_to_stdout_as_under_a_pipe(box: Sandbox) -> None:
    assert output(box, "x = input('name? ')\nprint(x)", "a\n") == b"name? a\n"


def test_a_large_input_that_is_never_read_does_not_matter(box: Sandbox) -> None:
    assert output(box, "print(1)", "x" * 20_000_000) == b"1\n"


def test_a_large_input_arrives_whole(box: Sandbox) -> None:
    code = "import sys\nprint(sum(map(int, sys.stdin.read().split())))"
    assert output(box, code, "7 " * 1_000_000) == b"7000000\n"


def test_bytes_that_are_no_text_arrive_as_they_are(box: Sandbox) -> None:
    data = bytes(range(256))
    assert output(box, READERS["buffer.read"], data) == data
    assert (
        output(box, "import sys\nsys.stdin.read()\nprint(1)", "\udcff") == b"1\n"
    )  # surrogateescape, as UTF-8 mode does


def test_stdin_is_a_file_that_cannot_be_written(box: Sandbox) -> None:
    assert (
        output(box, "import os, sys\ntry:\n    os.write(0, b'x')\nexcept OSError: print(sys.stdin.isatty())", "a")
        == b"False\n"
    )


# --- stdout and stderr ---


@pytest.mark.parametrize(
    "code",
    [
        "print('out')",
        "print('out', flush=True)",
        "import sys\nsys.stdout.write('out\\n')",
        "import sys\nsys.stdout.buffer.write(b'out\\n')",
        "import sys\nprint('out', file=sys.__stdout__)",
        "import os\nos.write(1, b'out\\n')",
        "import subprocess\nsubprocess.run(['echo', 'out'], check=True)",
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'print(\"out\")'], check=True)",
        "import os\nos.system('echo out')",
        "import atexit\natexit.register(print, 'out')",
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.05), print('out'))).start()",
        "open('/dev/stdout', 'w').write('out\\n')",
        "open(1, 'w').write('out\\n')",
        "import os\nif os.fork() == 0:\n    print('out')\nelse:\n    os.wait()",
        "import os\nos.execvp('echo', ['echo', 'out'])",
        "import sys, io\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')\nprint('out')\nsys.stdout.flush()",
        "import ctypes\nctypes.CDLL(None).puts(b'out')\nctypes.CDLL(None).fflush(None)",
        "import sys\nsys.stdout.reconfigure(line_buffering=True)\nprint('out')",
        "class C:\n    def __del__(self): print('out')\nc = C()\ndel c",
        "import concurrent.futures as f\nwith f.ThreadPoolExecutor() as pool: print(pool.submit(str, 'out').result())",
        "import io, os, sys\nsys.stdin = io.TextIOWrapper(sys.stdin.buffer)\nsys.stdout = os.fdopen(1, 'w')\nprint('out')",
        "import sys\nassert not sys.stdout.seekable() and not sys.stdout.isatty()\nprint('out')",
        "import logging, sys\nlogging.basicConfig(stream=sys.stdout, format='%(message)s')\nlogging.warning('out')",
    ],
)
def test_whatever_reaches_descriptor_1_is_output(box: Sandbox, code: str) -> None:
    assert output(box, code) == b"out\n"


def test_prints_keep_their_order_with_writes_that_follow_a_flush(box: Sandbox) -> None:
    assert output(box, "import os\nprint(1, flush=True)\nos.write(1, b'2\\n')\nprint(3)") == b"1\n2\n3\n"


def test_stderr_is_kept_apart(box: Sandbox) -> None:
    result = run(box, "import sys\nprint('out')\nprint('err', file=sys.stderr)")
    assert (result.stdout, result.stderr) == (b"out\n", b"err\n")


@pytest.mark.parametrize("text", ["é", "\U0001f600", "日本", "\0", "\x1b[0m", "\u2028"])
def test_text_of_any_script_is_utf8(box: Sandbox, text: str) -> None:
    assert output(box, f"print({text!r}, end='')").decode() == text
    assert output(box, "print(input(), end='')", text + "\n").decode() == text


def test_lone_surrogates_cannot_be_printed_as_under_python(box: Sandbox) -> None:
    result = run(box, "print('\\ud800')")
    assert result.verdict is Verdict.RE
    assert b"UnicodeEncodeError" in result.stderr


def test_the_program_itself_may_hold_any_text(box: Sandbox) -> None:
    assert output(box, '# coding: utf-8\nprint(\'é"""\\\\\')\r\nπ = 3\r\nprint(π)\r\n') == 'é"""\\\n3\n'.encode()


@pytest.mark.parametrize("size", [65_536, 65_537, 999_999, 1_000_000])
def test_outputs_up_to_the_limit_are_whole(box: Sandbox, size: int) -> None:
    for code in (
        f"print('x' * {size}, end='')",
        f"import os\ndata = b'x' * {size}\nwhile data: data = data[os.write(1, data):]",
    ):
        assert output(box, code, output_bytes=1_000_000) == b"x" * size


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_one_byte_more_than_the_limit_is_ole_and_is_cut(box: Sandbox, stream: str) -> None:
    result = run(box, f"import sys\nsys.{stream}.write('x' * 1_000_001)", output_bytes=1_000_000)
    assert (result.verdict, result.message) == (Verdict.OLE, "output limit exceeded")
    assert len(getattr(result, stream)) == 1_000_000


def test_many_small_writes_arrive(box: Sandbox) -> None:
    assert output(box, "for i in range(100_000): print(i)") == "".join(f"{i}\n" for i in range(100_000)).encode()


# --- the end ---


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("", 0), ("exit()", 0), ("quit()", 0), ("exit(3)", 3), ("import sys; sys.exit()", 0), ("import sys; sys.exit(0)", 0),
        ("import sys; sys.exit(4)", 4), ("import sys; sys.exit(256 + 5)", 5), ("import sys; sys.exit(-1)", 255),
        ("raise SystemExit", 0), ("raise SystemExit(6)", 6), ("import os; os._exit(7)", 7), ("1 / 0", 1),
        ("import sys; sys.exit(True)", 1), ("import sys; sys.exit('why')", 1), ("import os; os.abort", 0),
        ("import sys\ntry:\n    sys.exit(2)\nfinally:\n    print(1)", 2), ("raise KeyboardInterrupt", 1),
        ("class E(SystemExit): pass\nraise E(9)", 9),
    ],
)  # fmt: skip
def test_the_exit_status_is_that_of_python(box: Sandbox, code: str, status: int) -> None:
    result = run(box, code)
    assert result.exit_code == status
    assert result.verdict is (Verdict.AC if status == 0 else Verdict.RE)
    assert result.message == ("" if status == 0 else f"exited with status {status}")


def test_a_message_given_to_exit_goes_to_stderr(box: Sandbox) -> None:
    assert run(box, "exit('why')").stderr == b"why\n"


def test_output_before_exit_is_kept_and_before_os_exit_is_lost_as_under_python(box: Sandbox) -> None:
    assert output(box, "print(1)\nexit()\nprint(2)") == b"1\n"
    assert output(box, "import os\nprint(1)\nos._exit(0)") == b""
    assert output(box, "import os\nprint(1, flush=True)\nos._exit(0)") == b"1\n"
    assert run(box, "print(1)\n1 / 0").stdout == b"1\n"


@pytest.mark.parametrize(("number", "name"), [(6, "SIGABRT"), (9, "SIGKILL"), (11, "SIGSEGV"), (15, "SIGTERM")])
def test_a_signal_is_named(box: Sandbox, number: int, name: str) -> None:
    result = run(box, f"import os\nprint(1, flush=True)\nos.kill(os.getpid(), {number})")
    assert (result.verdict, result.exit_code, result.message) == (Verdict.RE, None, f"killed by {name}")
    assert result.stdout == b"1\n"


def test_a_crash_of_the_interpreter_is_re(box: Sandbox) -> None:
    assert run(box, "import ctypes\nctypes.string_at(0)").message == "killed by SIGSEGV"


def test_the_traceback_shows_the_programs_own_lines_only(box: Sandbox) -> None:
    result = run(box, "def f():\n    return 1 // 0\n\nf()")
    lines = result.stderr.decode().splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert [line.strip() for line in lines if "File" in line] == [
        'File "main.py", line 4, in <module>', 'File "main.py", line 2, in f',
    ]  # fmt: skip
    assert lines[-1].startswith("ZeroDivisionError")


def test_a_program_may_handle_its_own_exceptions_last(box: Sandbox) -> None:
    result = run(box, "import sys\nsys.excepthook = lambda *a: print('mine')\n1 / 0")
    assert (result.exit_code, result.stdout, result.stderr) == (1, b"mine\n", b"")


@pytest.mark.parametrize("code", ["def f(:", "return 1", "x = 1\n\ty", "\0", "'unclosed", "import __future__.x.("])
def test_a_program_that_does_not_compile_is_ce(box: Sandbox, code: str) -> None:
    result = run(box, code)
    assert result.verdict is Verdict.CE
    assert "Error" in result.message


def test_a_program_as_long_as_no_command_line(box: Sandbox) -> None:
    assert output(box, "x = 1\n" * 200_000 + "print(x)") == b"1\n"


def test_lone_surrogates_in_the_source_are_ce(box: Sandbox) -> None:
    assert run(box, "print('\ud800')").verdict is Verdict.CE


def test_threads_are_waited_for_and_daemons_are_not(box: Sandbox) -> None:
    code = "import threading, time\ndef late(n):\n    time.sleep(n)\n    print(n)\nthreading.Thread(target=late, args=(0.1,)).start()\nthreading.Thread(target=late, args=(60,), daemon=True).start()"
    assert output(box, code) == b"0.1\n"


# --- what programs rely on ---


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        ("if __name__ == '__main__':\n    print('main')", "main"),
        ("def main():\n    print('main')\nif __name__ == '__main__': main()", "main"),
        ("import __main__\nprint(__main__.__name__, __name__)", "__main__ __main__"),
        ("import sys\nprint(sys.argv, len(sys.argv))", "['main.py'] 1"),
        ("import os\nprint(os.path.basename(__file__))", "main.py"),
        ("global x\nx = 1\ndef f():\n    global x\n    x += 1\nf()\nprint(x)", "2"),
        ("from __future__ import annotations\ndef f(x: undefined): return x\nprint(f(1))", "1"),
        ("def f(x: int): pass\nprint(f.__annotations__)", "{'x': <class 'int'>}"),
        ("from math import *\nprint(floor(pi))", "3"),
        ("[print(x) for x in [1]]", "1"),
        ("import numpy as np\nprint(np.arange(3).sum())", "3"),
        ("from sortedcontainers import SortedList\nprint(SortedList([2, 1]))", "SortedList([1, 2])"),
        ("import sys\nprint(sys.flags.hash_randomization, sys.stdout.encoding, sys.getrecursionlimit())", "0 utf-8 1000"),
        ("open('f.txt', 'w').write('1')\nprint(open('/tmp/f.txt').read())", "1"),
        ("open('mod.py', 'w').write('y = 5')\nimport mod\nprint(mod.y)", "5"),
        ("import tempfile\nwith tempfile.TemporaryFile() as f:\n    f.write(b'1')\nprint(1)", "1"),
        ("import random\nrandom.seed(1)\nprint(random.randrange(1000))", "137"),
        ("import gc\nprint(gc.isenabled())", "True"),
        ("import os\nprint(os.getcwd(), os.environ['HOME'], os.getuid())", "/tmp /tmp 1000"),
        ("import getpass, pathlib\nprint(getpass.getuser(), pathlib.Path.home())", "sandbox /tmp"),
        ("import time\nassert abs(time.time() - time.time_ns() / 1e9) < 1\nprint(1)", "1"),
        ("import signal\nsignal.signal(signal.SIGALRM, lambda *a: print('alarm'))\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\nsignal.pause()", "alarm"),
        ("print(*sorted({'b', 'a', 'c'}), len(str(10**4000)))", "a b c 4001"),
        ("import locale\nprint(locale.getpreferredencoding())", "utf-8"),
    ],
)  # fmt: skip
def test_a_script_finds_what_python_gives_it(box: Sandbox, code: str, printed: str) -> None:
    assert output(box, code).decode() == printed + "\n"


def test_dataclasses_and_pickle_work_in_main(box: Sandbox) -> None:
    code = """
import copy, enum, pickle, typing
from dataclasses import dataclass, field
@dataclass(frozen=True, slots=True)
class Point:
    x: int
    tags: typing.List[str] = field(default_factory=list)
class Colour(enum.Enum):
    RED = 1
class Pair(typing.NamedTuple):
    a: int
values = [Point(1), Colour.RED, Pair(2)]
print(pickle.loads(pickle.dumps(values)) == values == copy.deepcopy(values), typing.get_type_hints(Point)['x'])
"""
    assert output(box, code) == b"True <class 'int'>\n"


def test_deep_recursion_as_contest_programs_do_it(box: Sandbox) -> None:
    code = "import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return n and 1 + f(n - 1)\nprint(f(100_000))"
    assert output(box, code) == b"100000\n"
    threaded = "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(1 << 26)\ndef f(n): return n and 1 + f(n - 1)\nt = threading.Thread(target=lambda: print(f(50_000)))\nt.start()\nt.join()"
    assert output(box, threaded) == b"50000\n"


def test_endless_recursion_is_an_exception(box: Sandbox) -> None:
    result = run(box, "def f(): f()\nf()")
    assert result.exit_code == 1
    assert b"RecursionError" in result.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import multiprocessing as m\ndef f(x): return x * x\nif __name__ == '__main__':\n    with m.Pool(2) as pool:\n        print(pool.map(f, [1, 2, 3]))",
        "import multiprocessing as m\nq = m.Queue()\np = m.Process(target=q.put, args=([1, 4, 9],))\np.start()\nprint(q.get())\np.join()",
        "from concurrent.futures import ProcessPoolExecutor as P\ndef f(x): return x * x\nwith P(2) as pool:\n    print(list(pool.map(f, [1, 2, 3])))",
        "import asyncio\nasync def f(x):\n    await asyncio.sleep(0)\n    return x * x\nasync def main(): print(await asyncio.gather(*map(f, [1, 2, 3])))\nasyncio.run(main())",
        "from functools import *\n@lru_cache(None)\ndef f(x): return x * x\nprint(list(map(f, [1, 2, 3])))",
    ],
)  # fmt: skip
def test_processes_queues_and_event_loops_work(box: Sandbox, code: str) -> None:
    assert output(box, code) == b"[1, 4, 9]\n"


def test_a_child_left_behind_does_not_delay_the_end(box: Sandbox) -> None:
    code = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)\nprint('parent')"
    result = run(box, code)
    assert result.stdout == b"parent\n"
    assert result.wall_s < 20


def test_measurements_tell_cpu_wall_and_memory(box: Sandbox) -> None:
    code = "import time\nkeep = b'x' * (50 << 20)\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\ntime.sleep(0.2)"
    result = run(box, code)
    assert 0.2 <= result.cpu_s < 2
    assert result.wall_s >= 0.4
    assert 50 << 20 < result.peak_memory_bytes < 200 << 20
    assert result.enforcement == "userns"
