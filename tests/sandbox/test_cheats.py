"""What the corpus of `qrpo-sandbox selftest` cannot know: this machine's own secrets, and a load that goes on."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import rewards
import sandbox
from sandbox import Kind, Limits, Problem, Sandbox, StdioTest, Verdict
from sandbox.checkup.corpus import Program, load

HONEST = "def f(x): return {2: 'alpha-7391', 3: ['beta', 5023]}[x]"
FUNCTION = Problem(
    id="function", tests=("assert f(2) == 'alpha-7391'", "assert f(3) == ['beta', 5023]"), entry_point="f"
)
STDIO = Problem(id="stdio", kind=Kind.STDIO, tests=(StdioTest(stdin="2\n", stdout="alpha-7391\n"),))
LOADS = [
    "resources/fork-bomb", "resources/threads", "resources/memory-of-children", "resources/inodes", "resources/zombies",
    "persistence/daemon-that-ignores-signals",
]  # fmt: skip
HONEST_STDIO = "print({2: 'alpha-7391'}[int(input())])"


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", "planted-secret")
        with Sandbox(workers=1) as sandbox:
            yield sandbox


@pytest.fixture(scope="module")
def pair() -> Iterator[Sandbox]:
    """Two slots, both started."""
    with Sandbox(workers=2) as sandbox:
        while len(sandbox._crew._slots) < 2:
            sandbox.judge_batch([(FUNCTION, HONEST)] * 4)
        yield sandbox


@pytest.fixture(scope="module")
def corpus() -> dict[str, Program]:
    return {program.name: program for program in load()}


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


@pytest.mark.parametrize("name", LOADS)
def test_a_cheat_changes_no_verdict_of_what_is_judged_beside_it(
    pair: Sandbox, corpus: dict[str, Program], name: str
) -> None:
    """One slot is never without the cheat while the other judges."""
    program = corpus[name]
    rounds = 0
    is_over = threading.Event()

    def cheat() -> None:
        nonlocal rounds
        while not is_over.is_set():
            pair.run(program.code, limits=program.problem.limits)
            rounds += 1

    slots = [slot._process.pid for slot in pair._crew._slots.values()]
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
    assert [slot._process.pid for slot in pair._crew._slots.values()] == slots, "a slot was replaced"
