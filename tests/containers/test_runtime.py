"""What every runtime of containers promises, asked of each that is installed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from containers.apptainer import ApptainerRuntime
from containers.enroot import EnrootRuntime
from containers.runtime import ContainerError, Runtime
from containers.store import ImageStore
from sandbox import Problem, Sandbox, StdioTest, Verdict

ADD = Problem(id="add", tests=("assert add(2, 2) == 4", "assert add(-1, 1) == 0"))
ECHO = Problem(id="echo", kind="stdio", tests=(StdioTest(stdin="x y\n", stdout="x y\n"),))


@pytest.fixture(scope="module", params=["apptainer", "enroot"])
def contain(request: pytest.FixtureRequest, store: ImageStore) -> Callable[[Path], Runtime]:
    """A runtime for an image that is a folder."""
    request.getfixturevalue(f"needs_{request.param}")
    if request.param == "apptainer":
        return lambda folder: ApptainerRuntime(image=folder)
    pack = request.getfixturevalue("pack")
    return lambda folder: EnrootRuntime(image=store.prepare(str(pack(folder))))


@pytest.fixture(scope="module")
def runtime(contain: Callable[[Path], Runtime], image: Path) -> Runtime:
    return contain(image)


@pytest.fixture(scope="module")
def box(runtime: Runtime) -> Sandbox:
    with Sandbox(workers=1, runtime=runtime) as box:
        yield box


def lines(box: Sandbox, code: str) -> list[str]:
    result = box.run(code)
    assert result.verdict is Verdict.AC, result
    return result.stdout.decode().splitlines()


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("def add(a, b): return a + b", Verdict.AC),
        ("def add(a, b): return 4", Verdict.WA),
        ("def add(a, b): 1 / 0", Verdict.RE),
        ("import os; os._exit(0)", Verdict.RE),
        ("def add(a, b", Verdict.CE),
    ],
)
def test_verdicts_are_those_of_the_host(box: Sandbox, code: str, verdict: Verdict) -> None:
    assert box.judge(ADD, code).verdict is verdict


def test_standard_streams_are_judged(box: Sandbox) -> None:
    assert box.judge(ECHO, "print(input())").verdict is Verdict.AC


def test_every_guard_holds_in_it(box: Sandbox) -> None:
    assert box.enforcement.level == "userns"
    assert {"user_namespace", "seccomp", "read_only_root"} <= set(box.enforcement.guards)


def test_programs_see_the_image_and_not_what_is_private_to_it(box: Sandbox, image: Path) -> None:
    [seen] = lines(box, "import os; print(sorted(os.listdir('/')))")
    assert "usr" in seen
    for private in ("root", "home", "run", ".qrpo-sandbox"):
        assert f"'{private}'" not in seen
    assert lines(box, f"import os; print(os.path.exists({str(image)!r}), os.path.exists({__file__!r}))") == [
        "False False"
    ]


def test_programs_find_the_images_python(box: Sandbox) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(5)'], check=True)"
    assert lines(box, code) == ["5"]


def test_the_first_process_of_a_slot_is_the_python_inside_and_not_what_started_it(box: Sandbox) -> None:
    assert b"worker.main" in Path(f"/proc/{box._crew._slots[0].pid}/cmdline").read_bytes()


def test_a_slot_that_is_killed_is_replaced(runtime: Runtime, descendants: Callable[[int], list[int]]) -> None:
    with Sandbox(workers=1, runtime=runtime) as box:
        slot = box._crew._slots[0]
        for victim in (slot.pid, *descendants(slot.pid)[:1]):
            if Path(f"/proc/{victim}").exists():
                os.kill(victim, signal.SIGKILL)
            assert box.judge(ADD, "def add(a, b): return a + b").verdict is Verdict.AC


def test_nothing_is_left_of_it(
    runtime: Runtime, descendants: Callable[[int], list[int]], eventually: Callable[[Callable[[], object]], None]
) -> None:
    before = set(descendants(os.getpid()))
    with Sandbox(workers=2, runtime=runtime) as box:
        box.run_batch([("import time; time.sleep(0.2)", "")] * 4)
        assert set(descendants(os.getpid())) > before
    eventually(lambda: set(descendants(os.getpid())) <= before)


def test_an_image_without_python_is_told(contain: Callable[[Path], Runtime], path_without_python: Path) -> None:
    with pytest.raises(ContainerError, match=r"cannot be used: no `python3` \(>= 3\.8\) started in it; .* ended with"):
        Sandbox(workers=1, runtime=contain(path_without_python))


def test_an_image_with_an_old_python_is_told(contain: Callable[[Path], Runtime], path_without_python: Path) -> None:
    python = path_without_python / "bin" / "python3"
    said = '{"version": [3, 7, 2], "folders": [], "links": {}, "files": {}, "path": []}'
    python.write_text(f"#!/bin/sh\necho '{said}'\n")
    python.chmod(0o755)
    with pytest.raises(ContainerError, match=r"has Python 3\.7\.2; at least 3\.8 is needed"):
        contain(path_without_python).root()
