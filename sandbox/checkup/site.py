"""All that `doctor` looks at: the machine's guards, and what the site gives this user and this job."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from containers.choice import RuntimeName
from containers.runtime import ContainerError
from sandbox.allotment import allotment
from sandbox.checkup.check import Check, Group
from sandbox.checkup.disk import look_at_disk
from sandbox.checkup.doctor import Report, examine, image_fault
from sandbox.checkup.job import look_at_job
from sandbox.checkup.looks import Look, begin, end
from sandbox.checkup.runtimes import look_at_runtimes
from sandbox.checkup.settings import kernel, user_namespace_settings
from sandbox.checkup.shared_folder import default_folder, look_at_shared_folder
from sandbox.checkup.ulimits import look_at_ulimits
from sandbox.level import Level
from sandbox.runtime_options import runtime_of

_PATIENCE_S = 20.0
"""For what answers within milliseconds where nothing hangs."""
_ORDER = list(Group)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be looked at."""

    level: Level = Level.USERNS
    runtime: RuntimeName | None = None
    image: str | None = None
    folder: Path | None = None
    """In which servers are to be found; None: where a fleet is by default, which nobody need use."""


def examine_site(request: Request) -> Report:
    """Look at everything; the rest is told even where one thing fails or hangs."""
    looks = _looks(request)
    futures = begin(looks)
    guards = _guards(request)
    checks: list[Check] = [*end(looks, futures, _PATIENCE_S), *guards.checks]
    return Report(level=guards.level, checks=tuple(sorted(checks, key=lambda check: _ORDER.index(check.group))))


def _guards(request: Request) -> Report:
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
