"""The system-call filter of a candidate, as classic BPF. Source: seccomp(2), include/uapi/linux/seccomp.h.

A deny-list: it narrows the kernel surface of a process that namespaces, dropped capabilities and no_new_privs
already hold. What it denies answers EPERM, so that a program can go on without it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import List, Tuple

from .linux import MACHINE, _libc

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000
_LD_W_ABS, _JEQ_K, _JSET_K, _JGE_K, _RET_K = 0x20, 0x15, 0x45, 0x35, 0x06
_KILL_PROCESS, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_NR, _ARCH, _ARG0, _ARG1, _ARG3 = 0, 4, 16, 24, 40  # offsets in struct seccomp_data; low halves of the arguments
_NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW* flag that clone(2) knows
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_SOCKET_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6: the network namespace has no way out

# name: (x86_64, aarch64); None where the architecture lacks it
_DENIED = {
    # namespaces and mounts
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "kcmp": (312, 272), "pidfd_getfd": (438, 438),
    # the supervisor's share of a core: the same uid is enough to take it
    "setpriority": (141, 140), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274), "ioprio_set": (251, 30),
    # state that outlives a process, or memory that no process owns
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "shmget": (29, 194),
    "shmat": (30, 196), "shmctl": (31, 195), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "semget": (64, 190), "msgget": (68, 186), "flock": (73, 32),
    # large kernel surfaces no solution needs
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "fanotify_init": (300, 262),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "lookup_dcookie": (212, 18),
    "migrate_pages": (256, 238),
    # the machine
    "syslog": (103, 116), "acct": (163, 89), "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142),
    "sethostname": (170, 161), "setdomainname": (171, 162), "init_module": (175, 105),
    "delete_module": (176, 106), "finit_module": (313, 273), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266), "vhangup": (153, 58), "modify_ldt": (154, None), "iopl": (172, None),
    "ioperm": (173, None),
}  # fmt: skip
# clone, clone3, socket, ioctl: judged by their arguments
_EXAMINED = {"x86_64": (56, 435, 41, 16), "aarch64": (220, 435, 198, 29)}
# prlimit64, sched_setaffinity: on another process they would take the supervisor's means away
_ON_SELF_ONLY = {"x86_64": (302, 203), "aarch64": (261, 122)}
_RT_SIGACTION = {"x86_64": 13, "aarch64": 134}
_SIGCHLD = 17
_PRCTL = {"x86_64": 157, "aarch64": 167}
_PR_SET_DUMPABLE = 4
_MMAP = {"x86_64": 9, "aarch64": 222}
_MAP_SHARED, _MAP_PRIVATE, _MAP_ANONYMOUS = 0x01, 0x02, 0x20

_Instruction = Tuple[int, int, int, int]


def _deny(code: int) -> _Instruction:
    return (_RET_K, 0, 0, _ERRNO | code)


def filter_program(machine: str = MACHINE) -> List[_Instruction]:
    """The filter as (code, jump if true, jump if false, operand) rows, at most 4096."""
    clone, clone3, socket, ioctl = _EXAMINED[machine]
    rows: List[_Instruction] = [
        (_LD_W_ABS, 0, 0, _ARCH),
        (_JEQ_K, 1, 0, _AUDIT_ARCH[machine]),
        (_RET_K, 0, 0, _KILL_PROCESS),  # a 32-bit call would be judged by the wrong numbers
        (_LD_W_ABS, 0, 0, _NR),
    ]
    if machine == "x86_64":
        rows += [(_JGE_K, 0, 1, _X32_BIT), _deny(errno.ENOSYS)]
    column = 0 if machine == "x86_64" else 1
    for numbers in _DENIED.values():
        number = numbers[column]
        if number is not None:
            rows += [(_JEQ_K, 0, 1, number), _deny(errno.EPERM)]
    for number in _ON_SELF_ONLY[machine]:
        rows += [(_JEQ_K, 0, 4, number), (_LD_W_ABS, 0, 0, _ARG0), (_JEQ_K, 1, 0, 0)]
        rows += [_deny(errno.EPERM), (_RET_K, 0, 0, _ALLOW)]
    # The CPU time of children whose parent ignores SIGCHLD is counted nowhere once they have ended.
    rows += [(_JEQ_K, 0, 4, _RT_SIGACTION[machine]), (_LD_W_ABS, 0, 0, _ARG0), (_JEQ_K, 0, 1, _SIGCHLD)]
    rows += [_deny(errno.EPERM), (_RET_K, 0, 0, _ALLOW)]
    # An undumpable process would hide its memory and its files from the supervisor.
    rows += [(_JEQ_K, 0, 4, _PRCTL[machine]), (_LD_W_ABS, 0, 0, _ARG0), (_JEQ_K, 0, 1, _PR_SET_DUMPABLE)]
    rows += [_deny(errno.EPERM), (_RET_K, 0, 0, _ALLOW)]
    # Pages of shared anonymous memory outlive madvise(MADV_DONTNEED) and the process that made them, unmeasured.
    rows += [(_JEQ_K, 0, 6, _MMAP[machine]), (_LD_W_ABS, 0, 0, _ARG3), (_JSET_K, 0, 3, _MAP_ANONYMOUS)]
    rows += [(_JSET_K, 2, 0, _MAP_PRIVATE), (_JSET_K, 0, 1, _MAP_SHARED)]
    rows += [_deny(errno.EPERM), (_RET_K, 0, 0, _ALLOW)]
    # clone3 hides its flags behind a pointer; ENOSYS makes libc fall back to clone, whose flags are seen here.
    rows += [(_JEQ_K, 0, 1, clone3), _deny(errno.ENOSYS)]
    rows += [(_JEQ_K, 0, 4, clone), (_LD_W_ABS, 0, 0, _ARG0), (_JSET_K, 0, 1, _NEW_NAMESPACES)]
    rows += [_deny(errno.EPERM), (_RET_K, 0, 0, _ALLOW)]
    rows += [(_JEQ_K, 0, 2 + len(_SOCKET_FAMILIES), socket), (_LD_W_ABS, 0, 0, _ARG0)]
    for index, family in enumerate(_SOCKET_FAMILIES):
        rows.append((_JEQ_K, len(_SOCKET_FAMILIES) - index, 0, family))
    rows += [_deny(errno.EAFNOSUPPORT)]
    # An allowed family falls here with the family in the accumulator, so it cannot match a later number.
    rows += [(_JEQ_K, 0, 4, ioctl), (_LD_W_ABS, 0, 0, _ARG1), (_JEQ_K, 1, 0, _TIOCSTI)]
    rows += [(_JEQ_K, 0, 1, _TIOCLINUX), _deny(errno.EPERM), (_RET_K, 0, 0, _ALLOW)]
    return rows


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("rows", ctypes.c_char_p)]


_ROWS = b"".join(struct.pack("=HBBI", *row) for row in filter_program())
_PROGRAM = _Program(len(_ROWS) // 8, _ROWS)


def install() -> None:
    """Put the filter on this process and all it starts; needs no_new_privs. Raises OSError."""
    if _libc.prctl(22, 2, ctypes.addressof(_PROGRAM), 0, 0) != 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        code = ctypes.get_errno()
        raise OSError(code, "seccomp filter: %s" % os.strerror(code))
