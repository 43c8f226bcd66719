"""What a program in each language gets: the same verdicts as in Python."""

import re
import shutil
from pathlib import Path

import pytest

from sandbox import JudgeResult, Kind, Limits, Problem, Sandbox, StdioTest, Verdict
from sandbox.limits import MIB
from sandbox.worker.languages import LANGUAGES, NAMES, check_known, language_of, limits_of

LIMITS = Limits(cpu_s=3, memory_bytes=256 * MIB, output_bytes=MIB)
AC, WA, RE, TLE, MLE, OLE, CE = (
    Verdict.AC, Verdict.WA, Verdict.RE, Verdict.TLE, Verdict.MLE, Verdict.OLE, Verdict.CE,
)  # fmt: skip


# In every language the same programs, after a line with their name: `add` reads two numbers and writes their sum;
# `recurses` is 100000 calls deep (bash: 1000) and writes 100000; `threads` sums 0 to 3999 in four threads, bash in four
# processes; `broken` does not compile; the others do as they are named.
_FOLDER = Path(__file__).parent / "programs"
_LANGUAGES = sorted(path.stem for path in _FOLDER.iterdir())


def program(language: str, name: str) -> str:
    sections = (_FOLDER / f"{language}.txt").read_text().split("==== ")
    return next(text for title, _, text in (section.partition("\n") for section in sections) if title == name)


@pytest.fixture(params=_LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    """Each language but Python that this machine has."""
    name = str(request.param)
    missing = [
        command
        for command in LANGUAGES[name].commands
        if shutil.which(command, path="/usr/local/bin:/usr/bin:/bin") is None
    ]
    if missing:
        pytest.skip(f"this machine has no {' and no '.join(missing)}: .ci/run names the package")
    return name


def judge(
    box: Sandbox, language: str, code: str, *tests: tuple[str, str], limits: Limits = LIMITS, stop: bool = False
) -> JudgeResult:
    cases = tuple(StdioTest(stdin=stdin, stdout=stdout) for stdin, stdout in tests or (("", ""),))
    problem = Problem(id="p", kind=Kind.STDIO, language=language, tests=cases, limits=limits)
    return box.judge(problem, code, stop_on_first_failure=stop)


def test_there_are_programs_in_every_language() -> None:
    assert {*_LANGUAGES, "python"} == set(NAMES)


def test_right_answers_are_accepted_and_wrong_ones_are_not(box: Sandbox, language: str) -> None:
    result = judge(box, language, program(language, "add"), ("1 2\n", "3\n"), ("1 2\n", "4\n"), ("40 2", "42"))
    assert [test.verdict for test in result.tests] == [AC, WA, AC], result


def test_a_source_that_does_not_compile_fails_all_tests_with_the_compilers_words(box: Sandbox, language: str) -> None:
    result = judge(box, language, program(language, "broken"), ("", ""), ("", ""))
    assert [test.verdict for test in result.tests] == [CE, CE], result
    assert re.search(r"missing|Unexpected|syntax error", result.message)
    assert re.search(r"main\.\w+|Main\.java", result.message), "it names the file"
    assert "/tmp" not in result.message


def test_a_status_that_is_not_zero_is_re(box: Sandbox, language: str) -> None:
    result = judge(box, language, program(language, "exits_with_3"))
    assert (result.verdict, result.message) == (RE, "exited with status 3")


def test_a_busy_loop_is_tle(box: Sandbox, language: str) -> None:
    result = judge(box, language, program(language, "busy"), limits=Limits(cpu_s=0.7))
    assert result.verdict is TLE, result
    assert 0.6 < result.cpu_s < 2


def test_too_much_memory_is_mle(box: Sandbox, language: str) -> None:
    limits = Limits(cpu_s=20, memory_bytes=128 * MIB)
    assert judge(box, language, program(language, "fills_memory"), limits=limits).verdict is MLE


def test_too_much_output_is_ole(box: Sandbox, language: str) -> None:
    assert judge(box, language, program(language, "floods")).verdict is OLE


def test_a_deep_recursion_works(box: Sandbox, language: str) -> None:
    result = judge(box, language, program(language, "recurses"), ("", "100000"))
    assert result.verdict is AC, result


def test_an_endless_recursion_is_re(box: Sandbox, language: str) -> None:
    """But for bash, which becomes slower with each call."""
    limits = Limits(cpu_s=1 if language == "bash" else 20, memory_bytes=1024 * MIB)
    result = judge(box, language, program(language, "never_returns"), limits=limits)
    assert result.verdict is (TLE if language == "bash" else RE), result


def test_threads_work(box: Sandbox, language: str) -> None:
    result = judge(box, language, program(language, "threads"), ("", "7998000"))
    assert result.verdict is AC, result


def test_each_language_works_here_as_its_sample_says(box: Sandbox, language: str) -> None:
    assert language in box.languages
    result = box.run(LANGUAGES[language].sample, language=language)
    assert (result.verdict, result.stdout) == (AC, b"sample")


def test_the_suffix_of_a_file_says_its_language() -> None:
    found = {suffix: language_of(suffix) for suffix in (".py", ".c", ".cc", ".C", ".js", ".rs", ".txt", "")}
    assert found == {
        ".py": "python", ".c": "c", ".cc": "cpp", ".C": "cpp", ".js": "javascript", ".rs": "rust", ".txt": "python",
        "": "python",
    }  # fmt: skip
    suffixes = [suffix for row in LANGUAGES.values() for suffix in row.suffixes]
    assert len(suffixes) == len(set(suffixes))


def test_an_unknown_language_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="'cobol'; known are python, c, cpp"):
        check_known("cobol")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import java.util.*;\npublic class A {}", "A.java"),
        ("public final class A {}\npublic class B {}", "A.java"),
        ("class A {\n  public class B {}\n}\npublic class C {}", "C.java"),
        ("import java.util.*;public class A{}", "A.java"),
        ("/* public class B */\nclass A {}", "Main.java"),
        ("/*\npublic class B {}\n*/\npublic class A {}", "A.java"),
        ("// public class B {}\npublic class A {}", "A.java"),
        ("/*\npublic class B {}" + "* " * 500_000, "Main.java"),
        ("public class \u00dcn\u00ef {}", "\u00dcn\u00ef.java"),
        ("public interface I {}", "I.java"),
        ("public class " + "A" * 101 + " {}", "Main.java"),
        ("public class ../../x {}", "Main.java"),
        ("", "Main.java"),
    ],
)
def test_java_lies_in_a_file_named_as_its_public_class(source: str, name: str) -> None:
    assert LANGUAGES["java"].source_name(source) == name


def test_what_a_runtime_takes_for_itself_is_not_the_programs() -> None:
    limits = {"memory_bytes": 100 * MIB, "processes": 4, "disk_bytes": MIB}
    java = limits_of(LANGUAGES["java"], limits, 5 * MIB)
    assert java["memory_bytes"] > 105 * MIB
    assert java["processes"] > 4
    assert java["disk_bytes"] >= 6 * MIB
    assert limits_of(LANGUAGES["c"], limits, 0)["memory_bytes"] == 100 * MIB


def has(language: str) -> pytest.MarkDecorator:
    """Skip where this machine cannot run a language's programs."""
    missing = [name for name in LANGUAGES[language].commands if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"this machine has no {', '.join(missing)}")


@pytest.mark.parametrize(
    ("language", "source"),
    [
        pytest.param("cpp", "int main() { char *p = new char[1ull << 40]; return *p; }", marks=has("cpp")),
        pytest.param("rust", 'fn main() { println!("{}", vec![1u8; 1 << 40].len()); }', marks=has("rust")),
        pytest.param("go", "package main\nfunc main() { println(len(make([]byte, 1<<40))) }", marks=has("go")),
        pytest.param(
            "java",
            "class Main { static int[][] kept = new int[9][];"
            " public static void main(String[] w) { for (int i = 0; i < 9; i++) kept[i] = new int[1 << 28]; } }",
            marks=has("java"),
        ),
        pytest.param("javascript", "const a = []; for (;;) a.push({ a: a.length });", marks=has("javascript")),
    ],
)
def test_memory_that_a_runtime_refuses_is_mle_too(box: Sandbox, language: str, source: str) -> None:
    result = judge(box, language, source, limits=Limits(cpu_s=20, memory_bytes=64 * MIB))
    assert result.verdict is MLE, result


@has("cpp")
def test_words_alone_are_no_lack_of_memory(box: Sandbox) -> None:
    says = '#include <iostream>\nint main() {{ std::cerr << "std::bad_alloc"; return {}; }}'
    assert judge(box, "cpp", says.format(0)).verdict is AC


@has("java")
def test_a_heap_nearly_as_large_as_the_limit_is_the_programs(box: Sandbox) -> None:
    source = """import java.util.*;
class Main { public static void main(String[] words) {
  List<byte[]> kept = new ArrayList<>();
  for (int i = 0; i < 80; i++) kept.add(new byte[1 << 20]);
  for (int i = 0; i < 4000; i++) kept.set(i % 80, new byte[1 << 20]);
  System.out.println(kept.size()); } }"""
    result = judge(box, "java", source, ("", "80"), limits=Limits(cpu_s=20, memory_bytes=128 * MIB))
    assert result.verdict is AC, result


def test_jobs_of_a_shell_can_be_waited_for(box: Sandbox) -> None:
    source = """sleep 0.05 & first=$!
(exit 3) & second=$!
wait $second; echo $?
wait $first; echo $?
seq 5 | sort -r | head -n 1
echo $(cat <(echo a)); (true) & wait -n; echo $?
trap 'echo bye' EXIT
"""
    assert judge(box, "bash", source, ("", "3 0 5 a 0 bye")).verdict is AC


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("bash", ":(){ :|:& };:\nwait"),
        pytest.param("c", "#include <unistd.h>\nint main(void) { for (;;) fork(); }", marks=has("c")),
        pytest.param(
            "c",
            "#include <pthread.h>\n#include <unistd.h>\nvoid *f(void *p) { for (;;) pause(); }\n"
            "int main(void) { pthread_t t; for (int n = 0; n < 1000; n++) if (pthread_create(&t, 0, f, 0)) return 7; }",
            marks=has("c"),
        ),
    ],
)
def test_processes_and_threads_are_bounded(box: Sandbox, language: str, source: str) -> None:
    result = judge(box, language, source, limits=Limits(cpu_s=0.5, idle_s=0.5, processes=16))
    assert result.verdict in (AC, RE, TLE), result  # AC: the first of many shells ends in peace
    assert result.cpu_s < 2
    assert judge(box, language, program(language, "add"), ("1 2", "3")).verdict is AC


@has("c")
def test_what_a_program_inherits_is_as_an_ordinary_parent_leaves_it(box: Sandbox) -> None:
    source = """#include <dirent.h>
#include <signal.h>
#include <stdio.h>
int main(void) {
  struct sigaction a;
  sigset_t set;
  sigprocmask(SIG_BLOCK, 0, &set);
  for (int n = 1; n < 65; n++) {
    if (!sigaction(n, 0, &a) && a.sa_handler != SIG_DFL) printf("%d is not as it was\\n", n);
    if (sigismember(&set, n)) printf("%d is blocked\\n", n);
  }
  DIR *folder = opendir("/proc/self/fd");
  int count = 0;
  while (readdir(folder)) count++;
  printf("%d\\n", count);
}
"""
    result = box.run(source, language="c")
    assert result.stdout == b"6\n", "three streams, the folder, . and .."
