import ctypes
import errno
import os
import re
import struct
from pathlib import Path

import pytest

from sandbox.worker import linux, seccomp, syscalls

ALLOW, KILL = 0x7FFF0000, 0x80000000
EPERM, ENOSYS, NO_FAMILY, NO_TTY = (
    0x50000 | code for code in (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT, errno.ENOTTY)
)
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
I386 = 0x40000003
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
CALLS = {machine: syscalls.numbers_of(machine) for machine in ("x86_64", "aarch64")}
# Refused whatever their arguments: what each could be used for is told beside the group.
REFUSED = {
    # namespaces and mounts
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "process_madvise": (440, 440), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "setpriority": (141, 140), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274), "ioprio_set": (251, 30), "move_pages": (279, 239), "migrate_pages": (256, 238),
    # state that outlives a process, is shared with others, or is memory that nothing measures
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "shmget": (29, 194), "shmat": (30, 196),
    "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180), "flock": (73, 32), "memfd_create": (319, 279),
    "memfd_secret": (447, 447), "inotify_init1": (294, 26), "inotify_add_watch": (254, 27), "mincore": (27, 232),
    "fanotify_init": (300, 262), "vmsplice": (278, 75), "setxattr": (188, 5), "fsetxattr": (190, 7),
    # large kernel surfaces that no solution needs
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_setup": (206, 0),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "seccomp": (317, 277), "kexec_load": (246, 104),
    "remap_file_pages": (216, 234),
    # the machine
    "syslog": (103, 116), "reboot": (169, 142), "sethostname": (170, 161), "init_module": (175, 105),
    "finit_module": (313, 273), "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "swapon": (167, 224), "acct": (163, 89), "quotactl": (179, 60), "vhangup": (153, 58),
    # identity
    "setuid": (105, 146), "setresuid": (117, 147), "setgroups": (116, 159), "setfsuid": (122, 151),
    "capset": (126, 91),
    "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None), "uselib": (134, None),
}  # fmt: skip
# What an interpreter, its threads, subprocesses and temporary files need.
NEEDED = {
    "x86_64": {
        "read": 0, "write": 1, "close": 3, "mmap": 9, "mprotect": 10, "brk": 12, "rt_sigaction": 13, "pipe2": 293,
        "select": 23, "dup2": 33, "getpid": 39, "fork": 57, "vfork": 58, "execve": 59, "exit": 60, "wait4": 61,
        "kill": 62, "mkdir": 83, "unlink": 87, "futex": 202, "openat": 257, "exit_group": 231, "getrandom": 318,
        "sched_setaffinity": 203,
    },
    "aarch64": {
        "read": 63, "write": 64, "close": 57, "mmap": 222, "mprotect": 226, "brk": 214, "pipe2": 59, "execve": 221,
        "exit": 93, "wait4": 260, "kill": 129, "mkdirat": 34, "unlinkat": 35, "futex": 98, "openat": 56,
        "exit_group": 94, "getrandom": 278,
    },
}  # fmt: skip

machines = pytest.mark.parametrize("machine", ["x86_64", "aarch64"])


def decide(
    machine: str,
    number: int,
    args: tuple[int, ...] = (),
    arch: int | None = None,
    single: seccomp.SingleProcess | None = None,
) -> int:
    """What the filter returns for a system call: classic BPF, interpreted as in Linux' net/core/filter.c."""
    data = struct.pack("=iIQ6Q", number, arch if arch is not None else ARCH[machine], 0, *args, *[0] * (6 - len(args)))
    rows = seccomp.filter_program(machine, single)
    accumulator, position = 0, 0
    while True:
        code, if_true, if_false, operand = rows[position]
        position += 1
        if code == 0x20:  # BPF_LD | BPF_W | BPF_ABS
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif code == 0x54:  # BPF_ALU | BPF_AND | BPF_K
            accumulator &= operand
        elif code == 0x05:  # BPF_JMP | BPF_JA
            position += operand
        elif code == 0x06:  # BPF_RET | BPF_K
            return operand
        else:
            holds = {0x15: accumulator == operand, 0x35: accumulator >= operand, 0x45: bool(accumulator & operand)}
            position += if_true if holds[code] else if_false


def refused_numbers(machine: str) -> dict[str, int]:
    column = list(ARCH).index(machine)
    numbers = {name: both[column] for name, both in REFUSED.items()}
    return {name: number for name, number in numbers.items() if number is not None}


@machines
def test_dangerous_calls_answer_eperm_whatever_their_arguments(machine: str) -> None:
    for name, number in refused_numbers(machine).items():
        assert decide(machine, number) == EPERM, name
        assert decide(machine, number, (1, 2, 3, 4, 5, 6)) == EPERM, name
        assert decide(machine, number, (2**64 - 1,) * 6) == EPERM, name


@machines
def test_what_is_not_on_the_list_is_refused(machine: str) -> None:
    """Known calls by EPERM; those newer than the list by ENOSYS, so that libc does without them."""
    allowed = set(CALLS[machine].values())
    hidden = set(syscalls.hidden_numbers().values())
    for number in range(600):
        if number in allowed:
            continue
        expected = ENOSYS if number in hidden or number > syscalls.LAST_REVIEWED else EPERM
        assert decide(machine, number) == expected, number


@machines
def test_calls_without_a_rule_are_allowed_whatever_their_arguments(machine: str) -> None:
    for name, number in CALLS[machine].items():
        if name not in seccomp._RULES:
            assert decide(machine, number, (2**64 - 1,) * 6) == ALLOW, name


@machines
def test_an_interpreter_can_live_with_the_filter(machine: str) -> None:
    for name, number in NEEDED[machine].items():
        assert decide(machine, number) == ALLOW, name


@machines
def test_the_numbers_are_those_of_the_kernel_headers(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip(f"no kernel headers at {HEADERS[machine]}")
    known = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", HEADERS[machine].read_text()))
    ours = refused_numbers(machine) | CALLS[machine] | NEEDED[machine] | syscalls.hidden_numbers()
    wrong = {name: number for name, number in ours.items() if name in known and int(known[name]) != number}
    assert wrong == {}
    assert len(ours.keys() & known.keys()) > 0.9 * len(ours)  # headers older than the newest calls lack a few


def _answers_under_the_filter(single: bool) -> dict[int, int]:
    """The error that each refused call of this machine really fails with, in a process that installs the filter."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
            process = seccomp.SingleProcess(os.getpid()) if single else None
            seccomp.install(process)
            libc = ctypes.CDLL(None, use_errno=True)
            for number in range(480):
                if number in (335, 336):  # uretprobe, uprobe of x86-64: SIGILL but from the kernel's own trampoline
                    continue
                if decide(linux.MACHINE, number, single=process) & 0x7FFF0000 == 0x50000:
                    result = libc.syscall(number, 0, 0, 0, 0, 0, 0)
                    os.write(write_end, struct.pack("=ii", number, ctypes.get_errno() if result == -1 else 0))
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as file:
        answers = dict(struct.iter_unpack("=ii", file.read()))
    os.waitpid(pid, 0)
    return answers


@pytest.mark.parametrize("single", [False, True])
def test_the_kernel_refuses_what_the_filter_says(single: bool) -> None:
    answers = _answers_under_the_filter(single)
    assert len(answers) > 150
    assert set(answers.values()) <= {errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT, errno.ENOTTY, errno.EINVAL}
    for number in refused_numbers(linux.MACHINE).values():
        assert answers[number] == errno.EPERM


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
    assert decide(machine, clone, (0x80 | fork,)) == EPERM  # CLONE_NEWTIME
    for name in ("NEWNS", "NEWUTS", "NEWIPC", "NEWUSER", "NEWPID", "NEWNET"):
        flag = getattr(linux, "CLONE_" + name)
        assert decide(machine, clone, (flag,)) == EPERM, name
        assert decide(machine, clone, (fork | flag,)) == EPERM, name


@machines
def test_clone3_is_said_not_to_exist_so_that_libc_falls_back(machine: str) -> None:
    assert decide(machine, syscalls.hidden_numbers()["clone3"], (1, 88)) == ENOSYS


@machines
def test_only_local_sockets_can_be_made(machine: str) -> None:
    socket = CALLS[machine]["socket"]
    allowed = [family for family in range(64) if decide(machine, socket, (family, 1, 0)) == ALLOW]
    assert allowed == [1]  # AF_UNIX
    assert decide(machine, socket, (16, 3, 0)) == NO_FAMILY  # AF_NETLINK
    assert decide(machine, socket, (1 << 32 | 16, 3, 0)) == NO_FAMILY  # the kernel reads the low half only


@machines
def test_no_keys_can_be_typed_into_a_terminal(machine: str) -> None:
    ioctl = CALLS[machine]["ioctl"]
    assert decide(machine, ioctl, (0, 0x5412)) == EPERM  # TIOCSTI
    assert decide(machine, ioctl, (0, 0x541C)) == EPERM  # TIOCLINUX
    assert decide(machine, ioctl, (0, 1 << 32 | 0x5412)) == EPERM
    assert decide(machine, ioctl, (0, 0x5411)) == NO_TTY  # TIOCOUTQ, and whatever else is not listed
    assert decide(machine, ioctl, (0, 0x5401)) == ALLOW  # TCGETS: isatty
    assert decide(machine, ioctl, (0x5412, 0x5401)) == ALLOW


@machines
def test_the_filter_fits_the_kernel(machine: str) -> None:
    for single in (None, ALONE):
        rows = seccomp.filter_program(machine, single)
        assert len(rows) <= 4096
        for position, (code, if_true, if_false, operand) in enumerate(rows):
            assert position + 1 + max(if_true, if_false) < len(rows) or code == 0x06
            assert max(if_true, if_false) < 256
            assert code != 0x05 or position + 1 + operand < len(rows)


@machines
def test_no_socket_pair_but_a_local_one(machine: str) -> None:
    number = CALLS[machine]["socketpair"]
    assert [family for family in range(64) if decide(machine, number, (family, 1, 0)) == ALLOW] == [1]


@machines
@pytest.mark.parametrize("name", ["prlimit64", "sched_setaffinity"])
def test_limits_and_cores_of_other_processes_stay_as_they_are(machine: str, name: str) -> None:
    number = CALLS[machine][name]
    assert decide(machine, number, (0, 7)) == ALLOW
    assert decide(machine, number, (1, 7)) == EPERM


@machines
def test_children_cannot_be_left_uncounted_by_ignoring_their_end(machine: str) -> None:
    number = CALLS[machine]["rt_sigaction"]
    """It is said to be done, or a runtime that sets every signal would not start; asking is allowed."""
    address, done = 0x7FFE00001000, 0x50000  # SECCOMP_RET_ERRNO with no error
    assert decide(machine, number, (17, address)) == done
    assert decide(machine, number, (17, 1 << 32)) == done  # its lower half is 0
    assert decide(machine, number, (17, 0, address)) == ALLOW
    assert [signal for signal in range(1, 65) if decide(machine, number, (signal, address)) != ALLOW] == [17]


@machines
def test_only_shared_anonymous_memory_is_denied(machine: str) -> None:
    number = CALLS[machine]["mmap"]
    shared, private, anonymous, fixed = 0x01, 0x02, 0x20, 0x10
    for flags in (private, private | anonymous, private | anonymous | fixed, shared, shared | fixed):
        assert decide(machine, number, (0, 4096, 3, flags, 5)) == ALLOW, flags
    for flags in (shared | anonymous, shared | anonymous | fixed, shared | anonymous | 0x40000):
        assert decide(machine, number, (0, 4096, 3, flags, 5)) == EPERM, flags


# By include/uapi/linux/prctl.h: what would hide a process, take over another's children, or loosen a guard.
@machines
@pytest.mark.parametrize("option", [4, 8, 22, 24, 27, 28, 31, 33, 35, 36, 47, 55, 59, 0x59616D61])
def test_process_settings_that_hide_or_loosen_are_refused(machine: str, option: int) -> None:
    assert decide(machine, CALLS[machine]["prctl"], (option, 0)) == EPERM


@machines
@pytest.mark.parametrize("option", [1, 3, 15, 16, 38, 39])
def test_ordinary_process_settings_are_allowed(machine: str, option: int) -> None:
    assert decide(machine, CALLS[machine]["prctl"], (option, 0)) == ALLOW


@machines
def test_leases_and_notices_of_shared_files_are_refused(machine: str) -> None:
    """By the numbers of include/uapi/linux/fcntl.h."""
    number = CALLS[machine]["fcntl"]
    for command in (1024, 1025, 1026, 8, 15, 36, 37, 38, 1031, 1033):
        assert decide(machine, number, (3, command)) == EPERM, command
    for command in (0, 1, 2, 3, 4, 5, 6, 7, 1030):  # descriptors, flags, record locks
        assert decide(machine, number, (3, command)) == ALLOW, command


@machines
@pytest.mark.parametrize("name", ["kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"])
def test_the_supervisor_cannot_be_signalled(machine: str, name: str) -> None:
    number = CALLS[machine][name]
    assert decide(machine, number, (1, 17)) == EPERM
    for pid in (0, 2, 2**32 - 1):
        assert decide(machine, number, (pid, 9)) == ALLOW


@machines
def test_no_byte_is_sent_out_of_band(machine: str) -> None:
    for name, place in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):
        flags = [0] * place
        assert decide(machine, CALLS[machine][name], (*flags, 1)) == EPERM
        assert decide(machine, CALLS[machine][name], (*flags, 0x4041)) == EPERM
        assert decide(machine, CALLS[machine][name], (*flags, 0x4040)) == ALLOW  # MSG_NOSIGNAL, MSG_DONTWAIT


@machines
def test_larger_buffers_of_sockets_are_not_given_but_said_to_be(machine: str) -> None:
    number = CALLS[machine]["setsockopt"]
    done = 0x50000  # SECCOMP_RET_ERRNO with no error: the call returns 0
    for option in (7, 8, 32, 33):
        assert decide(machine, number, (3, 1, option)) == done
        assert decide(machine, number, (3, 6, option)) == ALLOW  # of another level
    assert decide(machine, number, (3, 1, 2)) == ALLOW  # SO_REUSEADDR
    for option in (26, 50, 51, 52):  # SO_ATTACH_FILTER and its like
        assert decide(machine, number, (3, 1, option)) == EPERM


@machines
def test_nothing_is_sent_from_files_without_a_copy(machine: str) -> None:
    """EINVAL, on which those who use it fall back to reading and writing."""
    assert decide(machine, CALLS[machine]["sendfile"], (1, 2, 0, 3)) == 0x50000 | errno.EINVAL


@machines
def test_the_execution_domain_can_only_be_asked_for(machine: str) -> None:
    number = CALLS[machine]["personality"]
    assert decide(machine, number, (0xFFFFFFFF,)) == ALLOW
    assert decide(machine, number, (0x0040000,)) == EPERM  # ADDR_NO_RANDOMIZE


ALONE = seccomp.SingleProcess(4711)


@machines
def test_a_single_process_starts_threads_only(machine: str) -> None:
    clone = CALLS[machine]["clone"]
    assert decide(machine, clone, (0x3D0F00,), single=ALONE) == ALLOW
    assert decide(machine, clone, (0x1200011,), single=ALONE) == EPERM
    assert decide(machine, clone, (0x10000 | linux.CLONE_NEWUSER,), single=ALONE) == EPERM
    for name in {"fork", "vfork"} & CALLS[machine].keys():
        assert decide(machine, CALLS[machine][name], single=ALONE) == EPERM


@machines
@pytest.mark.parametrize("name", ["kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"])
def test_a_single_process_signals_itself_only(machine: str, name: str) -> None:
    number = CALLS[machine][name]
    assert decide(machine, number, (4711, 10), single=ALONE) == ALLOW
    for pid in (0, 1, 4712, 2**32 - 1):
        assert decide(machine, number, (pid, 10), single=ALONE) == EPERM, pid


@machines
def test_a_single_process_changes_no_file_and_opens_no_socket(machine: str) -> None:
    for name in (*syscalls.CHANGES, *syscalls.OTHER_PROCESSES):
        if name in CALLS[machine]:
            assert decide(machine, CALLS[machine][name], (1, 2, 3), single=ALONE) == EPERM, name
    for name in ("read", "write", "openat", "futex", "mmap", "exit_group", "execve"):
        assert decide(machine, CALLS[machine][name], single=ALONE) == ALLOW, name


@machines
def test_a_single_process_shares_its_descriptors_with_its_threads(machine: str) -> None:
    clone = CALLS[machine]["clone"]
    assert decide(machine, clone, (0x10900,), single=ALONE) == EPERM  # CLONE_THREAD, SIGHAND, VM; not CLONE_FILES
    assert decide(machine, clone, (0x10D00,), single=ALONE) == ALLOW


@machines
def test_a_single_process_has_pairs_of_connected_sockets_only(machine: str) -> None:
    number = CALLS[machine]["socketpair"]
    for kind, answer in ((1, ALLOW), (5, ALLOW), (0x80801, ALLOW), (0x80005, ALLOW), (2, EPERM), (3, EPERM)):
        assert decide(machine, number, (1, kind, 0), single=ALONE) == answer, kind
    assert decide(machine, number, (2, 1, 0), single=ALONE) == EPERM


@machines
def test_a_single_process_cuts_no_file_that_it_does_not_open_for_writing(machine: str) -> None:
    places = {"openat": 2} | ({"open": 1} if "open" in CALLS[machine] else {})
    for name, place in places.items():
        before = [0] * place
        for mode, answer in ((0, EPERM), (3, EPERM), (1, ALLOW), (2, ALLOW)):
            flags = mode | 0o1000 | 0o100  # O_TRUNC, O_CREAT
            assert decide(machine, CALLS[machine][name], (*before, flags), single=ALONE) == answer, (name, mode)
            assert decide(machine, CALLS[machine][name], (*before, flags)) == ALLOW
        assert decide(machine, CALLS[machine][name], (*before, 0), single=ALONE) == ALLOW
    assert decide(machine, CALLS[machine]["openat2"], single=ALONE) == EPERM


@machines
def test_a_single_process_cannot_outlive_its_parent(machine: str) -> None:
    assert decide(machine, CALLS[machine]["prctl"], (1, 0), single=ALONE) == EPERM  # PR_SET_PDEATHSIG
