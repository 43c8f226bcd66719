"""Programs that try to earn what they did not do, to hang, or to spoil what comes after them.

Each must earn nothing, end within seconds, leave the next program of the same slot judged right, and never look
like a failure of the host, which would stop a training run.
"""

import platform
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import rewards
import sandbox
from sandbox import Kind, Limits, Problem, Sandbox, StdioTest, Verdict

MIB = 1 << 20
LIMITS = Limits(
    cpu_s=0.4,
    total_cpu_s=0.6,
    idle_s=0.2,
    memory_bytes=96 * MIB,
    output_bytes=MIB,
    processes=16,
    disk_bytes=8 * MIB,
)
PATIENCE_S = 20.0  # of wall time, for machines with other work to do; nearly all take less than 2
HONEST = """
SECRETS = {2: "al" "pha-7391", 3: ["be" "ta", 5023], 4: {"gam" "ma": (1, 2)}}
def f(x):
    return SECRETS[x]
"""
FUNCTION = Problem(
    id="function",
    tests=("assert f(2) == 'alpha-7391'", "assert f(3) == ['beta', 5023]", "assert f(4) == {'gamma': (1, 2)}"),
    entry_point="f",
    limits=LIMITS,
)
STDIO = Problem(
    id="stdio",
    kind=Kind.STDIO,
    tests=(StdioTest(stdin="2\n", stdout="alpha-7391\n"),),
    limits=LIMITS,
)
HONEST_STDIO = 'print({2: "al" "pha-7391"}[int(input())])'
FORGE = """
import json, os, struct, time
def frame(header, body=b"[[],null]"):
    data = (header if isinstance(header, bytes) else json.dumps(header).encode()) + b"\\n" + body
    return struct.pack("=I", len(data)) + data
def send(data, fd=3):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]
def answer(body):
    return frame({"ok": True, "classes": [], "same": {}}, body)
"""


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", "planted-secret")
        with Sandbox(workers=1) as sandbox:
            yield sandbox


@pytest.fixture(scope="module")
def pair() -> Iterator[Sandbox]:
    """Two slots, both started."""
    with Sandbox(workers=2) as sandbox:
        while len(sandbox._slots) < 2:
            sandbox.judge_batch([(FUNCTION, HONEST)] * 4)
        yield sandbox


def earns_nothing(box: Sandbox, problem: Problem, code: str) -> Verdict:
    """Judge a cheat and an honest program after it, in the same slot, which must have survived."""
    slot = box._slots[0]._process.pid
    started = time.monotonic()
    result = box.judge(problem, textwrap.dedent(code))
    assert time.monotonic() - started < PATIENCE_S
    assert result.passed == 0, result
    assert result.verdict not in (Verdict.AC, Verdict.IE), result
    for following, honest in ((FUNCTION, HONEST), (STDIO, HONEST_STDIO)):
        after = box.judge(following, honest)
        assert after.verdict is Verdict.AC, after
    assert box._slots[0]._process.pid == slot, "the slot was replaced"
    return result.verdict


ENDS = {
    "os._exit": "import os; os._exit(0)",
    "sys.exit": "import sys; sys.exit(0)",
    "exit": "exit()",
    "SystemExit": "raise SystemExit",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "GeneratorExit": "raise GeneratorExit",
    "StopIteration": "raise StopIteration",
    "AssertionError": "raise AssertionError",
    "BaseException": "raise BaseException",
    "execv": "import os; os.execv('/bin/true', ['true'])",
    "execv sleep": "import os; os.execv('/bin/sleep', ['sleep', '1000'])",
    "abort": "import os; os.abort()",
    "SIGKILL": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "SIGSTOP": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "recursion": "def g(): return g() + 1\ng()",
    "deep recursion": "import sys; sys.setrecursionlimit(10**9)\ndef g(): return g() + 1\ng()",
    "close all": "import os, time; os.closerange(0, 256); time.sleep(1000)",
    "close all, spin": "import os; os.closerange(0, 256)\nwhile True: pass",
    "exit of the first thread": """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
ctypes.CDLL(None).syscall(60 if __import__('platform').machine() == 'x86_64' else 93, 0)""",
}
STALLS = {
    "sleep": "import time; time.sleep(1000)",
    "spin": "while True: pass",
    "spin, swallow": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "spin in C": "sum(range(10**12))",
    "big power": "10 ** 10 ** 9",
    "regex": "import re; re.match('(a*)*b', 'a' * 40)",
    "ignore signals": """
import signal, time
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
time.sleep(1000)""",
    "block signals": "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
    "spin in children": """
import os, time
for _ in range(8):
    if os.fork() == 0:
        while True: pass
time.sleep(1000)""",
    "short children, nobody waits": """
import os, signal, time
try: signal.signal(signal.SIGCHLD, signal.SIG_IGN)
except OSError: pass
while True:
    r, w = os.pipe()
    if os.fork() == 0:
        end = time.process_time() + 0.1
        while time.process_time() < end: pass
        os._exit(0)
    os.close(w); os.read(r, 1); os.close(r)""",
    "vfork": """
import ctypes, platform, time
number = 56 if platform.machine() == 'x86_64' else 220
CLONE_VFORK, SIGCHLD = 0x4000, 17
ctypes.CDLL(None).syscall(number, CLONE_VFORK | SIGCHLD, 0, 0, 0, 0)
time.sleep(1000)""",
    "futex": "import threading; a = threading.Lock(); a.acquire(); a.acquire()",
    "own pipe": "import os; r, w = os.pipe(); os.read(r, 1)",
    "own stdout": "import os; os.read(os.open('/proc/self/fd/1', os.O_RDWR), 1); import time; time.sleep(1000)",
    "atexit": "import atexit, time; atexit.register(time.sleep, 1000); raise SystemExit",
    "thread": "import threading, time; threading.Thread(target=time.sleep, args=(1000,)).start(); raise SystemExit",
    "compile bomb": "x = " + "(" * 90 + "1" + ")" * 90 + "\nx = 1 << 10 ** 11",
}
FLOODS = {
    "memory": "x = bytearray(10 ** 12)",
    "memory by steps": "x = []\nwhile True: x.append(bytearray(1 << 20))",
    "memory of children": """
import os, time
for _ in range(8):
    if os.fork() == 0:
        x = bytearray(os.urandom(1 << 16)) * 500
        time.sleep(1000)
time.sleep(1000)""",
    "memory of an unreadable process": """
import ctypes, os, time
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
for _ in range(5):
    if os.fork() == 0:
        x = bytearray(os.urandom(1 << 16)) * 500
        time.sleep(1000)
time.sleep(1000)""",
    "memory without a first thread": """
import ctypes, os, platform, threading, time
def grow():
    time.sleep(0.05)
    x = bytearray(os.urandom(1 << 16)) * 500
    time.sleep(1000)
for _ in range(5):
    if os.fork() == 0:
        threading.Thread(target=grow).start()
        ctypes.CDLL(None).syscall(60 if platform.machine() == 'x86_64' else 93, 0)
time.sleep(1000)""",
    "shared memory": """
import ctypes, mmap
m = mmap.mmap(-1, 1 << 30)
a = ctypes.addressof(ctypes.c_char.from_buffer(m))
for i in range(0, 1 << 30, 1 << 24):
    ctypes.CDLL(None).memset(ctypes.c_void_p(a + i), 1, 1 << 24)
    m.madvise(mmap.MADV_DONTNEED, i, 1 << 24)
while True: pass""",
    "files": """
import os
n = 0
while True:
    n += 1
    open('/tmp/%d' % n, 'wb').write(bytes(1 << 20))""",
    "inodes": "n = 0\nwhile True:\n    n += 1\n    open('/tmp/%d' % n, 'wb').close()",
    "sparse file": "f = open('/tmp/a', 'wb'); f.truncate(10 ** 12)",
    "deep folders": "import os\nwhile True: os.mkdir('d'); os.chdir('d')",
    "fork bomb": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "fork bomb, new sessions": """
import os
while True:
    try:
        if os.fork() == 0: os.setsid()
    except OSError: pass""",
    "fork bomb of a shell": "import os; os.system('b() { b | b & }; b; wait'); import time; time.sleep(1000)",
    "threads": """
import threading, time
while True: threading.Thread(target=time.sleep, args=(1000,)).start()""",
    "zombies": """
import os, time
try:
    while True:
        if os.fork() == 0: os._exit(0)
except OSError: time.sleep(1000)""",
    "orphans": """
import os
while True:
    pid = os.fork()
    if pid == 0:
        try: os.fork()
        finally: os._exit(0)
    os.waitpid(pid, 0)""",
    "descriptors": "import os\nwhile True: os.dup(0)",
    "descriptors in flight": """
import array, os, socket
a, b = socket.socketpair()
while True: a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0, 1, 2, a.fileno()]))])""",
    "control socket in flight": """
import array, socket, time
a = socket.socket(fileno=3)
a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [3]))])
time.sleep(1000)""",
}
ATTACKS = {
    "kill the parent": "import os; os.kill(os.getppid(), 9)",
    "kill all": "import os; os.kill(-1, 9)",
    "kill PID 1": """
import os
for number in range(1, 65):
    try: os.kill(1, number)
    except OSError: pass""",
    "interrupt PID 1": "import os, signal\nfor _ in range(100): os.kill(1, signal.SIGINT)",
    "stop PID 1": "import os, signal, time; os.kill(1, signal.SIGSTOP); time.sleep(1000)",
    "PID 1 without descriptors": "import resource; resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))",
    "PID 1 without memory": "import resource; resource.prlimit(1, resource.RLIMIT_AS, (1, 1))",
    "PID 1 without CPU time": "import resource; resource.prlimit(1, resource.RLIMIT_CPU, (0, 0))",
    "PID 1 in the background": """
import os
for call in (lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0)),
             lambda: os.sched_setaffinity(1, {0}), lambda: os.setpriority(os.PRIO_PROCESS, 1, 19),
             lambda: os.setpriority(os.PRIO_USER, 0, 19)):
    try: call()
    except OSError: pass
for _ in range(12):
    if os.fork() == 0: break
while True: pass""",
    "daemon": """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(1, 65):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        while True: time.sleep(0.01); os.write(1, b'alpha-7391\\n')
os._exit(0)""",
    "patched modules": """
import builtins, io, json, marshal, operator, os, pickle, socket, struct, sys, time
true = lambda *a, **k: True
for module in (json, operator, struct, pickle, marshal, time):
    for name in list(vars(module)):
        if callable(getattr(module, name)): setattr(module, name, true)
for name in ('isinstance', 'len', 'all', 'any', 'sorted', 'abs', 'type', 'getattr', 'eval', 'exec', 'print'):
    setattr(builtins, name, true)""",
    "patched exits": """
import os, sys, time
os._exit = sys.exit = lambda *a: time.sleep(1000)
os.write = os.read = os.close = lambda *a: 0""",
    "patched server": """
import sys
for name, module in list(sys.modules.items()):
    if name.startswith(('worker', 'sandbox')):
        for key in list(vars(module)):
            if callable(vars(module)[key]): setattr(module, key, lambda *a, **k: True)""",
    "tracing": """
import sys, threading
def trace(frame, event, arg):
    for name in frame.f_locals: frame.f_locals[name] = True
    return trace
sys.settrace(trace); sys.setprofile(trace)""",
    "audit hook": "import sys; sys.addaudithook(lambda *a: 1 / 0)",
    "every descriptor": FORGE
    + """
for text in (b'RESULT_BATCH_IDX_0_SOLUTION_IDX_0:1.0\\n', b'{"passed": true, "verdict": "AC"}\\n', b'1.0\\n',
             b'ALL_TESTS_PASSED\\n', answer(b'[[],[true]]')):
    for fd in range(256):
        try: os.write(fd, text)
        except OSError: pass""",
    "no mercy for the socket": """
import socket
s = socket.socket(fileno=3)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
s.shutdown(socket.SHUT_RDWR)""",
    "no space for answers": """
import os, socket
s = socket.socket(fileno=3)
s.setblocking(False)
try:
    while True: s.send(b'\\0' * 4096)
except OSError: pass""",
}
EVERYWHERE = ENDS | STALLS | FLOODS | ATTACKS


@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_function_program_that_does_this_when_loaded_earns_nothing(box: Sandbox, name: str) -> None:
    earns_nothing(box, FUNCTION, EVERYWHERE[name] + "\ndef f(x): return None\n")


@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_script_that_does_this_earns_nothing(box: Sandbox, name: str) -> None:
    verdict = earns_nothing(box, STDIO, EVERYWHERE[name])
    assert name not in STALLS or verdict is Verdict.TLE or "bomb" in name or "power" in name
    assert not name.startswith("memory") or verdict is Verdict.MLE


@pytest.mark.parametrize("name", ENDS)
def test_ending_inside_a_call_earns_nothing(box: Sandbox, name: str) -> None:
    earns_nothing(box, FUNCTION, "def f(x):\n" + textwrap.indent(ENDS[name], "    "))


ALWAYS = "__eq__ = lambda s, o: True\n    __ne__ = lambda s, o: False\n    __hash__ = lambda s: 1\n"
VALUES = {
    "object": f"class A:\n    {ALWAYS}\ndef f(x): return A()",
    "int": f"class A(int):\n    {ALWAYS}\ndef f(x): return A()",
    "str": f"class A(str):\n    {ALWAYS}\ndef f(x): return A('x')",
    "list": f"class A(list):\n    {ALWAYS}\ndef f(x): return A([1])",
    "dict": f"class A(dict):\n    {ALWAYS}\ndef f(x): return A()",
    "float": f"class A(float):\n    {ALWAYS}\ndef f(x): return A()",
    "tuple": f"class A(tuple):\n    {ALWAYS}\ndef f(x): return A()",
    "bytes": f"class A(bytes):\n    {ALWAYS}\ndef f(x): return A()",
    "Decimal": f"import decimal\nclass A(decimal.Decimal):\n    {ALWAYS}\ndef f(x): return A(1)",
    "Fraction": f"import fractions\nclass A(fractions.Fraction):\n    {ALWAYS}\ndef f(x): return A(1)",
    "Counter": f"import collections\nclass A(collections.Counter):\n    {ALWAYS}\ndef f(x): return A('a')",
    "array": f"import numpy\nclass A(numpy.ndarray):\n    {ALWAYS}\ndef f(x): return numpy.zeros(2).view(A)",
    "metaclass": f"class M(type):\n    {ALWAYS}\nclass A(metaclass=M): pass\ndef f(x): return A",
    "mock.ANY": "from unittest.mock import ANY\ndef f(x): return ANY",
    "spoofed class": f"class A:\n    {ALWAYS}    __class__ = property(lambda s: str)\ndef f(x): return A()",
    "spoofed mro": "class A(str):\n    def __getattribute__(s, n): raise SystemExit\ndef f(x): return A('a')",
    "everything answers": """
class A:
    def __getattr__(s, n): return s
    __call__ = __getitem__ = __enter__ = lambda s, *a, **k: s
    __eq__ = __contains__ = __bool__ = lambda s, *a: True
    __len__ = lambda s: 1
    __iter__ = lambda s: iter([s])
    __hash__ = lambda s: 1
def f(x): return A()""",
    "nan": "def f(x): return float('nan')",
    "self-referential list": "def f(x):\n    a = []; a.append(a); return a",
    "self-referential dict": "def f(x):\n    a = {}; a[1] = a; return a",
    "deep list": "def f(x):\n    a = []\n    for _ in range(100000): a = [a]\n    return a",
    "huge int": "def f(x): return 1 << 10 ** 8",
    "huge str": "def f(x): return 'x' * (1 << 25)",
    "huge range": "def f(x): return range(10 ** 18)",
    "endless generator": "def f(x):\n    while True: yield x",
    "endless list": "class A(list):\n    __iter__ = lambda s: iter(int, 1)\ndef f(x): return A()",
    "exception": "def f(x): return SystemExit(0)",
    "exception class": "def f(x): return AssertionError",
    "builtin": "def f(x): return eval",
    "module": "import os\ndef f(x): return os",
    "itself": "def f(x): return f",
    "patched argument": "def f(x):\n    import gc\n    return gc.get_referrers(x)",
    "message raises": """
class E(Exception):
    def __str__(s): raise SystemExit
def f(x): raise E""",
    "huge message": "def f(x): raise ValueError('x' * (1 << 26))",
    "message of surrogates": "def f(x): raise ValueError('\\ud800')",
    "endless class name": "def f(x): raise type('E' * 10 ** 6, (Exception,), {})",
    "exception group": "def f(x): raise ExceptionGroup('e', [ValueError()])",
    "exception that cannot be made": "def f(x): raise UnicodeDecodeError('a', b'', 0, 1, 'b')",
    "cause without end": "def f(x):\n    e = ValueError(); e.__cause__ = e; raise e",
    "unpicklable": "import threading\ndef f(x): return threading.Lock()",
    "lone surrogate": "def f(x): return '\\ud800'",
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_pretends_earns_nothing(box: Sandbox, name: str) -> None:
    earns_nothing(box, FUNCTION, VALUES[name])


SEARCHES = {
    "frames": """
import sys
def f(x):
    frame, seen = sys._getframe(), []
    while frame:
        seen += list(frame.f_locals.values()) + list(frame.f_globals.values()) + list(frame.f_code.co_consts)
        frame = frame.f_back
    return next((v for v in seen if type(v) is str and 'alpha-' in v and len(v) < 20), None)""",
    "heap": """
import gc, sys
def f(x):
    for thing in gc.get_objects() + list(sys.intern.__self__.__dict__.values()):
        for value in [thing, *gc.get_referents(thing)]:
            if type(value) is str and value[:6] == 'alpha' + '-': return value""",
    "memory": """
import re
def f(x):
    with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb', 0) as memory:
        for line in maps:
            start, end = (int(part, 16) for part in line.split()[0].split('-'))
            if 'r' not in line.split()[1] or end - start > 1 << 26: continue
            try:
                memory.seek(start)
                found = re.search(b'alpha' + b'-[0-9]{4}', memory.read(end - start))
            except (OSError, ValueError, OverflowError): continue
            if found: return found[0].decode()""",
    "proc": """
import glob, re
def f(x):
    for path in glob.glob('/proc/*/*') + glob.glob('/proc/*/fd/*') + glob.glob('/proc/*/task/*/*'):
        if path.endswith(('kmsg', 'kcore', 'pagemap', 'clear_refs')): continue
        try: found = re.search(b'alpha' + b'-[0-9]{4}', open(path, 'rb').read(1 << 20))
        except (OSError, ValueError): continue
        if found: return found[0].decode()""",
    "queue": """
import gc, queue, multiprocessing.connection as c
def f(x):
    for thing in gc.get_objects():
        if hasattr(type(thing), 'put'): thing.put(True)
        if isinstance(thing, c.Connection): thing.send(True)""",
}


@pytest.mark.parametrize("name", SEARCHES)
def test_expected_values_are_nowhere_to_be_found(box: Sandbox, name: str) -> None:
    earns_nothing(box, FUNCTION, SEARCHES[name])


FRAMES = {
    "early success": "send(frame({'ok': True, 'classes': [], 'same': {}}))",
    "early success twice": "send(frame({'ok': True}) * 2)",
    "early success, then sleep": "send(frame({'ok': True})); time.sleep(1000)",
    "early values": "send(frame({'ok': True}))\nwhile True: send(answer(b'[[],[true]]')); time.sleep(0.01)",
    "early error": "send(frame({'raised': 5}))",
    "early error without a name": "send(frame({'raised': []}))",
    "early error without words": "send(frame({'raised': ['MemoryError']}))",
    "early compile error": "send(frame({'compile_error': {'a': [1]}})); time.sleep(1000)",
    "early callback": "send(frame({'callback': 0, 'classes': []}, b'[[],[[],{}]]'))",
    "no header": "send(struct.pack('=I', 5) + b'hello')",
    "no object": "send(frame([1, 2]))",
    "empty": "send(struct.pack('=I', 0))",
    "half a length": "send(b'\\x10'); time.sleep(1000)",
    "half a frame": "send(struct.pack('=I', 100) + b'x'); time.sleep(1000)",
    "4 GiB announced": "send(struct.pack('=I', 0xffffffff) + b'x'); time.sleep(1000)",
    "1 GiB sent": "send(struct.pack('=I', 1 << 30))\nwhile True: send(b'x' * 65536)",
    "random bytes": "send(os.urandom(1 << 16))",
    "deep header": "send(frame(b'[' * 100000))",
    "deep body": "send(answer(b'[[],' + b'[' * 100000))",
    "deep closed body": "send(answer(b'[[],[' + b'[' * 900 + b']' * 900 + b']]'))",
    "giant int": "send(answer(b'[[],[' + b'9' * 10**6 + b']]'))",
    "NaN": "send(answer(b'[[],[NaN]]'))",
    "infinity": "send(answer(b'[[],[1e999]]'))",
    "a handle": "send(answer(b'[[],[{\"h\":7}]]'))",
    "a handle for all": "send(answer(b'[[],{\"h\":7}]'))",
    "negative handle": "send(answer(b'[[],[{\"h\":-1}]]'))",
    "unknown tag": "send(answer(b'[[],[{\"__class__\":1}]]'))",
    "two tags": 'send(answer(b\'[[],[{"t":[],"s":[]}]]\'))',
    "no value": "send(answer(b'[[],[]]'))",
    "no table": "send(answer(b'5'))",
    "rows without classes": 'send(answer(b\'[[[["a",1]]],[{"o":0}]]\'))',
    "unknown class": "send(frame({'ok': True, 'classes': ['Nope'], 'same': {}}, b'[[[]],[{\"o\":0}]]'))",
    "builtin class": "send(frame({'ok': True, 'classes': ['str'], 'same': {}}, b'[[[]],[{\"o\":0}]]'))",
    "class of the judge": "send(frame({'ok': True, 'classes': ['__builtins__'], 'same': {}}, b'[[[]],[{\"o\":0}]]'))",
    "wrong same": "send(frame({'ok': True, 'classes': [], 'same': {'0': 'x'}}, b'[[],[1]]'))",
    "no same": "send(frame({'ok': True}, b'[[],[1]]'))",
    "eval": 'send(answer(b\'[[],[{"bi":"eval"}]]\'))',
    "a callback of nobody": "send(frame({'callback': 0, 'classes': []}, b'[[],[[],{}]]'))",
    "callbacks without end": "send(frame({'callback': -1, 'classes': []}, b'[[],[[],{}]]') * 100)",
    "raised nothing": "send(frame({'raised': []}))",
    "raised a number": "send(frame({'raised': 5}))",
    "raised SystemExit": "send(frame({'raised': ['SystemExit'], 'message': ''}))",
    "raised without words": "send(frame({'raised': ['ValueError']}))",
    "raised CandidateEnded": "send(frame({'raised': ['CandidateEnded', 'BaseException'], 'message': 'x'}))",
    "many empty sets": "send(answer(b'[[],[[' + b','.join([b'{\"s\":[]}'] * 60000) + b']]]'))",
    "Decimal without end": 'send(answer(b\'[[],[{"D":"1e999999999999"}]]\'))',
    "fraction over nothing": "send(answer(b'[[],[{\"F\":[1,0]}]]'))",
    "unhashable key": "send(answer(b'[[],[{\"d\":[[[],1]]}]]'))",
    "array of gigabytes": 'send(answer(b\'[[],[{"np":["<U100000000",[99],["x"]]}]]\'))',
    "array of objects": 'send(answer(b\'[[],[{"np":["O",[1],["x"]]}]]\'))',
    "answer, then sleep": "send(answer(b'[[],[1]]')); time.sleep(1000)",
    "answer, then exit": "send(answer(b'[[],[1]]')); os._exit(0)",
    "answer, then hang up": "send(answer(b'[[],[1]]')); os.close(3); time.sleep(1000)",
}


@pytest.mark.parametrize("when", ["loaded", "called"])
@pytest.mark.parametrize("name", FRAMES)
def test_a_forged_frame_earns_nothing(box: Sandbox, name: str, when: str) -> None:
    body = textwrap.indent(FRAMES[name], "    ")
    code = f"{FORGE}\ndef forge():\n{body}\n"
    call = "forge()\ndef f(x): return None" if when == "loaded" else "def f(x): forge()"
    earns_nothing(box, FUNCTION, code + call)


@pytest.mark.parametrize("function", ["eval", "exec", "compile", "open", "print", "getattr", "type", "list", "iter"])
def test_the_judge_never_calls_a_builtin_on_what_the_program_returned(box: Sandbox, function: str) -> None:
    """`decode = eval` once made the judge itself evaluate the program's text in `decode(encode(x))`."""
    problem = Problem(
        id="round trip",
        tests=("assert decode(encode('abc')) == 'abc'", "assert Codec().decode(Codec().encode('abc')) == 'abc'"),
        limits=LIMITS,
    )
    payload = "type('A', (str,), {'__eq__': lambda s, o: True})()"
    earns_nothing(
        box,
        problem,
        f"""
        def encode(x): return {payload!r}
        decode = {function}
        class Codec:
            encode = lambda self, x: encode(x)
            decode = {function}
        """,
    )


# What tests do besides `==`, and a program that takes advantage of it.
IDIOMS = {
    "all(map())": ("assert all(map(f, [1, 2, 3]))", "def f(x): raise StopIteration"),
    "iter(f, 1)": ("assert list(iter(lambda: f(1), 1)) == []", "def f(x): raise StopIteration"),
    "next()": ("assert next(f(1), 5) == 5", "def f(x): return iter([1])"),
    "bare except": ("try:\n    f(1)\n    assert False\nexcept: pass", "import os\ndef f(x): os._exit(0)"),
    "finally": (
        "def g():\n    try: f(1)\n    finally: return True\nassert g()",
        "import os\ndef f(x): os._exit(0)",
    ),
    "message exits": (
        "assert f(1) == 2, f(1)",
        "import os\nclass A:\n    __str__ = lambda s: os._exit(0)\nf = lambda x: A()",
    ),
    "message raises": ("assert f(1) == 2, f(1)", "class A:\n    __str__ = lambda s: 1 / 0\nf = lambda x: A()"),
    "message sleeps": (
        "assert f(1) == 2, f(1)",
        "import time\nclass A:\n    __str__ = lambda s: time.sleep(1000)\nf = lambda x: A()",
    ),
    "key error": ("assert {1: 2}[f(1)] == 2", "class A:\n    __repr__ = lambda s: 1 / 0\nf = lambda x: A()"),
    "isinstance": (
        "assert isinstance(f(1), list)",
        "class A:\n    __class__ = list\n    __instancecheck__ = lambda s, o: True\nf = lambda x: A()",
    ),
    "membership": ("assert f(1) in [1, 2, 3]", "class A:\n    __eq__ = lambda s, o: True\nf = lambda x: A()"),
    "comparison": ("assert f(1) > 5", "class A:\n    __gt__ = lambda s, o: True\nf = lambda x: A()"),
    "arithmetic": (
        "assert abs(f(1) - 1.5) < 1e-6",
        "class A:\n    __sub__ = __rsub__ = __abs__ = lambda *a: 0\n    __lt__ = lambda *a: True\nf = lambda x: A()",
    ),
    "sorted": ("assert sorted(f(1)) == [1, 2]", "class A(list):\n    __eq__ = lambda s, o: True\nf = lambda x: A()"),
    "set": ("assert set(f(1)) == {1, 2}", "class A:\n    __eq__ = __hash__ = lambda *a: True\nf = lambda x: [A()]"),
    "sorted range": ("assert sorted(f(1)) == [1]", "f = lambda x: range(10 ** 15)"),
    "callback kills": ("assert f(lambda x: x) == 3", "import os\ndef f(g):\n    while True: g(g)"),
    "callback recurses": ("assert f(lambda g: g(g)) == 3", "def f(g): return g(f)"),
    "callback misuses": ("assert f(lambda x: x + 1) == 3", "def f(g): return g(object())"),
    "arguments become others": (
        "x = [1, 2]\nassert f(x) == [2, 1] and x == [1, 2]",
        "class A(list):\n    __eq__ = lambda s, o: True\ndef f(x):\n    x[:] = [A(), A()]; return A()",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", IDIOMS)
def test_what_tests_do_besides_comparing_earns_nothing_either(box: Sandbox, name: str) -> None:
    test, code = IDIOMS[name]
    earns_nothing(box, Problem(id=name, tests=(test,), entry_point="f", limits=LIMITS), code)


CHEATED_NODES = {
    "another's method": "n = Node(5); n.same = lambda other: True\n    return n",
    "missing field": "n = Node(1); del n.val\n    return n",
}


@pytest.mark.parametrize("name", CHEATED_NODES)
def test_a_helper_object_with_a_life_of_its_own_earns_nothing(box: Sandbox, name: str) -> None:
    problem = Problem(
        id="nodes",
        prelude="class Node:\n    def __init__(self, val=0, next=None): self.val, self.next = val, next\n"
        "    def same(self, other): return self.val == other.val\n",
        tests=("assert f(1).same(Node(99))",),
        entry_point="f",
        limits=LIMITS,
    )
    earns_nothing(box, problem, f"def f(x):\n    {CHEATED_NODES[name]}")


# Source: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux.
_NUMBERS = {
    "x86_64": {
        "ptrace": 101, "unshare": 272, "setns": 308, "pivot_root": 155, "bpf": 321, "io_uring_setup": 425,
        "perf_event_open": 298, "userfaultfd": 323, "keyctl": 250, "process_vm_readv": 310, "memfd_create": 319,
        "clone": 56, "clone3": 435, "prlimit64": 302, "add_key": 248,
    },
    "aarch64": {
        "ptrace": 117, "unshare": 97, "setns": 268, "pivot_root": 41, "bpf": 280, "io_uring_setup": 425,
        "perf_event_open": 241, "userfaultfd": 282, "keyctl": 219, "process_vm_readv": 270, "memfd_create": 279,
        "clone": 220, "clone3": 435, "prlimit64": 261, "add_key": 217,
    },
}  # fmt: skip
SYSTEM_CALLS = _NUMBERS[platform.machine()]

LEFT_BEHIND = {
    "a file": ("open('/tmp/left', 'w').write('x')", "import os; found = os.path.exists('/tmp/left')"),
    "shared memory": (
        "import os; os.close(os.open('/dev/shm/left', os.O_CREAT))",
        "import os; found = os.listdir('/dev/shm') != []",
    ),
    "a semaphore": (
        "import ctypes; ctypes.CDLL(None).semget(77, 1, 0o1666)",
        "import ctypes; found = ctypes.CDLL(None).semget(77, 1, 0) != -1",
    ),
    "a message queue": (
        "import ctypes; ctypes.CDLL(None).msgget(77, 0o1666)",
        "import ctypes; found = ctypes.CDLL(None).msgget(77, 0) != -1",
    ),
    "a key": (
        f"import ctypes; ctypes.CDLL(None).syscall({SYSTEM_CALLS['add_key']}, b'user', b'left', b'x', 1, -4)",
        f"import ctypes; found = ctypes.CDLL(None).syscall({SYSTEM_CALLS['keyctl']}, 10, -4, b'user', b'left', 0) + 1",
    ),
    "a process": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(1000)",
        "import os; found = {n for n in os.listdir('/proc') if n.isdigit()} - {'1', str(os.getpid())}",
    ),
    "a socket": (
        (
            "import os, socket, time\ns = socket.socket(socket.AF_UNIX); s.bind('\\0left'); s.listen()\n"
            "if os.fork() == 0: time.sleep(1000)"
        ),
        "import socket\nfound = socket.socket(socket.AF_UNIX).connect_ex('\\0left') == 0",
    ),
    "a lock": (
        (
            "import fcntl, os, time\nfd = os.open('/usr/bin/env', os.O_RDONLY)\n"
            "if os.fork() == 0:\n    fcntl.flock(fd, fcntl.LOCK_EX); time.sleep(1000)\ntime.sleep(0.05)"
        ),
        (
            "import fcntl, os\nfd = os.open('/usr/bin/env', os.O_RDONLY)\n"
            "try: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB); found = False\n"
            "except PermissionError: found = False\nexcept OSError: found = True"
        ),
    ),
    "a changed module": ("import json; json.left = 1", "import json; found = hasattr(json, 'left')"),
    "a limit": (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))",
        "import resource; found = resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 9",
    ),
    "a mask": ("import os; os.umask(0o777)", "import os; found = os.umask(0) == 0o777"),
    "a way to imports": ("open('/tmp/json.py', 'w').write('left = 1')", "import json; found = hasattr(json, 'left')"),
}


@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_nothing_is_left_for_the_next_run(box: Sandbox, name: str) -> None:
    leave, look = LEFT_BEHIND[name]
    for _ in range(2):
        box.run(leave, limits=LIMITS)
        found = box.run(f"{look}\nprint(bool(found))", limits=LIMITS)
        assert (found.stdout, found.verdict) == (b"False\n", Verdict.AC), found


ESCAPES = {
    "ptrace": "call('ptrace', 16, 1, 0, 0)",
    "unshare": "call('unshare', 0x10000000)",
    "mount": "libc.mount(b'none', b'/tmp', b'tmpfs', 0, 0)",
    "setns": "call('setns', os.open('/proc/self/ns/mnt', 0), 0)",
    "chroot": "libc.chroot(b'/tmp')",
    "pivot_root": "call('pivot_root', b'/tmp', b'/tmp')",
    "bpf": "call('bpf', 0, 0, 0)",
    "io_uring": "call('io_uring_setup', 8, 0)",
    "perf": "call('perf_event_open', 0, 0, -1, -1, 0)",
    "userfaultfd": "call('userfaultfd', 0)",
    "keyctl": "call('keyctl', 0, -3, 0)",
    "process_vm_readv": "call('process_vm_readv', 1, 0, 0, 0, 0, 0)",
    "memfd": "call('memfd_create', b'x', 0)",
    "new user namespace": "call('clone', 0x10000011, 0, 0, 0, 0)",
    "clone3": "call('clone3', 0, 88)",
    "packets": "libc.socket(17, 3, 0)",
    "netlink": "libc.socket(16, 3, 0)",
    "vsock": "libc.socket(40, 1, 0)",
    "raise own limits": "libc.setrlimit(7, (ctypes.c_ulong * 2)(4096, 4096))",
    "become root": "libc.setuid(0)",
    "write to the interpreter": "os.open(os.__file__, os.O_WRONLY)",
    "write to the root": "os.open('/x', os.O_CREAT | os.O_WRONLY)",
    "memory of PID 1": "os.open('/proc/1/mem', os.O_RDONLY)",
    "environment of PID 1": "len(open('/proc/1/environ').read()) or -1",
    "descriptors of PID 1": "len(os.listdir('/proc/1/fd')) or -1",
    "root of PID 1": "len(os.listdir('/proc/1/root'))",
    "score of PID 1": "os.open('/proc/1/oom_score_adj', os.O_WRONLY)",
    "limits of PID 1": "call('prlimit64', 1, 7, (ctypes.c_ulong * 2)(1, 1), 0)",
    "settings of the kernel": "os.open('/proc/sys/kernel/hostname', os.O_RDONLY)",
    "the internet": "reach(('1.1.1.1', 53))",
    "the host": "reach(('127.0.0.1', 22))",
    "the metadata service": "reach(('169.254.169.254', 80))",
}


def test_there_is_no_way_out(box: Sandbox) -> None:
    """Each is refused: a system call by the filter or for want of the right, not for its arguments."""
    code = f"""
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    result = libc.syscall({SYSTEM_CALLS}[name], *args)
    found = ctypes.get_errno()
    return -1 if result == -1 and found in (errno.EPERM, errno.EACCES, errno.ENOSYS) else (result, found)
def reach(address):
    s = socket.socket(); s.settimeout(0.2); s.connect(address); return 0
"""
    for name, expression in ESCAPES.items():
        code += f"try:\n    if (got := {expression}) != -1: print({name!r}, got)\nexcept OSError: pass\n"
    result = box.run(code + "print('done')", limits=Limits(cpu_s=5, idle_s=5))
    assert result.stdout == b"done\n", result


def test_secrets_and_answers_are_out_of_sight(box: Sandbox, tmp_path: Path) -> None:
    planted = tmp_path / "answers.json"
    planted.write_text("planted-secret")
    home = Path.home()
    hidden = [planted, tmp_path, home, "/root", "/home", "/etc/shadow", "/etc/machine-id", "/etc/ssh", "/run", "/sys"]
    hidden += ["/var/lib", "/boot", "/mnt", Path(__file__).parent, Path(pytest.__file__).parent.parent]
    hidden += [Path(rewards.__file__).parent, Path(sandbox.__file__).parent, "/proc/sys", "/proc/cpuinfo", "/dev/mem"]
    base = Path(sys.base_prefix)
    bases = {path for prefix in (base, Path(sys.base_exec_prefix)) for path in (prefix, prefix.resolve())}
    # A folder on the way to the interpreter is there, but nothing in it except the next step of that way.
    steps: dict[str, list[str]] = {}
    for path in [path for prefix in bases if not prefix.is_relative_to("/usr") for path in (prefix, *prefix.parents)]:
        if path.parent not in (path, Path("/")):
            steps.setdefault(str(path.parent), []).append(path.name)
    absent = [str(path) for path in hidden if str(path) not in steps]
    code = f"""
import os, sys
for path in {absent}:
    if os.path.exists(path): print('visible:', path)
for folder, names in {steps}.items():
    for name in os.listdir(folder):
        if name not in names: print('visible:', folder, name)
for folder in sys.path + {[str(base)]}:
    for root, folders, files in os.walk(os.path.join(folder, 'site-packages')): print(root, folders, files)
if 'planted-secret' in str(os.environ): print('environment')
if 'planted-secret' in open('/proc/self/environ').read(): print('initial environment')
print([fd for fd in os.listdir('/proc/self/fd') if int(fd) > 4])
"""
    result = box.run(code, limits=Limits(cpu_s=5))
    assert [line for line in result.stdout.decode().splitlines() if "site-packages [] []" not in line] == ["[]"], result


@pytest.mark.parametrize("name", ["fork bomb", "threads", "memory of children", "inodes", "zombies", "daemon"])
def test_a_cheat_changes_no_verdict_of_what_is_judged_beside_it(pair: Sandbox, name: str) -> None:
    """One slot is never without the cheat while the other judges."""
    rounds = 0
    is_over = threading.Event()

    def cheat() -> None:
        nonlocal rounds
        while not is_over.is_set():
            pair.run(EVERYWHERE[name], limits=LIMITS)
            rounds += 1

    slots = [slot._process.pid for slot in pair._slots.values()]
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(cheat)
        try:
            verdicts = []
            while rounds < 3 and not running.done():
                verdicts += [pair.judge(FUNCTION, HONEST).verdict, pair.judge(STDIO, HONEST_STDIO).verdict]
        finally:
            is_over.set()
        running.result()
    assert verdicts
    assert set(verdicts) == {Verdict.AC}
    assert [slot._process.pid for slot in pair._slots.values()] == slots, "a slot was replaced"
