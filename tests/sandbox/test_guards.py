"""Each guard alone: with it taken away and all others left, a slot refuses to start and says which one is missing."""

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from containers.host import HostRuntime
from containers.runtime import Runtime
from sandbox import ClosedError, Level, Limits, Problem, Sandbox, UnsupportedHostError, Verdict
from sandbox.slot import Slot
from sandbox.worker import landlock, linux

WITH_OPTIONS = "mount = linux.mount\nlinux.mount = lambda s, t, k, f, d='': mount(s, t, k, f, "
AS_ROOT = """
confine, ids = candidate.confine, linux.map_ids
def as_root(*args):
    linux.map_ids = lambda uid, gid, proc: ids(b'0 1000 1', gid, proc)
    confine(*args)
candidate.confine = as_root
"""
# What each row runs in the slot's first process, before anything else, to take one guard away; and what is then said.
REMOVED = {
    "user namespace of a run": (
        "cage.Cage.namespaces = property(lambda c: linux.CLONE_NEWIPC)",
        "candidate: .*not permitted",
    ),
    "mount namespace of the zygote": ("zygote.NAMESPACES &= ~linux.CLONE_NEWNS", "candidate: .*mount.*not permitted"),
    "ipc namespace of a run": (
        "cage.Cage.namespaces = property(lambda c: linux.CLONE_NEWUSER)",
        "ipc_namespace: the ipc namespace is shared",
    ),
    "pid namespace of the zygote": ("zygote.NAMESPACES &= ~linux.CLONE_NEWPID", "candidate: .*mount proc"),
    "pid namespace of the slot": (
        "main._NAMESPACES &= ~linux.CLONE_NEWPID",
        "(mounts: .*mount proc|pid_namespace: the broker is not PID 1)",
    ),
    "uts namespace": (
        "main._NAMESPACES &= ~linux.CLONE_NEWUTS; linux.set_host_name = lambda name: None",
        "uts_namespace: the uts namespace is shared",
    ),
    "host name": ("linux.set_host_name = lambda name: None", "uts_namespace: the host's name shows"),
    "network namespace": ("main._NAMESPACES &= ~linux.CLONE_NEWNET", "network_namespace: "),
    "private root": (
        "fill = root._populate; root._populate = lambda: (fill(), os.mkdir('/strange'))",
        "private_root: the root shows strange",
    ),
    "read-only binds": ("linux.make_read_only = lambda target, is_device=False: None", "read_only_root: /[a-z]+ "),
    "read-only root": (
        "mount = linux.mount; linux.mount = lambda *a: None if a[3] & linux.MS_REMOUNT else mount(*a)",
        "read_only_root: / is not mounted read-only",
    ),
    "proc without others": (
        WITH_OPTIONS + "d.replace(',hidepid=ptraceable', ''))",
        "private_proc: other processes are visible: 1",
    ),
    "proc without the host": (
        WITH_OPTIONS + "d.replace('subset=pid,', ''))",
        "private_proc: /proc shows ",
    ),
    "proc that cannot be written": (
        "mount = linux.mount; linux.mount = lambda s, t, k, f, d='': mount(s, t, k, f & ~(k == 'proc'), d)",
        "private_proc: /proc is not mounted read-only",
    ),
    "devices": ("root.READABLE_DEVICES += ('tty',)", "devices: /dev holds tty"),
    "closed descriptors": ("linux.close_from = lambda lowest: None", "descriptors: open descriptors: "),
    "environment": ("main._ENVIRONMENT['SLURM_JOB_ID'] = '1'", "environment: the environment holds SLURM_JOB_ID"),
    "not root inside": (
        AS_ROOT,
        "unprivileged: the program runs as uid 0",
    ),
    "no capabilities": ("linux.drop_capabilities = lambda: None", "capabilities: capabilities are held"),
    "no new privileges": (
        "prctl = linux.prctl; linux.prctl = lambda o, v: 0 if o == linux.PR_SET_NO_NEW_PRIVS else prctl(o, v)",
        "(candidate: .*landlock_restrict_self|candidate: .*seccomp filter|no_new_privileges: )",
    ),
    "system-call filter": ("seccomp.install = lambda single=None: None", "seccomp: unshare"),
    "zygote that cannot be dumped": (
        "prctl = linux.prctl; linux.prctl = lambda o, v: 0 if (o, v) == (linux.PR_SET_DUMPABLE, 0) else prctl(o, v)",
        "supervisor_memory: the zygote can be traced",
    ),
    "size of /tmp": (
        WITH_OPTIONS + "'mode=1777' if d.startswith('mode=1777') else d)",
        "writable_memory: /tmp has [0-9]+ bytes",
    ),
    "inodes of /tmp": ("candidate._INODES = 0", "writable_memory: "),
    "bounded stack": ("candidate.STACK_BYTES = 1 << 40", "(rlimits: RLIMIT_STACK is|candidate: )"),
    "order of dying": ("main._OOM_SCORE = '0'", "oom_score: oom_score_adj is 0"),
}  # fmt: skip
# One line of the filter at a time: the call is allowed, or its rule lifted.
LIFTED = {
    "unshare": "syscalls._NUMBERS['unshare'] = (272, 97)",
    "setns": "syscalls._NUMBERS['setns'] = (308, 268)",
    "ptrace": "syscalls._NUMBERS['ptrace'] = (101, 117)",
    "keyctl": "syscalls._NUMBERS['keyctl'] = (250, 219)",
    "perf_event_open": "syscalls._NUMBERS['perf_event_open'] = (298, 241)",
    "userfaultfd": "syscalls._NUMBERS['userfaultfd'] = (323, 282)",
    "io_uring_setup": "syscalls._HIDDEN.pop('io_uring_setup'); syscalls._NUMBERS['io_uring_setup'] = (425, 425)",
    "clone3": "syscalls._HIDDEN.pop('clone3'); syscalls._NUMBERS['clone3'] = (435, 435)",
    "flock": "syscalls._NUMBERS['flock'] = (73, 32)",
    "semget": "syscalls._NUMBERS['semget'] = (64, 190)",
    "inotify_init1": "syscalls._NUMBERS['inotify_init1'] = (294, 26)",
    "memfd_create": "syscalls._NUMBERS['memfd_create'] = (319, 279)",
    "fcntl": "seccomp._RULES.pop('fcntl')",
    "ioctl": "seccomp._RULES.pop('ioctl')",
    "prctl": "seccomp._RULES.pop('prctl')",
    "rt_sigaction": "seccomp._RULES.pop('rt_sigaction')",
    "prlimit64": "seccomp._RULES.pop('prlimit64')",
    "personality": "seccomp._RULES.pop('personality')",
    "clone": "seccomp._RULES.pop('clone')",
    "a netlink socket": "seccomp._RULES.pop('socket')",
    "shared anonymous memory": "seccomp._RULES.pop('mmap')",
}
RLIMITS = ("CORE", "FSIZE", "NOFILE", "MSGQUEUE", "SIGPENDING", "MEMLOCK", "DATA", "AS", "CPU", "NPROC")
LANDLOCK = {
    "all of it": (1, "landlock.restrict = lambda ruleset: None", "landlock: files can be opened for writing"),
    "abstract sockets": (6, "landlock._SCOPES = 2", "landlock: an abstract socket outside can be reached"),
    "device of zeros": (
        1,
        "inside = cage._inside; cage._inside = lambda spec: {**inside(spec), '/dev/zero': landlock.WRITE}",
        "devices: /dev/zero can be opened for writing",
    ),
}
Refuses = Callable[..., None]


@pytest.fixture
def refuses(patched_host: Callable[[str], Runtime]) -> Refuses:
    """Check that a slot whose code is changed so does not start, and what it says."""

    def check(patch: str, why: str, level: Level = Level.USERNS) -> None:
        with pytest.raises(UnsupportedHostError, match=why):
            Slot(patched_host(patch), level).close()

    return check


def needs_landlock(version: int) -> None:
    if landlock.version() < version:
        pytest.skip(f"this kernel's Landlock has version {landlock.version()}; {version} is needed")


def test_nothing_taken_away_is_no_reason_to_refuse(patched_host: Callable[[str], Runtime]) -> None:
    Slot(patched_host("")).close()


@pytest.mark.parametrize("name", REMOVED)
def test_a_slot_without_one_guard_does_not_start(refuses: Refuses, name: str) -> None:
    refuses(*REMOVED[name])


@pytest.mark.parametrize("name", LIFTED)
def test_a_filter_that_lets_one_call_through_is_noticed(refuses: Refuses, name: str) -> None:
    refuses(f"{LIFTED[name]}\nseccomp._PROGRAM = seccomp._assembled(seccomp.filter_program())", f"seccomp: {name}")


@pytest.mark.parametrize("name", RLIMITS)
def test_a_missing_rlimit_is_noticed(refuses: Refuses, name: str) -> None:
    kind = f"resource.RLIMIT_{name}"
    patch = (
        "import resource\nall_of_them = candidate._rlimits\n"
        f"candidate._rlimits = lambda *a: [row for row in all_of_them(*a) if row[0] != {kind}]"
    )
    refuses(patch, f"RLIMIT_{name} is")


def test_a_missing_limit_of_processes_is_noticed_by_trying_it(refuses: Refuses) -> None:
    patch = (
        "import resource\nall_of_them = candidate._rlimits\n"
        "candidate._rlimits = lambda *a: [r for r in all_of_them(*a) if r[0] != resource.RLIMIT_NPROC]"
    )
    refuses(patch, "process_limit: 64 children could be made")


def test_a_missing_limit_of_process_numbers_is_noticed(refuses: Refuses) -> None:
    slot = Slot(HostRuntime())
    slot.close()
    if "pid_limit" in slot.enforcement.absent:
        pytest.skip(slot.enforcement.absent["pid_limit"])
    refuses("procfs.MAX_PIDS = 30000", "pid_limit: [0-9]+ processes")


@pytest.mark.parametrize("name", LANDLOCK)
def test_each_part_of_landlock_is_noticed_when_it_is_missing(refuses: Refuses, name: str) -> None:
    version, patch, why = LANDLOCK[name]
    needs_landlock(version)
    refuses(patch, why)


def test_a_kernel_without_landlock_is_said_and_loses_the_device_of_zeros(
    patched_host: Callable[[str], Runtime],
) -> None:
    slot = Slot(patched_host("landlock.version = lambda: 0"))
    try:
        assert "no Landlock" in slot.enforcement.absent["landlock"]
        assert "landlock" not in slot.enforcement.guards
        limits = {
            "cpu_s": 5.0, "total_cpu_s": 5.0, "due_cpu_s": 5.0, "due_total_cpu_s": 5.0,
            "idle_s": 3.0, "memory_bytes": 1 << 28, "output_bytes": 1 << 20,
            "processes": 8, "disk_bytes": 1 << 20, "open_files": 64,
        }  # fmt: skip
        code = "import os; print(sorted(os.listdir('/dev')))"
        answer = slot.request({"op": "run", "code": code, "stdin": b"", "limits": limits})
        assert eval(answer["stdout"]) == ["fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom"]
    finally:
        slot.close()


@pytest.mark.parametrize("version", range(1, 7))
def test_older_versions_of_landlock_are_used_for_what_they_have(
    patched_host: Callable[[str], Runtime], version: int
) -> None:
    needs_landlock(version)
    slot = Slot(patched_host(f"landlock.version = lambda: {version}"))
    slot.close()
    assert "landlock" in slot.enforcement.guards


# --- level landlock ---


@pytest.fixture
def alone(needs_lower_level: None) -> Callable[[], Sandbox]:
    """Starts a sandbox at the level without namespaces."""
    return lambda: Sandbox(workers=1, level="landlock")


WITHOUT_NAMESPACES = {
    "files": ("landlock.restrict = lambda ruleset: None", "landlock: .* can be opened"),
    "filter": ("seccomp.install = lambda single=None: None", "seccomp: unshare"),
    "one process": ("install = seccomp.install; seccomp.install = lambda single: install(None)", "single_process: "),
    "descriptors": ("linux.close_from = lambda lowest: None", "descriptors: "),
    "environment": ("main._ENVIRONMENT['SLURM_JOB_ID'] = '1'", "environment: "),
    "zygote that cannot be dumped": (
        "prctl = linux.prctl; linux.prctl = lambda o, v: 0 if (o, v) == (linux.PR_SET_DUMPABLE, 0) else prctl(o, v)",
        "supervisor_memory: ",
    ),
    "files of any size": (
        "limits = candidate._rlimits; candidate._rlimits = lambda *a: [r for r in limits(*a) if r[0] != 1]",
        "rlimits: RLIMIT_FSIZE",
    ),
}


@pytest.mark.parametrize("name", WITHOUT_NAMESPACES)
def test_a_slot_without_namespaces_and_one_guard_less_does_not_start(
    refuses: Refuses, alone: Callable[[], Sandbox], name: str
) -> None:
    refuses(*WITHOUT_NAMESPACES[name], level=Level.LANDLOCK)


def test_without_landlock_there_is_no_level_without_namespaces(refuses: Refuses, alone: Callable[[], Sandbox]) -> None:
    refuses("landlock.version = lambda: 0", "landlock: this kernel has no Landlock", level=Level.LANDLOCK)


def test_the_lower_level_is_had_only_by_its_name_and_told_in_every_result(alone: Callable[[], Sandbox]) -> None:
    problem = Problem(id="add", tests=("assert add(1, 2) == 3",))
    with alone() as box:
        judged = box.judge(problem, "def add(a, b): return a + b")
        assert (judged.verdict, judged.enforcement) == (Verdict.AC, "landlock")
        assert box.run("print(1)").enforcement == "landlock"
    with Sandbox(workers=1) as box:
        assert box.run("print(1)").enforcement == "userns"
    with pytest.raises(ValueError, match="'none' is not a valid Level"):
        Sandbox(workers=1, level="none")


# clone(CLONE_VM | CLONE_SIGHAND | CLONE_THREAD), which the kernel would refuse for want of a stack only later.
RAW_THREAD = (
    "import ctypes, platform; n = 56 if platform.machine() == 'x86_64' else 220; "
    "libc = ctypes.CDLL(None, use_errno=True); "
    "(_ for _ in ()).throw(OSError(ctypes.get_errno(), '')) if libc.syscall(n, 0x10900, 0, 0, 0, 0) == -1 else None"
)
FORBIDDEN_THERE = {
    "start a process": "import os; os.fork()",
    "start a program": "import subprocess; subprocess.run(['/bin/true'])",
    "signal the broker": "import os; os.kill(os.getppid(), 0)",
    "signal all": "import os; os.kill(-1, 0)",
    "write a file": "open('/tmp/qrpo-left', 'w')",
    "write shared memory": "open('/dev/shm/qrpo-left', 'w')",
    "read a home": f"open({str(Path(__file__).resolve())!r}).read()",
    "list a folder": "import os; os.listdir('/')",
    "read proc": "open('/proc/self/maps').read()",
    "change a mode": f"import os; os.chmod({str(Path(__file__).resolve())!r}, 0o777)",
    "open a socket": "import socket; socket.socket()",
    "open a local socket": "import socket; socket.socket(socket.AF_UNIX)",
    "open a pair that can send to anybody": "import socket; socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "cut a file": "import os; os.open(os.__file__ + '-not-there', os.O_RDONLY | os.O_TRUNC)",
    "start a thread with descriptors of its own": RAW_THREAD,
}


def test_without_namespaces_a_program_reaches_nothing_outside_itself(alone: Callable[[], Sandbox]) -> None:
    mode = Path(__file__).stat().st_mode
    with alone() as box:
        for name, code in FORBIDDEN_THERE.items():
            program = f"try:\n    {code}\nexcept OSError as e: print(e.errno)\nelse: print('done')"
            result = box.run(program)
            assert int(result.stdout) in (errno.EPERM, errno.EACCES), (name, result)
    assert Path(__file__).stat().st_mode == mode


def test_without_namespaces_programs_still_have_threads_packages_and_limits(alone: Callable[[], Sandbox]) -> None:
    code = """
import threading, numpy
found = []
threads = [threading.Thread(target=found.append, args=(i,)) for i in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print(sorted(found), numpy.arange(3).sum())
"""
    with alone() as box:
        assert box.run(code).stdout == b"[0, 1, 2, 3, 4, 5, 6, 7] 3\n"
        assert box.run("while True: pass", limits=Limits(cpu_s=0.2)).verdict is Verdict.TLE
        assert box.run("x = bytearray(1 << 29)", limits=Limits(memory_bytes=1 << 27)).verdict is Verdict.MLE
        many = "import threading, time\nfor _ in range(64): threading.Thread(target=time.sleep, args=(9,)).start()"
        result = box.run(many, limits=Limits(processes=8))
        assert (result.verdict, result.message) == (Verdict.RE, "more threads than the limit allows")


def test_without_namespaces_no_process_is_left_when_the_owner_dies(
    alone: Callable[[], Sandbox],
    descendants: Callable[[int], list[int]],
    is_alive: Callable[[int], bool],
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    code = (
        "import sys\nfrom sandbox import Sandbox, Limits\n"
        "box = Sandbox(workers=1, level='landlock')\nprint('started', flush=True)\n"
        "box.run('import time; time.sleep(1000)', limits=Limits(idle_s=1000))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"started\n"
        eventually(lambda: len(descendants(owner.pid)) >= 3)
        family = descendants(owner.pid)
        owner.kill()
    eventually(lambda: not any(map(is_alive, family)))


def test_without_namespaces_what_the_runtime_hides_cannot_be_read(needs_lower_level: None, tmp_path: Path) -> None:
    hidden = tmp_path / "library" / "site-packages"
    hidden.mkdir(parents=True)
    (hidden / "answers.py").write_text("42")
    (tmp_path / "library" / "module.py").write_text("1")

    class Hiding(HostRuntime):
        __slots__ = ()

        def root(self) -> dict[str, object]:
            spec = HostRuntime.root(self)
            binds = {**spec["binds"], "/library": str(tmp_path / "library")}  # type: ignore[dict-item]
            return {**spec, "binds": binds, "hidden": [*spec["hidden"], str(hidden)]}  # type: ignore[misc]

    code = f"print(open({str(tmp_path / 'library' / 'module.py')!r}).read())\nopen({str(hidden / 'answers.py')!r})"
    with Sandbox(workers=1, level="landlock", runtime=Hiding()) as box:
        result = box.run(code)
        assert result.stdout == b"1\n"
        assert b"PermissionError" in result.stderr


def test_without_namespaces_an_old_landlock_still_lets_nobody_cut_files(
    needs_lower_level: None, patched_host: Callable[[str], Runtime], tmp_path: Path
) -> None:
    """Version 2 lets O_TRUNC pass where O_RDONLY may be opened; the file's owner is the program's own user here."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    inside = (
        f"outside = cage._outside; cage._outside = lambda spec: {{**outside(spec), {str(victim)!r}: landlock.READ}}"
    )
    with Sandbox(workers=1, level="landlock", runtime=patched_host(f"landlock.version = lambda: 2\n{inside}")) as box:
        for mode in ("os.O_RDONLY", "3"):
            result = box.run(f"import os\nos.open({str(victim)!r}, {mode} | os.O_TRUNC)")
            assert b"Operation not permitted" in result.stderr
        assert box.run(f"print(open({str(victim)!r}).read())").stdout == b"precious\n"
    assert victim.read_text() == "precious"


def test_without_namespaces_a_slot_outlives_the_thread_that_made_it(alone: Callable[[], Sandbox]) -> None:
    made: list[Sandbox] = []
    thread = threading.Thread(target=lambda: made.append(alone()))
    thread.start()
    thread.join()
    with made[0] as box:
        assert box.run("print(1)").stdout == b"1\n"


def test_without_namespaces_a_closed_slot_leaves_no_process(
    alone: Callable[[], Sandbox], descendants: Callable[[int], list[int]], is_alive: Callable[[int], bool]
) -> None:
    for _ in range(5):
        box = alone()
        slot = box._crew._slots[0]
        idle = len(descendants(slot.pid))
        running = box.submit_run("import time; time.sleep(9)", b"", Limits(idle_s=9))
        while len(descendants(slot.pid)) == idle:
            time.sleep(0.005)
        family = [slot.pid, *descendants(slot.pid)]
        box.close()
        assert not any(map(is_alive, family))
        with pytest.raises(ClosedError):
            running.result()


def test_two_sandboxes_of_different_levels_live_side_by_side(alone: Callable[[], Sandbox]) -> None:
    levels = []
    with alone() as low, Sandbox(workers=1) as high:
        threads = [
            threading.Thread(target=lambda box=box: levels.append(box.run("print(1)").enforcement))  # type: ignore[misc]
            for box in (low, high) * 4
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(levels) == ["landlock"] * 4 + ["userns"] * 4


def test_the_name_of_the_machine_stays_as_it_is() -> None:
    before = os.uname().nodename
    Slot(HostRuntime()).close()
    assert os.uname().nodename == before
    assert linux.namespaces()["uts"] == str(Path("/proc/self/ns/uts").readlink())
