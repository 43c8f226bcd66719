import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import pytest

from containers.host import HostRuntime
from containers.runtime import Runtime
from sandbox import InfrastructureError, Sandbox, UnsupportedHostError, Verdict
from sandbox.slot import Slot
from sandbox.worker import linux

LIMITS = {
    "cpu_s": 10.0, "total_cpu_s": 100.0, "due_cpu_s": 10.0, "due_total_cpu_s": 100.0,
    "idle_s": 3.0, "memory_bytes": 1 << 28, "output_bytes": 1 << 20,
    "processes": 16, "disk_bytes": 1 << 20, "open_files": 64,
}  # fmt: skip
GUARDS = {
    "user_namespace", "pid_namespace", "mount_namespace", "ipc_namespace", "uts_namespace", "network_namespace",
    "private_root", "read_only_root", "hidden_files", "private_proc", "devices", "descriptors", "environment",
    "unprivileged", "capabilities", "no_new_privileges", "seccomp", "rlimits", "process_limit", "oom_score",
    "supervisor_memory", "writable_memory",
}  # fmt: skip
OPTIONAL = {"landlock", "pid_limit", "control_group"}


class OtherRuntime:
    """The host, with something about it changed."""

    def __init__(
        self,
        start: Callable[[Sequence[str]], Sequence[str]] = lambda program: program,
        root: Callable[[dict[str, object]], dict[str, object]] = lambda spec: spec,
        preload: tuple[str, ...] = (),
        packages: tuple[str, ...] = (),
    ) -> None:
        self._change_start = start
        self._change_root = root
        self._host = HostRuntime(packages=packages)
        self.preload = preload

    def inside(self, folder: str) -> str:
        return self._host.inside(folder)

    def root(self) -> dict[str, object]:
        return self._change_root(self._host.root())

    def start(
        self, program: Sequence[str], descriptor: int, log: IO[bytes], folders: Sequence[str]
    ) -> subprocess.Popen[bytes]:
        return self._host.start(self._change_start(program), descriptor, log, folders)


@pytest.fixture(scope="module")
def slot() -> Iterator[Slot]:
    slot = Slot(HostRuntime())
    yield slot
    slot.close()


def judging(key: str, code: str) -> dict[str, object]:
    return {
        "op": "judge", "key": key, "code": code, "limits": LIMITS,
        "stop_on_first_failure": False, "isolate_tests": False,
    }  # fmt: skip


def problem(*tests: str) -> dict[str, object]:
    return {"kind": "function", "prelude": "", "tests": list(tests), "entry_point": None, "checker": None}


def verdicts(answer: dict[str, object]) -> list[str]:
    tests = answer["tests"]
    assert isinstance(tests, list)
    return [test[0] for test in tests]


def test_every_guard_is_measured_and_holds(slot: Slot) -> None:
    assert slot.enforcement.level == "userns"
    assert GUARDS <= set(slot.enforcement.guards) <= GUARDS | OPTIONAL
    assert set(slot.enforcement.absent) == OPTIONAL - set(slot.enforcement.guards)
    assert slot.enforcement.python == ".".join(map(str, sys.version_info[:3]))


def test_what_was_measured_cannot_be_changed(slot: Slot) -> None:
    with pytest.raises(TypeError):
        slot.enforcement.absent["landlock"] = ""  # type: ignore[index]


def test_a_problem_is_sent_once_and_judged_many_times(slot: Slot) -> None:
    sent = problem("assert f() == 1")
    assert verdicts(slot.request(judging("once", "def f(): return 1"), sent)) == ["AC"]
    other = problem("assert f() == 2")  # by its key it is the same: nothing is sent again
    assert verdicts(slot.request(judging("once", "def f(): return 1"), other)) == ["AC"]


def test_a_problem_the_broker_does_not_have_is_sent_when_it_asks(slot: Slot) -> None:
    slot._known.add("forgotten")
    assert verdicts(slot.request(judging("forgotten", "def f(): return 3"), problem("assert f() == 3"))) == ["AC"]


def test_a_problem_the_broker_dropped_for_its_size_is_sent_again(slot: Slot) -> None:
    large = [problem(f"x = {str(number) * (34 << 20)!r}\nassert f(len(x))") for number in range(2)]
    for number in (0, 1, 0, 0):
        answer = slot.request(judging(f"large {number}", "def f(n): return n == 34 << 20"), large[number])
        assert verdicts(answer) == ["AC"]


def test_a_bad_problem_is_told_and_the_slot_goes_on(slot: Slot) -> None:
    for _ in range(2):
        answer = slot.request(judging("bad", "def f(): return 1"), problem("assert ("))
        assert "does not compile" in answer["problem"]
    assert verdicts(slot.request(judging("good", "def f(): return 1"), problem("assert f()"))) == ["AC"]


def test_a_script_is_run(slot: Slot) -> None:
    answer = slot.request({"op": "run", "code": "print(input())", "stdin": b"hi", "limits": LIMITS})
    assert (answer["verdict"], answer["stdout"], answer["exit_code"]) == ("AC", b"hi\n", 0)


def test_a_closed_slot_leaves_no_process_and_answers_nothing(
    descendants: Callable[[int], list[int]], is_alive: Callable[[int], bool]
) -> None:
    slot = Slot(HostRuntime())
    family = [slot._process.pid, *descendants(slot._process.pid)]
    assert len(family) >= 3  # who waits, the broker, the zygote
    slot.close()
    assert not any(map(is_alive, family))
    with pytest.raises(InfrastructureError):
        slot.request({"op": "run", "code": "", "stdin": b"", "limits": LIMITS})
    slot.close()


def test_a_slot_whose_broker_died_says_so(descendants: Callable[[int], list[int]]) -> None:
    slot = Slot(HostRuntime())
    os.kill(descendants(slot._process.pid)[0], signal.SIGKILL)
    with pytest.raises(InfrastructureError, match="broker"):
        slot.request({"op": "run", "code": "", "stdin": b"", "limits": LIMITS})
    slot.close()


# --- starting ---


def test_a_runtime_that_ends_at_once_is_an_infrastructure_error() -> None:
    with pytest.raises(InfrastructureError, match="a slot did not start: its Python is gone"):
        Slot(OtherRuntime(start=lambda program: [program[0], "pass"]))


def test_a_runtime_that_cannot_be_started_is_told() -> None:
    class Broken(OtherRuntime):
        def start(
            self, program: Sequence[str], descriptor: int, log: IO[bytes], folders: Sequence[str]
        ) -> subprocess.Popen[bytes]:
            return subprocess.Popen(["/no/such/program"])

    with pytest.raises(InfrastructureError, match=r"could not be started: .*/no/such/program"):
        Slot(Broken())


def test_a_root_that_cannot_be_built_names_the_mount_and_the_doctor() -> None:
    def with_missing(spec: dict[str, object]) -> dict[str, object]:
        return {**spec, "binds": {**spec["binds"], "/missing": "/no/such/folder"}}  # type: ignore[dict-item]

    with pytest.raises(UnsupportedHostError, match=r"mounts.*/no/such/folder.*doctor"):
        Slot(OtherRuntime(root=with_missing))


def test_a_guard_that_does_not_hold_stops_the_start() -> None:
    def with_secrets(spec: dict[str, object]) -> dict[str, object]:
        return {**spec, "binds": {**spec["binds"], "/etc/shadow": "/etc/passwd"}}  # type: ignore[dict-item]

    with pytest.raises(UnsupportedHostError, match=r"hidden_files: visible: /etc/shadow"):
        Slot(OtherRuntime(root=with_secrets))


def test_preloaded_modules_are_there_before_the_program() -> None:
    code = "import sys\nprint('numpy' in sys.modules, 'sortedcontainers' in sys.modules)"
    for preload, expected in ((("numpy",), b"True False\n"), ((), b"False False\n")):
        slot = Slot(OtherRuntime(preload=preload, packages=("numpy", "sortedcontainers")))
        try:
            answer = slot.request({"op": "run", "code": code, "stdin": b"", "limits": LIMITS})
            assert answer["stdout"] == expected
        finally:
            slot.close()


def _interpreters() -> list[str]:
    """Other versions of Python on this machine, from 3.8 on, as pyenv lays them out."""
    folders = sorted((Path.home() / ".pyenv/versions").glob("3.*.*"))
    return [str(folder / "bin/python3") for folder in folders if int(folder.name.split(".")[1]) >= 8]


@pytest.mark.parametrize("python", _interpreters())
def test_the_worker_runs_under_other_versions_of_python(python: str) -> None:
    prefix = str(Path(python).parent.parent)

    class Other(OtherRuntime):
        def start(
            self, program: Sequence[str], descriptor: int, log: IO[bytes], folders: Sequence[str]
        ) -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [python, "-S", "-s", "-B", "-X", "utf8", *program, str(descriptor)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                pass_fds=(descriptor,), env={"PYTHONHASHSEED": "0"}, cwd="/",
            )  # fmt: skip

    slot = Slot(Other(root=lambda spec: {**spec, "binds": {**spec["binds"], prefix: prefix}}))  # type: ignore[dict-item]
    try:
        code = (
            "class C:\n    def __init__(self): self.n = [1]\ndef f(x):\n    x.append({2: (1.5, None)})\n    return C()"
        )
        test = "x = []\nassert f(x).n == [1] and x == [{2: (1.5, None)}]"
        assert verdicts(slot.request(judging("k", code), problem(test))) == ["AC"]
        answer = slot.request(
            {"op": "run", "code": "import sys\nprint(sys.version.split()[0])", "stdin": b"", "limits": LIMITS}
        )
        assert answer["stdout"].decode().strip() == slot.enforcement.python
    finally:
        slot.close()


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group with little memory, which only root can make."""
    for parent, limit in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        group = Path("/sys/fs/cgroup", parent, f"qrpo-test-{os.getpid()}")
        try:
            group.mkdir()
            (group / limit).write_text(str(96 << 20))
        except OSError:
            group.rmdir() if group.is_dir() else None
            continue
        yield group
        group.rmdir()
        return
    pytest.skip("no control group with a memory limit can be made here (by root, on a machine of its own)")


def test_a_program_killed_for_the_hosts_want_of_memory_has_not_failed(
    small_group: Path, descendants: Callable[[int], list[int]]
) -> None:
    slot = Slot(HostRuntime())
    try:
        for pid in (slot.pid, *descendants(slot.pid)):
            (small_group / "cgroup.procs").write_text(str(pid))
        request = {"op": "run", "stdin": b"", "limits": {**LIMITS, "memory_bytes": 1 << 30}}
        assert slot.request({**request, "code": "import os; os.kill(os.getpid(), 9)"})["verdict"] == "RE"
        with pytest.raises(InfrastructureError, match="want of memory"):
            slot.request({**request, "code": "x = bytearray(300 << 20)"})
    finally:
        slot.kill()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder of a file system without room."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    linux.mount("tmpfs", str(tmp_path), "tmpfs", 0, "size=4k,nr_inodes=1")
    yield tmp_path
    linux.unmount(str(tmp_path))


def test_a_full_disk_is_told_as_the_hosts_failure(
    full_disk: Path, descendants: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox(workers=1) as box:
        monkeypatch.setattr(tempfile, "tempdir", str(full_disk))
        monkeypatch.setattr("sandbox.crew._PATIENCE_S", 0.0)
        assert box.run("").verdict is Verdict.AC
        os.kill(descendants(box._crew._slots[0].pid)[0], signal.SIGKILL)
        with pytest.raises(InfrastructureError, match="No space left on device"):
            box.run("")
        monkeypatch.setattr(tempfile, "tempdir", None)
        assert box.run("").verdict is Verdict.AC


def test_without_free_process_numbers_the_host_fails_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an ordinary user, whose processes RLIMIT_NPROC counts; root's user of slots has none of its own yet."""
    if os.geteuid() == 0:
        pytest.skip("RLIMIT_NPROC does not hold for root")
    monkeypatch.setattr("sandbox.crew._PATIENCE_S", 0.0)
    with Sandbox(workers=1) as box:
        slot = box._crew._slots[0].pid
        soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
        os.kill(slot, signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_NPROC, (1, hard))
        try:
            with pytest.raises(InfrastructureError, match="temporarily unavailable"):
                box.run("")
        finally:
            resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
        assert box.run("").verdict is Verdict.AC


def test_a_slot_killed_while_it_starts_is_no_matter_of_what_the_host_supports(
    patched_host: Callable[[str], Runtime],
) -> None:
    """Where its zygote dies of something else than a guard that is missing."""
    with pytest.raises(InfrastructureError, match="did not start: the zygote died"):
        Slot(patched_host("zygote.prepare = lambda *a: os.kill(os.getpid(), 9) or os._exit(9)"))


def test_what_the_caller_ignores_programs_do_not() -> None:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGHUP, signal.SIGINT)}
    try:
        with Sandbox(workers=1) as box:
            code = "import signal as s\nprint(s.getsignal(1) is s.SIG_DFL, s.getsignal(2) is s.default_int_handler)"
            assert box.run(code).stdout == b"True True\n"
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("stopped", [0, 1, 2], ids=["first process", "broker", "zygote"])
def test_a_slot_ends_with_the_thread_that_made_it_whatever_is_stopped(
    stopped: int,
    descendants: Callable[[int], list[int]],
    is_alive: Callable[[int], bool],
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    slots: list[Slot] = []
    processes: list[int] = []

    def make() -> None:
        slots.append(Slot(HostRuntime()))
        processes.extend([slots[0].pid, *descendants(slots[0].pid)])
        os.kill(processes[stopped], signal.SIGSTOP)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    assert len(processes) == 3
    eventually(lambda: not any(map(is_alive, processes)))
    slots[0].close()
