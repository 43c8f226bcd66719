"""One thing that `doctor` has looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Group(StrEnum):
    """What it is about, in the order in which it is told."""

    MACHINE = "machine"
    CONTAINERS = "containers"
    DISK = "disk"
    JOB = "job"
    SHARED_FOLDER = "shared folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was found."""

    group: Group
    name: str
    required: bool
    """Whether the sandbox refuses without it."""
    ok: bool
    detail: str
    remedy: str
    """What to do or to ask an administrator for, and why, where it is not ok.

    Empty otherwise, and where it is told of something else from which this follows.
    """


def fine(group: Group, name: str, detail: str, *, required: bool = False) -> Check:
    """One that is as it should be."""
    return Check(group=group, name=name, required=required, ok=True, detail=detail, remedy="")


def gap(group: Group, name: str, detail: str, remedy: str, *, required: bool = False) -> Check:
    """One that is not."""
    return Check(group=group, name=name, required=required, ok=False, detail=detail, remedy=remedy)
