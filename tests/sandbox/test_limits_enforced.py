"""What `Limits` promises, measured on programs that pass it; as root and as an ordinary user."""

import fcntl
import os
import shutil
import stat
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import containers
import sandbox
from sandbox import Kind, Limits, Problem, Sandbox, StdioTest, Verdict

MIB = 1 << 20
SPIN = "import time\nend = time.process_time() + {cpu_s}\nwhile time.process_time() < end: pass\n"
# The CPU clock is looked at every 10 ms, and a loaded machine may look late.
LATE_S = 0.5


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as opened:
        yield opened


def limits(**changed: float | None) -> Limits:
    usual = {"cpu_s": 5.0, "idle_s": 5.0, "memory_bytes": 128 * MIB, "output_bytes": MIB, "disk_bytes": 16 * MIB}
    return Limits(**{**usual, **changed})  # type: ignore[arg-type]


def problem(*tests: str, **changed: float | None) -> Problem:
    return Problem(id="p", tests=tests, entry_point="f", limits=limits(**changed))


def verdicts(box: Sandbox, judged: Problem, code: str) -> str:
    return " ".join(test.verdict for test in box.judge(judged, textwrap.dedent(code)).tests)


@pytest.mark.parametrize("cpu_s", [0.05, 0.2])
def test_cpu_time_is_limited_in_milliseconds(box: Sandbox, cpu_s: float) -> None:
    result = box.run("while True: pass", limits=limits(cpu_s=cpu_s))
    assert (result.verdict, result.message) == (Verdict.TLE, "CPU time limit exceeded")
    assert cpu_s <= result.cpu_s < cpu_s + LATE_S


def test_less_cpu_time_than_the_limit_is_no_tle(box: Sandbox) -> None:
    result = box.run(SPIN.format(cpu_s=0.3), limits=limits(cpu_s=0.6))
    assert result.verdict is Verdict.AC
    assert 0.3 <= result.cpu_s < 0.6
    assert result.wall_s >= result.cpu_s - 0.05


@pytest.mark.parametrize("wait", ["os.wait()", "time.sleep(1000)"])
def test_the_cpu_time_of_children_counts(box: Sandbox, wait: str) -> None:
    """Two thirds of the limit in each of two children, at the same time or one after the other."""
    code = "import os, time\nfor _ in range(2):\n    if os.fork() == 0:\n"
    code += textwrap.indent(SPIN.format(cpu_s=0.2), " " * 8) + f"        os._exit(0)\n    {wait}\n"
    if wait != "os.wait()":
        code = code.replace(f"    {wait}\n", f"{wait}\n")
    result = box.run(code, limits=limits(cpu_s=0.3))
    assert result.verdict is Verdict.TLE
    assert 0.3 <= result.cpu_s < 0.3 + 2 * LATE_S


def test_the_cpu_time_of_threads_and_of_the_kernel_counts(box: Sandbox) -> None:
    threads = "import hashlib, threading\ndef g():\n    while True: hashlib.sha256(bytes(1 << 20))\n"
    threads += "for _ in range(2): threading.Thread(target=g).start()"
    for code in (threads, "import os\nwhile True: os.stat('/tmp')"):
        result = box.run(code, limits=limits(cpu_s=0.2))
        assert result.verdict is Verdict.TLE
        assert result.cpu_s < 0.2 + 2 * LATE_S


def test_waiting_is_no_cpu_time_but_ends_at_the_idle_guard(box: Sandbox) -> None:
    result = box.run("import time; time.sleep(1000)", limits=limits(idle_s=0.2))
    assert (result.verdict, result.message) == (Verdict.TLE, "idle for longer than the limit")
    assert result.cpu_s < 0.2 <= result.wall_s
    patient = box.run("import time; time.sleep(0.2); print(1)", limits=limits(cpu_s=0.15, idle_s=5))
    assert patient.verdict is Verdict.AC


def test_a_program_that_works_is_not_idle(box: Sandbox) -> None:
    result = box.run(SPIN.format(cpu_s=0.5), limits=limits(idle_s=0.2))
    assert result.verdict is Verdict.AC, result


def test_all_tests_together_have_a_limit(box: Sandbox) -> None:
    code = f"def f(x):\n{textwrap.indent(SPIN.format(cpu_s=0.1), '    ')}    return x"
    judged = problem(*[f"assert f({n}) == {n}" for n in range(20)], cpu_s=0.5, total_cpu_s=0.35)
    found = verdicts(box, judged, code).split()
    assert set(found[:2]) == {"AC"}
    assert set(found[4:]) == {"TLE"}
    assert box.judge(judged, code).cpu_s < 0.35 + LATE_S


def test_sleeping_in_every_test_is_limited_too(box: Sandbox) -> None:
    """Or a program would hold its slot for as many idle guards as there are tests."""
    sleepy = "import time\ndef f(x): time.sleep(1000)"
    short = limits(cpu_s=0.2, total_cpu_s=0.4, idle_s=0.2)
    function = Problem(id="f", tests=("assert f(1) == 2",) * 50, entry_point="f", limits=short)
    script = Problem(id="s", kind=Kind.STDIO, tests=(StdioTest(stdin="", stdout="1"),) * 50, limits=short)
    for judged, code in ((function, sleepy), (script, f"{sleepy}\nf(1)")):
        result = box.judge(judged, code)
        assert {test.verdict for test in result.tests} == {Verdict.TLE}
        assert result.wall_s < 10 * 0.2 + 1, result.wall_s


def test_memory_is_limited_and_its_peak_reported(box: Sandbox) -> None:
    for megabytes in (16, 64):
        result = box.run(f"x = bytearray(b'x') * ({megabytes} << 20)", limits=limits())
        assert result.verdict is Verdict.AC
        assert megabytes * MIB < result.peak_memory_bytes < (megabytes + 40) * MIB
    touched = "x = []\nwhile True: x.append(bytearray(b'x') * (1 << 20))"
    result = box.run(touched, limits=limits())
    assert result.verdict is Verdict.MLE
    assert 100 * MIB < result.peak_memory_bytes < 400 * MIB


@pytest.mark.parametrize("code", ["bytearray(1 << 40)", "[0] * (1 << 38)", "'x' * (1 << 40)"])
def test_memory_that_could_never_be_had_is_mle(box: Sandbox, code: str) -> None:
    assert box.run(code, limits=limits()).verdict is Verdict.MLE
    assert verdicts(box, problem("assert f(1) == 1"), f"def f(x): return {code}") == "MLE"


def test_a_memory_error_that_the_program_handles_is_its_own_affair(box: Sandbox) -> None:
    result = box.run("try: bytearray(1 << 40)\nexcept MemoryError: print('ok')", limits=limits())
    assert (result.verdict, result.stdout) == (Verdict.AC, b"ok\n")


def test_the_memory_of_children_counts_and_shared_pages_count_once(box: Sandbox) -> None:
    code = "import os, time\nx = bytearray(b'x') * ({own} << 20)\nfor _ in range(4):\n    if os.fork() == 0:\n"
    code += "        y = bytearray(b'x') * ({each} << 20); time.sleep(0.3); os._exit(0)\nfor _ in range(4): os.wait()"
    assert box.run(code.format(own=1, each=50), limits=limits()).verdict is Verdict.MLE
    shared = box.run(code.format(own=60, each=1), limits=limits())
    assert shared.verdict is Verdict.AC, shared


HIDDEN = {
    "in the open": "g()",
    "by a process that is undumpable": "ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); time.sleep(0.05); g()",
    "by a thread that outlives the first": "threading.Thread(target=lambda: (time.sleep(0.05), g())).start()\n"
    "ctypes.CDLL(None).syscall(60 if platform.machine() == 'x86_64' else 93, 0)",
}


@pytest.mark.parametrize("how", HIDDEN)
def test_files_count_as_memory(box: Sandbox, how: str) -> None:
    code = "import ctypes, os, platform, threading, time\ndef g():\n"
    code += "    for n in range({n}): open('/tmp/%d' % n, 'wb').write(bytes(1 << 20))\n"
    code += "    x = bytearray(b'x') * (60 << 20); time.sleep(0.1); os._exit(0)\n"
    roomy = limits(disk_bytes=100 * MIB)
    assert box.run(code.format(n=1) + HIDDEN[how], limits=roomy).verdict is Verdict.AC
    assert box.run(code.format(n=80) + HIDDEN[how], limits=roomy).verdict is Verdict.MLE


def test_files_have_a_limit_of_their_own(box: Sandbox) -> None:
    many = "import errno\ntry:\n    for n in range(99): open('/tmp/%d' % n, 'wb').write(bytes(1 << 20))\n"
    many += "except OSError as error: print(error.errno == errno.ENOSPC, n >= 14)"
    assert box.run(many, limits=limits()).stdout == b"True True\n"
    one = "import errno\ntry:\n    with open('/tmp/x', 'wb') as file: file.truncate(17 << 20)\n"
    one += "except OSError as error: print(error.errno == errno.EFBIG)"
    assert box.run(one, limits=limits()).stdout == b"True\n"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_is_limited_each_stream_by_itself(box: Sandbox, stream: str) -> None:
    code = "import sys\nsys.{stream}.write('x' * {size})"
    whole = box.run(code.format(stream=stream, size=MIB), limits=limits())
    assert whole.verdict is Verdict.AC
    assert (whole.stdout or whole.stderr) == b"x" * MIB
    assert box.run(code.format(stream=stream, size=MIB + 1), limits=limits()).verdict is Verdict.OLE
    flood = box.run(f"import sys\nwhile True: sys.{stream}.write('x' * 100000)", limits=limits())
    assert flood.verdict is Verdict.OLE
    assert len(flood.stdout) + len(flood.stderr) == MIB


def test_what_a_function_returns_is_limited_as_output(box: Sandbox) -> None:
    tests = ("assert len(f(1 << 19)) == 1 << 19", "assert len(f(1 << 21)) == 1 << 21", "assert len(f(2)) == 2")
    assert verdicts(box, problem(*tests), "def f(n): return 'x' * n") == "AC OLE AC"


@pytest.mark.parametrize("kind", ["process", "thread"])
def test_processes_and_threads_are_limited(box: Sandbox, kind: str) -> None:
    start = {
        "process": "pid = os.fork()\n        if pid == 0: time.sleep(1000)",
        "thread": "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()",
    }
    code = f"""
import os, threading, time
n = 1
try:
    while n < 100:
        {start[kind]}
        n += 1
except (OSError, RuntimeError): pass
print(n, flush=True)
os._exit(0)"""
    for allowed in (4, 12):
        assert int(box.run(code, limits=limits(processes=allowed)).stdout) == allowed


def test_open_files_are_limited(box: Sandbox) -> None:
    code = "import os\ntry:\n    while True: n = os.dup(0)\nexcept OSError: print(n)"
    assert box.run(code, limits=limits(open_files=50)).stdout == b"49\n"


CRASHES = {
    "RE": "import os; os._exit(3)",
    "TLE": "while True: pass",
    "MLE": "x = bytearray(b'x') * (200 << 20)",
    "OLE": "return 'x' * (2 << 20)",
}


@pytest.mark.parametrize("verdict", CRASHES)
def test_the_tests_after_one_that_ended_the_program_are_judged(box: Sandbox, verdict: str) -> None:
    judged = problem(*[f"assert f({n}) == {n}" for n in range(4)], cpu_s=0.2)
    code = f"n = 0\ndef f(x):\n    global n\n    n += 1\n    if x == 1: {CRASHES[verdict]}\n    return x"
    if verdict == "TLE":
        code = code.replace("if x == 1: while", "while x == 1 and").replace("and True", "True")
        code = "def f(x):\n    while x == 1: pass\n    return x"
    result = box.judge(judged, code)
    assert " ".join(test.verdict for test in result.tests) == f"AC {verdict} AC AC"
    assert (result.verdict, result.passed, result.total) == (verdict, 3, 4)


def test_the_verdict_is_the_strongest_of_the_tests(box: Sandbox) -> None:
    code = "def f(x):\n    if x == 0: return -1\n    if x == 1: raise ValueError\n    while x == 2: pass\n"
    code += "    if x == 3: x = bytearray(b'x') * (200 << 20)\n    return x"
    for count, strongest in ((1, "WA"), (2, "RE"), (3, "TLE"), (4, "MLE")):
        result = box.judge(problem(*[f"assert f({n}) == {n}" for n in range(count)], cpu_s=0.2), code)
        assert result.verdict == strongest, result
        assert result.passed == 0
    assert box.judge(problem("assert f(0) == 0"), "def f(x: return 1").verdict is Verdict.CE
    assert box.judge(problem("assert f(0) == 0"), None).verdict is Verdict.NO_CODE


def test_stdio_tests_have_limits_each(box: Sandbox) -> None:
    judged = Problem(
        id="s",
        kind=Kind.STDIO,
        tests=tuple(StdioTest(stdin=str(n), stdout=str(n)) for n in range(4)),
        limits=limits(cpu_s=0.2),
    )
    code = "n = int(input())\nwhile n == 1: pass\nif n == 2: x = bytearray(b'x') * (200 << 20)\nprint(n)"
    result = box.judge(judged, code)
    assert " ".join(test.verdict for test in result.tests) == "AC TLE MLE AC"
    assert result.peak_memory_bytes > 100 * MIB
    assert 0.2 <= result.cpu_s < 4 * LATE_S


def test_what_the_tests_compute_themselves_is_not_the_programs_idle_time(box: Sandbox) -> None:
    test = "f(1)\n" + SPIN.format(cpu_s=0.6) + "assert f(2) == 2"
    test = f"for _ in [0]:\n{textwrap.indent(test, '    ')}"
    code = "import time\ndef f(x):\n    time.sleep(0.02)\n    return x"
    assert verdicts(box, problem("import time", test, idle_s=0.3), code) == "AC"


def test_nothing_is_left_when_the_sandbox_is_closed(
    descendants: Callable[[int], list[int]], eventually: Callable[[Callable[[], object]], None]
) -> None:
    ours = set(descendants(os.getpid()))
    mounts = Path("/proc/self/mountinfo").read_text()
    daemon = "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(1000)\ntime.sleep(1000)"
    with Sandbox(workers=2) as opened:
        opened.run(daemon, limits=limits(idle_s=0.1))
        started = set(descendants(os.getpid())) - ours
        assert len(started) >= 3  # a first process, a broker and a zygote for each slot in use
    eventually(lambda: not started & set(descendants(1)) and not set(descendants(os.getpid())) - ours)
    assert Path("/proc/self/mountinfo").read_text() == mounts


def test_nothing_is_left_when_the_caller_is_killed(
    tmp_path: Path, descendants: Callable[[int], list[int]], eventually: Callable[[Callable[[], object]], None]
) -> None:
    script = "from sandbox import Sandbox\nbox = Sandbox(workers=1)\nprint('ready', flush=True)\n"
    script += "box.run('while True: pass')"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=tmp_path) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"ready\n"
        eventually(lambda: len(descendants(caller.pid)) >= 4)  # and a candidate
        started = set(descendants(caller.pid))
        caller.kill()
    eventually(lambda: not any(_is_alive(pid) for pid in started))


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] not in "ZX"
    except OSError:
        return False


AS_SOMEONE_ELSE = """
import os
from sandbox import Limits, Problem, Sandbox

def main():
    limits = Limits(cpu_s=0.3, idle_s=0.3, memory_bytes=96 << 20, processes=8, output_bytes=1 << 20)
    problem = Problem(id='p', tests=('assert f(1) == 2', 'assert f(2) == 3'), entry_point='f', limits=limits)
    with Sandbox(workers=1, packages=()) as box:
        print(os.getuid(), box.enforcement.level)
        for code in ('return x + 1', 'while True: pass', 'import time; time.sleep(1000)', 'return "x" * (2 << 20)',
                     'return bytearray(b"x") * (200 << 20)', 'import os; os._exit(0)',
                     'import os, signal\\n    while True: os.kill(1, signal.SIGINT); os.fork()'):
            print(box.judge(problem, 'def f(x):\\n    ' + code).verdict)
        print(box.judge(problem, 'def f(x): return x + 1').verdict)
        seen = box.run('import os; print(os.getuid(), os.path.exists(%r), os.listdir("/tmp"))' % os.getcwd())
        print(seen.stdout.decode().strip())

if __name__ == '__main__':
    main()
"""


def test_a_mapped_file_of_its_own_is_counted_once(box: Sandbox) -> None:
    code = """
        import mmap, time
        with open("/tmp/big", "w+b") as file:
            file.truncate(40 << 20)
            mapped = mmap.mmap(file.fileno(), 0)
            mapped[:] = bytes(40 << 20)
            time.sleep(0.1)
    """
    allowed = limits(memory_bytes=120 * MIB, disk_bytes=64 * MIB)
    result = box.run(textwrap.dedent(code), limits=allowed)
    assert (result.verdict, result.message) == (Verdict.AC, "")
    assert 40 * MIB < result.peak_memory_bytes < 75 * MIB


def test_page_tables_are_memory(box: Sandbox) -> None:
    """One page in each gigabyte: little memory of its own, much for the tables that find it."""
    code = """
        import ctypes, time
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
        for i in range(1, 60000):
            if libc.mmap(i << 30, 4096, 1, 0x100022, -1, 0) == i << 30: ctypes.c_char.from_address(i << 30).value
        time.sleep(0.2)
    """
    result = box.run(textwrap.dedent(code), limits=limits(memory_bytes=64 * MIB))
    assert result.verdict is Verdict.MLE


def test_a_few_hundred_record_locks_are_nobodys_business_and_many_thousands_are(box: Sandbox) -> None:
    code = """
        import fcntl, time
        with open("/tmp/locked", "w") as file:
            for i in range({count}): fcntl.lockf(file, fcntl.LOCK_EX, 1, 2 * i)
            time.sleep(0.1)
    """
    assert box.run(textwrap.dedent(code.format(count=300)), limits=limits()).verdict is Verdict.AC
    many = box.run(textwrap.dedent(code.format(count=8000)), limits=limits())
    assert (many.verdict, many.message) == (Verdict.MLE, "more record locks than a program may hold")


def test_locks_of_other_processes_of_the_machine_are_not_the_programs(box: Sandbox, tmp_path: Path) -> None:
    """Those of open files are shown to everybody, with no owner."""
    with (tmp_path / "locked").open("w") as file:
        for place in range(5000):
            lock = struct.pack("hhllhh", fcntl.F_WRLCK, os.SEEK_SET, 2 * place, 1, 0, 0)
            fcntl.fcntl(file, 37, lock)  # F_OFD_SETLK
        assert box.run("import time; time.sleep(0.1); print(1)", limits=limits()).verdict is Verdict.AC


def test_memory_shared_with_a_program_being_started_is_counted_once(box: Sandbox) -> None:
    """posix_spawn lends the child its memory until that executes, here for as long as a FIFO has no writer."""
    code = """
        import os, time
        os.mkfifo("/tmp/fifo")
        if os.fork() == 0:
            time.sleep(0.3)
            os._exit(os.open("/tmp/fifo", os.O_WRONLY))
        held = bytearray(b"1") * (50 << 20)
        actions = [(os.POSIX_SPAWN_OPEN, 0, "/tmp/fifo", os.O_RDONLY, 0)]
        os.posix_spawn("/bin/true", ["true"], {}, file_actions=actions)
    """
    result = box.run(textwrap.dedent(code), limits=limits(memory_bytes=96 * MIB))
    assert (result.verdict, result.message) == (Verdict.AC, "")


def _python_for_others() -> str | None:
    """An interpreter that any user may run, with the version that this project needs."""
    for python in (Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info[1]}", Path("/usr/bin/python3")):
        folders = python.resolve().parents
        if not python.exists() or not all(folder.stat().st_mode & stat.S_IXOTH for folder in folders):
            continue
        version = subprocess.run(
            [python, "-c", "import sys; print(sys.version_info[1])"], capture_output=True, check=True
        )
        if int(version.stdout) >= 11:
            return str(python)
    return None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_gets_the_same(tmp_path: Path) -> None:
    """Root becomes nobody before any program runs; here it is somebody else from the start."""
    python = _python_for_others()
    if python is None:
        pytest.skip("every Python >= 3.11 here is in a folder that only root may enter")
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())  # pytest's own folders are root's
    try:
        for package in (sandbox, containers):
            assert package.__file__ is not None
            shutil.copytree(Path(package.__file__).parent, folder / Path(package.__file__).parent.name)
        (folder / "script.py").write_text(AS_SOMEONE_ELSE)
        subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
        done = subprocess.run(
            [python, "-B", folder / "script.py"],
            user=54321,
            group=54321,
            extra_groups=[],
            cwd=folder,
            env={"SECRET": "x"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        shutil.rmtree(folder)
    lines = ["54321 userns", "AC", "TLE", "TLE", "OLE", "MLE", "RE", "RE", "AC", "1000 False ['main.py']"]
    assert (done.stdout.splitlines(), done.stderr) == (lines, "")
