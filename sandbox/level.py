"""Levels of isolation."""

from __future__ import annotations

from enum import StrEnum


class Level(StrEnum):
    """What holds a program, measured when a slot starts. Nothing falls back from one to the other by itself."""

    USERNS = "userns"
    """Namespaces, a private read-only root, rlimits, a system-call filter, Landlock where the kernel has it."""
    LANDLOCK = "landlock"
    """For machines that forbid user namespaces: Landlock and the system-call filter alone. A program is one process in
    the host's file system: it may read the interpreter, its libraries and packages, write no file, start no process,
    signal nobody and open no socket."""
