"""Landlock: what a process may open, whatever the mounts around it allow.

Source: landlock(7), include/uapi/linux/landlock.h.

All that the kernel's version of Landlock can refuse is handled, so that only what a rule grants is allowed: files
since version 1, links between folders 2, truncation 3, TCP 4, device ioctls 5, abstract sockets and signals that reach
out of the domain 6.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Iterable, Tuple

from .linux import _check, _libc

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_RULE_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_FS_RIGHTS = (13, 14, 15, 15, 16)  # how many bits versions 1 to 5 know
_TCP_RIGHTS = 0b11
_SCOPES = 0b11
_TRUNCATE = 1 << 14

READ = _READ_FILE | _READ_DIR
RUN = READ | _EXECUTE
LIST = _READ_DIR
WRITE = _READ_FILE | _WRITE_FILE | _TRUNCATE
OWN = (1 << 15) - 1 & ~(_MAKE_CHAR | _MAKE_BLOCK)
"""All that a folder of one's own needs; no devices, and no ioctl of one."""
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE

_syscall, _Size = _libc.syscall, ctypes.c_size_t
Rule = Tuple[int, int]
"""A descriptor (O_PATH will do) and the rights to it and all below it."""


def version() -> int:
    """The kernel's version of Landlock, 0 where it has none or it is turned off."""
    found = int(_syscall(_CREATE_RULESET, None, _Size(0), 1))
    return max(0, found)


def path_rule(path: str, rights: int) -> Rule:
    """A rule for a path, whose descriptor is the caller's to close. Raises OSError."""
    return os.open(path, os.O_PATH | os.O_CLOEXEC), rights if os.path.isdir(path) else rights & _OF_FILES


def make_ruleset(rules: Iterable[Rule], abi: int) -> int:
    """A descriptor of what may be opened: only what the rules grant. Raises OSError.

    Args:
        abi: `version()`.
    """
    handled = (1 << _FS_RIGHTS[min(abi, len(_FS_RIGHTS)) - 1]) - 1
    attributes = struct.pack("=QQQ", handled, _TCP_RIGHTS, _SCOPES)[: 8 if abi < 4 else 16 if abi < 6 else 24]
    ruleset = _check(_syscall(_CREATE_RULESET, attributes, _Size(len(attributes)), 0), "landlock_create_ruleset")
    for descriptor, rights in rules:
        rule = struct.pack("=Qi", rights & handled, descriptor)
        _check(_syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0), "landlock_add_rule")
    return ruleset


def restrict(ruleset: int) -> None:
    """Leave this process, and all it starts, only what the rules grant; needs no_new_privs. Raises OSError."""
    _check(_syscall(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
