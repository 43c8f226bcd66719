"""The system-call filter of a candidate, as classic BPF. Source: seccomp(2), include/uapi/linux/seccomp.h.

An allow-list (syscalls.py), with rules for the arguments of some calls. What is refused answers EPERM, so that a
program can go on without it; what is newer than the list, or hides its arguments behind a pointer, answers ENOSYS, so
that libc falls back to what can be judged.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from .linux import MACHINE, _libc
from .syscalls import CHANGES, EXTENDED_ATTRIBUTES, LAST_REVIEWED, OTHER_PROCESSES, hidden_numbers, numbers_of

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000
_AND_K = 0x54
_LD_W_ABS, _JA, _JEQ_K, _JSET_K, _JGE_K, _RET_K = 0x20, 0x05, 0x15, 0x45, 0x35, 0x06
_KILL_PROCESS, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_NR, _ARCH = 0, 4  # offsets in struct seccomp_data

_NEW_NAMESPACES = 0x7E020080  # every CLONE_NEW* flag that clone(2) knows, CLONE_NEWTIME too
_CLONE_FILES, _CLONE_THREAD = 0x400, 0x10000
_O_ACCMODE, _O_TRUNC = 0o3, 0o1000
# SOCK_STREAM, SOCK_SEQPACKET, with any of SOCK_NONBLOCK, SOCK_CLOEXEC: a pair of these speaks to nobody else.
_PAIRS = tuple(kind | flags for kind in (1, 5) for flags in (0, 0x800, 0x80000, 0x80800))
_SIGCHLD = 17
_MAP_SHARED, _MAP_PRIVATE, _MAP_ANONYMOUS = 0x01, 0x02, 0x20
_AF_UNIX = 1
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_MSG_OOB = 1
_SOL_SOCKET = 1
_BUFFER_OPTIONS = (7, 8, 32, 33)  # SO_SNDBUF, SO_RCVBUF, and the two that force
# SO_REUSEADDR, SO_BROADCAST, SO_KEEPALIVE, SO_LINGER, SO_REUSEPORT, SO_PASSCRED, SO_RCVTIMEO, SO_SNDTIMEO, new and old
_SOCKET_OPTIONS = (2, 6, 9, 13, 15, 16, 20, 21, 66, 67)
_IOCTLS = (
    0x5401, 0x802C542A, 0x5413, 0x540F,  # TCGETS, TCGETS2, TIOCGWINSZ, TIOCGPGRP: what isatty and its like ask
    0x541B, 0x5421, 0x5450, 0x5451,  # FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
)  # fmt: skip
# F_DUPFD to F_SETLKW, F_GETOWN, F_GETSIG, F_DUPFD_CLOEXEC, F_GETPIPE_SZ, F_GET_SEALS. Missing are leases and change
# notices, by which programs that share a file could signal each other; owners of signals; larger pipes.
_FCNTLS = (0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 1030, 1032, 1034)
_RECORD_LOCKS = (5, 6, 7)
# PDEATHSIG, GET_PDEATHSIG, GET_DUMPABLE, SET_NAME, GET_NAME, GET_SECCOMP, CAPBSET_READ, SET_ and GET_TIMERSLACK,
# SET_ and GET_NO_NEW_PRIVS, GET_TID_ADDRESS, SET_ and GET_THP_DISABLE, SET_VMA. Missing is SET_DUMPABLE: an undumpable
# process would hide its memory and its files from the supervisor.
_PRCTLS = (1, 2, 3, 15, 16, 21, 23, 29, 30, 38, 39, 40, 41, 42, 0x53564D41)
_PR_SET_PDEATHSIG = 1

_Instruction = Tuple[int, int, int, int]
_Rows = List[_Instruction]


def _allow() -> _Rows:
    return [(_RET_K, 0, 0, _ALLOW)]


def _refuse(code: int = errno.EPERM) -> _Rows:
    return [(_RET_K, 0, 0, _ERRNO | code)]


def _load(argument: int) -> _Instruction:
    """The low half of an argument: the kernel reads no more of those that are judged here."""
    return (_LD_W_ABS, 0, 0, 16 + 8 * argument)


def _load_high(argument: int) -> _Instruction:
    """The other half, of a pointer."""
    return (_LD_W_ABS, 0, 0, 20 + 8 * argument)


def _only(argument: int, values: Sequence[int], code: int = errno.EPERM) -> _Rows:
    """Allow the call where the argument is one of `values`; else it fails with `code`."""
    rows = [_load(argument)]
    for index, value in enumerate(values):
        rows.append((_JEQ_K, len(values) - index, 0, value))
    return rows + _refuse(code) + _allow()


def _none_of(argument: int, mask: int) -> _Rows:
    """Allow the call where the argument has no bit of `mask`."""
    return [_load(argument), (_JSET_K, 0, 1, mask), *_refuse(), *_allow()]


def _all_but(argument: int, value: int) -> _Rows:
    """Allow the call where the argument is not `value`."""
    return [_load(argument), (_JEQ_K, 0, 1, value), *_refuse(), *_allow()]


def _ioctl() -> _Rows:
    """What a terminal is made to read or to show (TIOCSTI, TIOCLINUX) is refused; others do not exist for any file."""
    rows = _only(1, _IOCTLS, errno.ENOTTY)
    typed = [(_JEQ_K, 1, 0, _TIOCSTI), (_JEQ_K, 0, 1, _TIOCLINUX), *_refuse()]
    return [rows[0], *typed, *rows[1:]]


def _setsockopt() -> _Rows:
    """Larger buffers would hold memory that no process shows: asking for them does nothing, and says that it did.

    Of the others only what is harmless: a filter (SO_ATTACH_FILTER) takes from memory that the whole machine shares.
    """
    rows = [_load(1), (_JEQ_K, 1, 0, _SOL_SOCKET), *_allow(), _load(2)]
    for option in _BUFFER_OPTIONS:
        rows += [(_JEQ_K, 0, 1, option), (_RET_K, 0, 0, _ERRNO)]
    for option in _SOCKET_OPTIONS:
        rows += [(_JEQ_K, 0, 1, option), *_allow()]
    return rows + _refuse()


def _sigaction() -> _Rows:
    """No change to SIGCHLD, but it is said to be done; asking how it is set is allowed.

    The CPU time of children whose parent ignores SIGCHLD, or sets SA_NOCLDWAIT, is counted nowhere once they have
    ended, and what is asked for lies behind a pointer. An error would end every program whose runtime sets all
    signals when it starts (Go, Node). Most parents wait for their children without a handler; docs/security.md tells
    of the others.
    """
    return [
        _load(0), (_JEQ_K, 1, 0, _SIGCHLD), *_allow(),
        _load(1), (_JEQ_K, 0, 3, 0), _load_high(1), (_JEQ_K, 0, 1, 0), *_allow(),
        (_RET_K, 0, 0, _ERRNO),
    ]  # fmt: skip


def _no_shared_anonymous_memory() -> _Rows:
    """Its pages outlive madvise(MADV_DONTNEED) and the process that made them, unmeasured."""
    return [
        _load(3),
        (_JSET_K, 0, 3, _MAP_ANONYMOUS),
        (_JSET_K, 2, 0, _MAP_PRIVATE),
        (_JSET_K, 0, 1, _MAP_SHARED),
        *_refuse(),
        *_allow(),
    ]


_RULES: Dict[str, Callable[[], _Rows]] = {
    "clone": lambda: _none_of(0, _NEW_NAMESPACES),
    # Those of the internet could reach nothing, only hold ports for the next run and load protocols into the kernel.
    "socket": lambda: _only(0, (_AF_UNIX,), errno.EAFNOSUPPORT),
    # Each message could hold two pages of memory that no process shows; those who use it copy where it fails so.
    "sendfile": lambda: _refuse(errno.EINVAL),
    "socketpair": lambda: _only(0, (_AF_UNIX,), errno.EAFNOSUPPORT),
    "ioctl": _ioctl,
    "setsockopt": _setsockopt,
    # PID 1 is the supervisor, which waits for some.
    **dict.fromkeys(("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"), lambda: _all_but(0, 1)),
    # A byte out of band makes a socket readable that has nothing to read.
    "sendto": lambda: _none_of(3, _MSG_OOB),
    "sendmsg": lambda: _none_of(2, _MSG_OOB),
    "sendmmsg": lambda: _none_of(3, _MSG_OOB),
    "fcntl": lambda: _only(1, _FCNTLS),
    "prctl": lambda: _only(0, _PRCTLS),
    "mmap": _no_shared_anonymous_memory,
    "rt_sigaction": _sigaction,
    # On another process they would take the supervisor's means away.
    "prlimit64": lambda: _only(0, (0,)),
    "sched_setaffinity": lambda: _only(0, (0,)),
    "personality": lambda: _only(0, (0xFFFFFFFF,)),  # which only asks
}


def _no_truncation(argument: int) -> _Rows:
    """Refuse O_TRUNC where it does not ask to write, which Landlock would be asked about: version 2 lets it pass."""
    return [
        _load(argument), (_JSET_K, 0, 3, _O_TRUNC), (_AND_K, 0, 0, _O_ACCMODE),
        (_JEQ_K, 1, 0, 1), (_JEQ_K, 0, 1, 2), *_allow(), *_refuse(),
    ]  # fmt: skip


class SingleProcess(NamedTuple):
    """A process that may start no other, change no file and signal nobody but itself."""

    pid: int

    def rules(self) -> Dict[str, Callable[[], _Rows]]:
        """What takes the place of the ordinary rules."""
        signals = ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")
        options = tuple(option for option in _PRCTLS if option != _PR_SET_PDEATHSIG)
        commands = tuple(command for command in _FCNTLS if command not in _RECORD_LOCKS)
        return {
            **dict.fromkeys(signals, lambda: _only(0, (self.pid,))),
            "clone": lambda: [
                _load(0), (_JSET_K, 0, 1, _NEW_NAMESPACES), *_refuse(),
                # With descriptors of its own a thread would keep sockets that are not counted.
                (_JSET_K, 1, 0, _CLONE_THREAD), *_refuse(), (_JSET_K, 1, 0, _CLONE_FILES), *_refuse(), *_allow(),
            ],
            "open": lambda: _no_truncation(1),
            "openat": lambda: _no_truncation(2),
            "socketpair": lambda: [_load(0), (_JEQ_K, 1, 0, _AF_UNIX), *_refuse(), *_only(1, _PAIRS)],
            "prctl": lambda: _only(0, options),
            "fcntl": lambda: _only(1, commands),
        }  # fmt: skip


def filter_program(machine: str = MACHINE, single: Optional[SingleProcess] = None) -> _Rows:
    """The filter as (code, jump if true, jump if false, operand) rows, at most 4096.

    Args:
        single: the process that it is for, where no namespace holds what it starts.
    """
    rules = {**_RULES, **(single.rules() if single else {})}
    removed = frozenset((*CHANGES, *EXTENDED_ATTRIBUTES, *OTHER_PROCESSES) if single else ())
    # Each entry holds for the numbers from its own up to the next one's.
    leaves: Dict[int, _Rows] = {0: _refuse(), LAST_REVIEWED + 1: _refuse(errno.ENOSYS)}
    answers = {number: _refuse(errno.ENOSYS) for number in hidden_numbers().values()}
    for name, number in numbers_of(machine).items():
        answers[number] = _refuse() if name in removed else rules[name]() if name in rules else _allow()
    for number, answer in answers.items():
        leaves[number] = answer
        leaves.setdefault(number + 1, _refuse() if number < LAST_REVIEWED else _refuse(errno.ENOSYS))
    merged: List[Tuple[int, _Rows]] = []
    for number, answer in sorted(leaves.items()):
        if not merged or merged[-1][1] != answer:
            merged.append((number, answer))
    return [
        (_LD_W_ABS, 0, 0, _ARCH),
        (_JEQ_K, 1, 0, _AUDIT_ARCH[machine]),
        (_RET_K, 0, 0, _KILL_PROCESS),  # a 32-bit call would be judged by the wrong numbers
        (_LD_W_ABS, 0, 0, _NR),
        *_search(merged),
    ]


def _search(leaves: List[Tuple[int, _Rows]]) -> _Rows:
    """A binary search: the kernel runs the filter once for each call number whenever one is installed."""
    if len(leaves) == 1:
        return leaves[0][1]
    middle = len(leaves) // 2
    below, above = _search(leaves[:middle]), _search(leaves[middle:])
    # A conditional jump reaches 255 rows, an unconditional one any.
    return [(_JGE_K, 0, 1, leaves[middle][0]), (_JA, 0, 0, len(below)), *below, *above]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("rows", ctypes.c_char_p)]


def _assembled(rows: _Rows) -> _Program:
    packed = b"".join(struct.pack("=HBBI", *row) for row in rows)
    return _Program(len(rows), packed)


_PROGRAM = _assembled(filter_program())


def install(single: Optional[SingleProcess] = None) -> None:
    """Put the filter on this process and all it starts; needs no_new_privs. Raises OSError."""
    program = _assembled(filter_program(MACHINE, single)) if single else _PROGRAM
    if _libc.prctl(22, 2, ctypes.addressof(program), 0, 0) != 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        code = ctypes.get_errno()
        raise OSError(code, "seccomp filter: %s" % os.strerror(code))
