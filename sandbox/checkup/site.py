"""All that `doctor` looks at: the machine's guards, and what the site gives this user and this job."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from containers.choice import RuntimeName
from containers.references import kind_of
from containers.runtime import ContainerError
from sandbox.allotment import allotment
from sandbox.checkup.check import Check, Group, gap
from sandbox.checkup.disk import look_at_disk
from sandbox.checkup.doctor import Report, examine, image_fault
from sandbox.checkup.job import look_at_job
from sandbox.checkup.looks import HANGS, Look, begin, end, started
from sandbox.checkup.runtimes import look_at_runtimes
from sandbox.checkup.settings import kernel, user_namespace_settings
from sandbox.checkup.shared_folder import default_folder, look_at_shared_folder
from sandbox.checkup.ulimits import look_at_ulimits
from sandbox.level import Level
from sandbox.runtime_options import runtime_of

_PATIENCE_S = 40.0
"""For what answers within a second where nothing hangs."""
_SLOT_S, _IMAGE_S = 300.0, 1800.0
"""For a slot and a program in each language; and for an image that must be pulled and unpacked first."""
_ORDER = list(Group)
_EFFECTS = ("slot", "level landlock", "image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be looked at."""

    level: Level = Level.USERNS
    runtime: RuntimeName | None = None
    image: str | None = None
    folder: Path | None = None
    """In which servers are to be found; None: where a fleet is by default, which nobody need use."""


def examine_site(request: Request) -> Report:
    """Look at everything; the rest is told even where one thing fails or hangs.

    Raises:
        ContainerError: the image is not there.
    """
    looks = _looks(request)
    futures = begin(looks)
    try:
        guards = _guards(request)
    except ContainerError:
        end(looks, futures, _PATIENCE_S)  # a process that ends now would leave what they write where it is
        raise
    checks = _of_causes([*end(looks, futures, _PATIENCE_S), *guards.checks])
    return Report(level=guards.level, checks=tuple(sorted(checks, key=lambda check: _ORDER.index(check.group))))


def _of_causes(checks: list[Check]) -> list[Check]:
    """Without the remedies of what may only follow from something else that is required and missing."""
    if not any(check.required and not check.ok and check.name not in _EFFECTS for check in checks):
        return checks
    return [replace(check, remedy="") if check.name in _EFFECTS else check for check in checks]


def _guards(request: Request) -> Report:
    """Those of a slot. Raises ContainerError: the image is not there."""
    timeout_s = _SLOT_S if request.image is None else _IMAGE_S
    try:
        return started(lambda: _tried(request)).result(timeout_s)
    except TimeoutError:
        check = gap(Group.MACHINE, "slot", f"did not start within {timeout_s:g} s", HANGS, required=True)
        return Report(level=None, checks=(check,))


def _tried(request: Request) -> Report:
    if request.image is not None:
        kind_of(request.image)
    try:
        runtime = runtime_of(request.runtime, request.image)
    except ContainerError as error:
        settings = user_namespace_settings() if request.level is Level.USERNS else []
        return Report(level=None, checks=(kernel(), *settings, image_fault(error)))
    return examine(runtime, request.level)


def _looks(request: Request) -> list[Look]:
    in_job = "SLURM_JOB_ID" in os.environ
    folder = request.folder or default_folder(os.environ)
    required = request.folder is not None
    return [
        Look(
            group=Group.CONTAINERS,
            name="runtimes",
            do=lambda: look_at_runtimes(request.runtime, needs_one=request.image is not None),
        ),
        Look(group=Group.DISK, name="image folder", do=look_at_disk),
        Look(group=Group.JOB, name="job", do=lambda: look_at_job(os.environ, allotment())),
        Look(group=Group.JOB, name="ulimits", do=lambda: look_at_ulimits(allotment().workers)),
        Look(
            group=Group.SHARED_FOLDER,
            name="folder",
            do=lambda: look_at_shared_folder(folder, required=required, in_job=in_job),
        ),
    ]
