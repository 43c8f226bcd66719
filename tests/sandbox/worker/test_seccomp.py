import errno
import re
import struct
from pathlib import Path

import pytest

from sandbox.worker import linux, seccomp

ALLOW, EPERM, ENOSYS, NO_FAMILY, KILL = (
    0x7FFF0000,
    0x50000 | errno.EPERM,
    0x50000 | errno.ENOSYS,
    0x50000 | errno.EAFNOSUPPORT,
    0x80000000,
)
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
I386 = 0x40000003
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
CALLS = {
    "x86_64": {"clone": 56, "clone3": 435, "socket": 41, "ioctl": 16},
    "aarch64": {"clone": 220, "clone3": 435, "socket": 198, "ioctl": 29},
}
# What an interpreter, its threads, subprocesses and temporary files need.
NEEDED = {
    "x86_64": {
        "read": 0, "write": 1, "close": 3, "mmap": 9, "mprotect": 10, "brk": 12, "rt_sigaction": 13, "pipe2": 293,
        "select": 23, "dup2": 33, "getpid": 39, "fork": 57, "vfork": 58, "execve": 59, "exit": 60, "wait4": 61,
        "kill": 62, "mkdir": 83, "unlink": 87, "futex": 202, "openat": 257, "exit_group": 231, "getrandom": 318,
        "socketpair": 53, "sched_setaffinity": 203, "prctl": 157,
    },
    "aarch64": {
        "read": 63, "write": 64, "close": 57, "mmap": 222, "mprotect": 226, "brk": 214, "pipe2": 59, "execve": 221,
        "exit": 93, "wait4": 260, "kill": 129, "mkdirat": 34, "unlinkat": 35, "futex": 98, "openat": 56,
        "exit_group": 94, "getrandom": 278, "socketpair": 199, "prctl": 167,
    },
}  # fmt: skip

machines = pytest.mark.parametrize("machine", ["x86_64", "aarch64"])


def decide(machine: str, number: int, args: tuple[int, ...] = (), arch: int | None = None) -> int:
    """What the filter returns for a system call: classic BPF, interpreted as in Linux' net/core/filter.c."""
    data = struct.pack("=iIQ6Q", number, arch if arch is not None else ARCH[machine], 0, *args, *[0] * (6 - len(args)))
    rows = seccomp.filter_program(machine)
    accumulator, position = 0, 0
    while True:
        code, if_true, if_false, operand = rows[position]
        position += 1
        if code == 0x20:  # BPF_LD | BPF_W | BPF_ABS
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif code == 0x06:  # BPF_RET | BPF_K
            return operand
        else:
            holds = {0x15: accumulator == operand, 0x35: accumulator >= operand, 0x45: bool(accumulator & operand)}
            position += if_true if holds[code] else if_false


def denied_numbers(machine: str) -> dict[str, int]:
    column = list(ARCH).index(machine)
    numbers = {name: both[column] for name, both in seccomp._DENIED.items()}
    return {name: number for name, number in numbers.items() if number is not None}


@machines
def test_every_denied_call_answers_eperm(machine: str) -> None:
    for name, number in denied_numbers(machine).items():
        assert decide(machine, number) == EPERM, name
        assert decide(machine, number, (1, 2, 3, 4, 5, 6)) == EPERM, name


@machines
def test_no_other_call_is_denied_by_accident(machine: str) -> None:
    special = set(denied_numbers(machine).values()) | set(CALLS[machine].values())
    assert [number for number in range(600) if number not in special and decide(machine, number) != ALLOW] == []


@machines
def test_an_interpreter_can_live_with_the_filter(machine: str) -> None:
    for name, number in NEEDED[machine].items():
        assert decide(machine, number) == ALLOW, name


@machines
def test_the_numbers_are_those_of_the_kernel_headers(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip(f"no kernel headers at {HEADERS[machine]}")
    known = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", HEADERS[machine].read_text()))
    ours = denied_numbers(machine) | CALLS[machine] | NEEDED[machine]
    wrong = {name: number for name, number in ours.items() if name in known and int(known[name]) != number}
    assert wrong == {}
    assert len(ours.keys() & known.keys()) > 0.9 * len(ours)  # headers older than the newest calls lack a few


@machines
@pytest.mark.parametrize("number", [0, 1, 56, 57, 272, 165])
def test_calls_by_the_numbers_of_another_architecture_kill(machine: str, number: int) -> None:
    assert decide(machine, number, arch=I386) == KILL
    other = next(name for name in ARCH if name != machine)
    assert decide(machine, number, arch=ARCH[other]) == KILL


def test_x32_calls_do_not_exist() -> None:
    for number in (0, 1, 59, 165, 272, 520):
        assert decide("x86_64", 0x40000000 | number) == ENOSYS
    assert decide("x86_64", -1) == ENOSYS  # what a tracer writes to skip a call; nothing is lost


@machines
def test_clone_makes_threads_and_processes_but_no_namespaces(machine: str) -> None:
    clone = CALLS[machine]["clone"]
    pthread_create, fork = 0x3D0F00, 0x1200011  # flags of glibc's pthread_create and fork
    assert decide(machine, clone, (pthread_create,)) == ALLOW
    assert decide(machine, clone, (fork,)) == ALLOW
    new_cgroup = 0x02000000  # include/uapi/linux/sched.h
    assert decide(machine, clone, (new_cgroup | fork,)) == EPERM
    for name in ("NEWNS", "NEWUTS", "NEWIPC", "NEWUSER", "NEWPID", "NEWNET"):
        flag = getattr(linux, "CLONE_" + name)
        assert decide(machine, clone, (flag,)) == EPERM, name
        assert decide(machine, clone, (fork | flag,)) == EPERM, name


@machines
def test_clone3_is_said_not_to_exist_so_that_libc_falls_back(machine: str) -> None:
    assert decide(machine, CALLS[machine]["clone3"], (1, 88)) == ENOSYS


@machines
def test_only_local_and_internet_sockets_can_be_made(machine: str) -> None:
    socket = CALLS[machine]["socket"]
    allowed = [family for family in range(64) if decide(machine, socket, (family, 1, 0)) == ALLOW]
    assert allowed == [1, 2, 10]  # AF_UNIX, AF_INET, AF_INET6
    assert decide(machine, socket, (16, 3, 0)) == NO_FAMILY  # AF_NETLINK
    assert decide(machine, socket, (1 << 32 | 16, 3, 0)) == NO_FAMILY  # the kernel reads the low half only


@machines
def test_no_keys_can_be_typed_into_a_terminal(machine: str) -> None:
    ioctl = CALLS[machine]["ioctl"]
    assert decide(machine, ioctl, (0, 0x5412)) == EPERM  # TIOCSTI
    assert decide(machine, ioctl, (0, 0x541C)) == EPERM  # TIOCLINUX
    assert decide(machine, ioctl, (0, 1 << 32 | 0x5412)) == EPERM
    assert decide(machine, ioctl, (0, 0x5401)) == ALLOW  # TCGETS: isatty
    assert decide(machine, ioctl, (0x5412, 0x5401)) == ALLOW


@machines
def test_the_filter_fits_the_kernel(machine: str) -> None:
    rows = seccomp.filter_program(machine)
    assert len(rows) <= 4096
    for position, (_, if_true, if_false, _) in enumerate(rows):
        assert position + 1 + max(if_true, if_false) <= len(rows)
        assert max(if_true, if_false) < 256


@machines
def test_limits_and_cores_of_other_processes_stay_as_they_are(machine: str) -> None:
    for number in seccomp._ON_SELF_ONLY[machine]:
        assert decide(machine, number, (0, 7)) == ALLOW
        assert decide(machine, number, (1, 7)) == EPERM


@machines
def test_children_cannot_be_left_uncounted_by_ignoring_their_end(machine: str) -> None:
    number = seccomp._RT_SIGACTION[machine]
    assert decide(machine, number, (17,)) == EPERM
    assert [signal for signal in range(1, 65) if decide(machine, number, (signal,)) != ALLOW] == [17]


@machines
def test_only_shared_anonymous_memory_is_denied(machine: str) -> None:
    shared, private, anonymous, fixed = 0x01, 0x02, 0x20, 0x10
    for flags in (private, private | anonymous, private | anonymous | fixed, shared, shared | fixed):
        assert decide(machine, seccomp._MMAP[machine], (0, 4096, 3, flags, 5)) == ALLOW, flags
    for flags in (shared | anonymous, shared | anonymous | fixed, shared | anonymous | 0x40000):
        assert decide(machine, seccomp._MMAP[machine], (0, 4096, 3, flags, 5)) == EPERM, flags


@machines
def test_a_process_cannot_hide_its_memory(machine: str) -> None:
    assert decide(machine, seccomp._PRCTL[machine], (4, 0)) == EPERM
    assert [option for option in range(80) if decide(machine, seccomp._PRCTL[machine], (option,)) != ALLOW] == [4]
