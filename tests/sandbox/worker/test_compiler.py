"""Compiling: once for each source, within limits, whatever source and compiler do."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from containers.runtime import Runtime
from sandbox import (
    InfrastructureError,
    Kind,
    Limits,
    Problem,
    RunResult,
    Sandbox,
    StdioTest,
    UnsupportedLanguageError,
    Verdict,
)
from sandbox.level import Level
from sandbox.messages import run_request
from sandbox.slot import Slot

AC, CE, RE = Verdict.AC, Verdict.CE, Verdict.RE
# A compiler that does what its source, a script, says.
OBEDIENT = """
languages.LANGUAGES["c"] = languages.LANGUAGES["c"]._replace(
    source="main.sh", compile=("bash", "{source}"), sample="printf '#!/bin/bash\\nprintf sample' > main; chmod 755 main"
)
compiler._LIMITS.update(idle_s=0.7, memory_bytes=256 << 20)
"""
MAKE = "printf '#!/bin/bash\\necho %s' > main\nchmod 755 main\n"


@pytest.fixture(scope="module")
def obedient(patched_host: Callable[[str], Runtime]) -> Iterator[Sandbox]:
    """A sandbox whose compiler of C executes its source, and so is as hostile as one taken over by it."""
    with Sandbox(workers=1, runtime=patched_host(OBEDIENT)) as box:
        yield box


def run(box: Sandbox, source: str) -> RunResult:
    return box.run(source, language="c")


needs = {
    name: pytest.mark.skipif(shutil.which(command) is None, reason=f"this machine has no {command}")
    for name, command in (("c", "gcc"), ("cpp", "g++"), ("rust", "rustc"), ("go", "go"), ("java", "javac"))
}


def test_a_source_is_compiled_once_however_often_it_is_run_and_judged(obedient: Sandbox) -> None:
    source = MAKE % "$RANDOM$RANDOM$RANDOM" + "# once\n"
    source = source.replace("'#!", '"#!').replace("' > main", '" > main')  # the number is the compiler's
    first = run(obedient, source)
    assert (first.verdict, len(first.stdout) > 3) == (AC, True)
    tests = tuple(StdioTest(stdin=str(n), stdout=first.stdout.decode()) for n in range(20))
    result = obedient.judge(Problem(id="p", kind=Kind.STDIO, language="c", tests=tests), source)
    assert (result.verdict, result.passed) == (AC, 20)
    results = obedient.run_batch([(source, str(n)) for n in range(10)], language="c")
    assert {again.stdout for again in results} == {first.stdout}
    assert run(obedient, source + "#").stdout != first.stdout


def test_a_failure_is_remembered_too_but_not_one_of_the_compilers_limits(obedient: Sandbox) -> None:
    fails = "echo $RANDOM$RANDOM$RANDOM >&2\nexit 1\n"
    assert run(obedient, fails).message == run(obedient, fails).message != ""
    stopped = "echo $RANDOM$RANDOM$RANDOM >&2\nyes\n"
    assert "output limit" in run(obedient, stopped).message
    assert run(obedient, stopped).message != run(obedient, stopped).message


def test_what_was_used_longest_ago_is_forgotten_first(patched_host: Callable[[str], Runtime]) -> None:
    def source(name: str) -> str:
        return f'printf "#!/bin/bash\\necho $RANDOM$RANDOM$RANDOM {"x" * 200}" > main\nchmod 755 main # {name}\n'

    with Sandbox(workers=1, runtime=patched_host(OBEDIENT + "compiler._MOST_KEPT = 600")) as box:
        first, second = run(box, source("a")).stdout, run(box, source("b")).stdout
        assert run(box, source("a")).stdout == first
        run(box, source("c"))
        assert run(box, source("a")).stdout == first
        assert run(box, source("b")).stdout != second


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("ln -s /bin/true main", "symbolic links"),
        ("ln -s /dev/zero main", "left no program"),
        ("mkfifo main; chmod 755 main", "is no file"),
        ("mkdir main", "is no file"),
        ("python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"main\")'", "left no program"),
        ("touch main", "is not executable"),
        ("true", "left no program"),
        ("truncate -s 300M main; chmod 755 main", "it has 300 MiB, at most 64"),
        ("chmod 0 /tmp", "left no program"),
        ("echo why >&2; exit 3", "why"),
        ("exit 3", "said nothing"),
        ("kill -SEGV $$", "killed by signal 11"),
        ("kill -KILL $PPID; sleep 9", "said nothing"),
        ("kill -STOP $PPID; sleep 100", "idle for longer"),
        ("yes", "output limit"),
        ("yes >&2", "output limit"),
        ("x=x; while :; do x=$x$x; done", "memory limit|said nothing|cannot allocate"),
        ("yes > filled", "memory limit|No space left|said nothing"),
        ("sleep 100", "idle for longer"),
        ("exec >&- 2>&-; sleep 100", "idle for longer"),
    ],
)
def test_what_a_compiler_leaves_or_does_is_ce(obedient: Sandbox, source: str, words: str) -> None:
    result = run(obedient, source)
    assert result.verdict is CE, result
    assert any(word in result.message for word in words.split("|")), result.message


def test_nothing_of_a_compiler_outlives_it(
    obedient: Sandbox, descendants: Callable[[int], list[int]], eventually: Callable[[Callable[[], object]], None]
) -> None:
    slot = next(iter(obedient._crew._slots.values())).pid
    before = len(descendants(slot))
    daemon = "(trap '' TERM HUP; setsid bash -c 'while :; do echo no > main; done' &) \n"
    started = time.monotonic()
    result = run(obedient, MAKE % "made" + daemon)
    assert result.verdict in (AC, CE, RE), "it may race for its own program, and for nobody else's"
    assert time.monotonic() - started < 20
    eventually(lambda: len(descendants(slot)) == before)
    assert run(obedient, MAKE % "next").stdout == b"next\n"


def test_what_a_compiler_makes_may_be_no_program_which_is_not_the_hosts_fault(obedient: Sandbox) -> None:
    result = run(obedient, "printf '\\177ELF' > main; chmod 755 main")
    assert (result.verdict, result.exit_code) == (RE, 126)
    assert b"cannot be executed" in result.stderr
    assert run(obedient, "printf '#!/nowhere' > main; chmod 755 main").verdict is RE


def test_a_compiler_sees_no_more_than_a_program(obedient: Sandbox) -> None:
    result = run(obedient, "id -u; ls / /tmp /proc; env; exit 1")
    assert result.message.startswith("1000\n")
    assert "/home" not in result.message
    result = run(obedient, "echo > /dev/tcp/127.0.0.1/22; exit 1")
    assert "not supported" in result.message, "an address family that there is not"


@pytest.mark.parametrize(
    ("language", "source", "words"),
    [
        pytest.param("c", "#include </dev/zero>\n", "memory limit", marks=needs["c"]),
        pytest.param("c", '#include "/proc/self/environ"\n', "", marks=needs["c"]),
        pytest.param("c", "#include __FILE__\n", "nested", marks=needs["c"]),
        pytest.param("c", 'asm(".incbin \\"/dev/zero\\"");', "main.s", marks=needs["c"]),
        pytest.param("c", 'asm(".fill 4000000000,1,1");', "File size limit", marks=needs["c"]),
        pytest.param("c", "char a[200 << 20] = {1}; int main(void) { return 0; }", "at most 64", marks=needs["c"]),
        pytest.param("c", "int main(void) { return " + "(" * 3_000_000, "", marks=needs["c"]),
        pytest.param("c", "", "main", marks=needs["c"]),
        pytest.param("cpp", "template<int N> struct A { A<N + 1> a; }; A<0> a;", "main.cpp", marks=needs["cpp"]),
        pytest.param(
            "rust", 'static A: &[u8] = include_bytes!("/dev/zero"); fn main() {}', "memory", marks=needs["rust"]
        ),
        pytest.param("go", 'package main\n// int n;\nimport "C"\nfunc main() {}\n', "constraints", marks=needs["go"]),
        pytest.param("go", "package other\nfunc main() {}\n", "not executable", marks=needs["go"]),
        pytest.param("java", "", "no class", marks=needs["java"]),
    ],
)
def test_a_hostile_source_is_ce(box: Sandbox, language: str, source: str, words: str) -> None:
    result = box.run(source, language=language)
    assert result.verdict is CE, result
    assert words in result.message
    assert len(result.message) < 4200


@needs["c"]
def test_a_large_source_and_a_large_array_that_is_not_used_are_honest(box: Sandbox) -> None:
    large = "// " + "x" * 6_000_000 + '\n#include <stdio.h>\nint main(void) { puts("a"); }\n'
    assert box.run(large, language="c").stdout == b"a\n"
    huge = "char a[1ull << 32]; int main(void) { return a[7]; }"
    assert box.run(huge, language="c").verdict is AC


@needs["c"]
def test_a_source_that_does_not_compile_ran_nothing(box: Sandbox) -> None:
    result = box.run("int main(void) {", language="c")
    assert (result.verdict, result.stdout, result.cpu_s) == (CE, b"", 0.0)
    assert result.stderr.decode() == result.message


@pytest.mark.parametrize(("commands", "why"), [("('nowhere',)", "no command nowhere"), ("('false',)", "a sample")])
def test_a_language_that_the_runtime_lacks_is_the_callers_to_know(
    patched_host: Callable[[str], Runtime], commands: str, why: str
) -> None:
    patch = f'languages.LANGUAGES["rust"] = languages.LANGUAGES["rust"]._replace(compile={commands})'
    problem = Problem(id="p", kind=Kind.STDIO, language="rust", tests=(StdioTest(stdin="", stdout=""),))
    with Sandbox(workers=1, runtime=patched_host(patch)) as box:
        with pytest.raises(UnsupportedLanguageError, match=f"rust: .*{why}"):
            box.run("fn main() {}", language="rust")
        with pytest.raises(UnsupportedLanguageError, match=why):
            box.judge(problem, "fn main() {}")
        assert "rust" not in box.languages
        assert "python" in box.languages
        assert box.run("print(1)").verdict is AC


def test_a_command_that_cannot_be_executed_is_no_verdict(patched_host: Callable[[str], Runtime]) -> None:
    patch = 'languages.LANGUAGES["bash"] = languages.LANGUAGES["bash"]._replace(run=("/tmp/none/bash", "{source}"))'
    with closing(Slot(patched_host(patch))) as slot, pytest.raises(InfrastructureError, match="No such file"):
        slot.request(run_request("echo 1", b"", Limits(), "bash"))


def test_where_no_process_can_be_started_there_is_python_only(needs_lower_level: None) -> None:
    with Sandbox(workers=1, level=Level.LANDLOCK) as box:
        assert box.languages == ("python",)
        with pytest.raises(UnsupportedLanguageError, match="landlock"):
            box.run("int main() {}", language="c")
