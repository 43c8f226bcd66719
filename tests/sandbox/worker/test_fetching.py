"""Files that a run is given are there, and of what it leaves only plain files of its own come back."""

import os
from pathlib import Path

import pytest

from sandbox import Limits, RunResult, Sandbox, Surroundings, Verdict
from sandbox.limits import MIB
from sandbox.worker.fetching import copy_files, read_fetched


def run(
    box: Sandbox, code: str, language: str = "python", limits: Limits | None = None, **surroundings: object
) -> RunResult:
    return box.submit_run(code, "", limits, language, Surroundings(**surroundings)).result()  # type: ignore[arg-type]


def leave(box: Sandbox, code: str, *names: str, **limits: object) -> dict[str, bytes]:
    result = run(box, "import os\n" + code, limits=Limits(**limits), fetch=names)  # type: ignore[arg-type]
    assert result.verdict is Verdict.AC, result
    return dict(result.files)


def test_files_and_arguments_are_there_when_the_program_starts(box: Sandbox) -> None:
    files = {"a/b/helper.py": b"def f(): return 5", "data": bytes(range(256))}
    code = (
        "import sys\nfrom a.b.helper import f\nprint(sys.argv[1:], f(), open('data', 'rb').read() == bytes(range(256)))"
    )
    assert run(box, code, files=files, arguments=("x", "y z")).stdout == b"['x', 'y z'] 5 True\n"


def test_a_compiler_sees_the_files_and_compiles_again_when_they_differ(box: Sandbox) -> None:
    code = '#include "value.h"\n#include <stdio.h>\nint main(int n, char **v) { printf("%d %s", VALUE, v[1]); }'
    for value in (b"1", b"2"):
        result = run(box, code, "c", files={"value.h": b"#define VALUE " + value}, arguments=("x",))
        assert result.stdout == value + b" x"


def test_files_come_on_top_of_the_limits(box: Sandbox) -> None:
    files = {f"{n}": b"x" * MIB for n in range(64)} | {f"small/{n}": b"x" for n in range(900)}
    limits = Limits(memory_bytes=48 * MIB, disk_bytes=MIB)
    assert run(box, "open('own', 'w').write('x' * 500_000)", limits=limits, files=files).verdict is Verdict.AC


def test_a_file_may_be_changed_and_comes_back_as_it_was_left(box: Sandbox) -> None:
    code = "open('a', 'a').write('b')"
    assert run(box, code, files={"a": b"a"}, fetch=("a",)).files == {"a": b"ab"}


def test_what_a_failed_program_left_comes_back_too(box: Sandbox) -> None:
    limits = Limits(cpu_s=0.2)
    result = run(box, "open('a', 'w').write('x')\nwhile True: open('b', 'w')", limits=limits, fetch=("a",))
    assert (result.verdict, result.files) == (Verdict.TLE, {"a": b"x"})


HOSTILE = {
    "a link": "os.symlink('/etc/hostname', 'x')",
    "a link to a file of its own": "open('y', 'w').write('y'); os.symlink('y', 'x')",
    "a pipe": "os.mkfifo('x')",
    "a socket": "import socket; socket.socket(socket.AF_UNIX).bind('x')",
    "a folder": "os.mkdir('x')",
    "a file that may not be read": "open('x', 'w').write('x'); os.chmod('x', 0)",
    "a sparse file": "open('x', 'w').truncate(1 << 27)",
    "nothing": "pass",
}


@pytest.mark.parametrize("code", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_plain_file_is_not_fetched_and_hides_nothing(box: Sandbox, code: str) -> None:
    assert leave(box, code + "\nopen('z', 'w').write('z')", "x", "z") == {"z": b"z"}


def test_a_link_to_a_folder_is_not_followed(box: Sandbox) -> None:
    code = "os.makedirs('a/b')\nopen('a/b/c', 'w').write('c')\nos.symlink('a', 'l')\nos.symlink('/etc', 'e')"
    assert leave(box, code, "a/b/c", "l/b/c", "e/hostname") == {"a/b/c": b"c"}


def test_a_process_left_behind_cannot_change_what_is_fetched(box: Sandbox) -> None:
    code = (
        "if os.fork() == 0:\n    while True:\n        os.symlink('/etc/passwd', 'l')\n        os.replace('l', 'x')\n"
        "        open('y', 'w').write('y')\n        os.replace('y', 'x')\n"
        "import time; time.sleep(0.05)"
    )
    for _ in range(10):
        assert leave(box, code, "x") in ({}, {"x": b"y"}, {"x": b""})


def test_files_together_are_no_larger_than_an_output(box: Sandbox) -> None:
    code = "for name in 'abc': open(name, 'w').write(name * 600)"
    assert leave(box, code, "a", "b", "c", output_bytes=1300) == {"a": b"a" * 600, "b": b"b" * 600}


def test_the_next_run_finds_and_leaves_nothing_of_it(box: Sandbox) -> None:
    assert leave(box, "open('a', 'w').write('x' * 200_000)", "a") == {"a": b"x" * 200_000}
    assert leave(box, "assert os.listdir('.') == ['main.py']", "a") == {}
    assert (
        box.run("import os; print(os.listdir('/proc/self/fd'))").stdout
        == box.run("import os; print(os.listdir('/proc/self/fd'))").stdout
    )


def test_a_run_that_left_files_to_fetch_leaves_no_descriptor_in_the_slot(box: Sandbox) -> None:
    for _ in range(1100):  # more than a process may have open
        assert run(box, "open('a', 'w').write('x')", fetch=("a", "b/c")).files == {"a": b"x"}


def test_copying_takes_the_names_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "a").write_bytes(b"aa")
    (tmp_path / "d" / "b").write_bytes(b"")
    (tmp_path / "d" / "c").write_bytes(b"ccc")
    names = ["a", "d/b", "none", "d/c", "d"]
    memory, folder = os.memfd_create("to"), os.open(tmp_path, os.O_PATH)
    sizes = copy_files(folder, names, memory, 100)
    assert sizes == [2, 0, -1, 3, -1]
    assert read_fetched(memory, names, sizes) == {"a": b"aa", "d/b": b"", "d/c": b"ccc"}
    assert copy_files(None, names, memory, 100) == [-1] * 5
    os.close(memory)
    os.close(folder)
