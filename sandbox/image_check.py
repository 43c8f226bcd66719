"""What programs find in an image, by running some there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from containers.choice import RuntimeName, chosen
from containers.images import default_store
from sandbox.errors import InfrastructureError
from sandbox.level import Level
from sandbox.pool import Sandbox
from sandbox.verdict import Verdict

_PACKAGES = """\
import importlib.metadata, json
print(json.dumps({found.metadata["Name"]: found.version for found in importlib.metadata.distributions()}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReport:
    """An image that programs can run in."""

    path: str
    """Of its root file system, on this node."""
    sha256: str
    """Of its file; empty for a folder."""
    python: str
    packages: Mapping[str, str]
    """Versions by name, as installed for the image's Python."""
    languages: tuple[str, ...]
    level: str
    guards: tuple[str, ...]
    """Those that hold."""
    absent: Mapping[str, str]
    """Guards beyond those, and why they are missing."""


def look_at(reference: str, runtime: RuntimeName | None, level: Level) -> ImageReport:
    """Verifies the image and runs programs in it.

    Raises:
        ContainerError: it cannot be used, or what was unpacked is not the file.
        UnsupportedHostError: a required guard does not hold in it.
        InfrastructureError: the host failed.
    """
    store = default_store()
    record = store.verify(reference)
    path = store.prepare(reference)
    with Sandbox(workers=1, runtime=chosen(runtime, str(path), ()), level=level) as box:
        listed = box.run(_PACKAGES)
        if listed.verdict is not Verdict.AC:
            raise InfrastructureError(f"a program that lists the packages of {reference} is {listed.verdict.value}")
        return ImageReport(
            path=str(path),
            sha256=record.sha256 if record else "",
            python=box.enforcement.python,
            packages=dict(sorted(json.loads(listed.stdout).items())),
            languages=box.languages,
            level=box.enforcement.level.value,
            guards=box.enforcement.guards,
            absent=dict(box.enforcement.absent),
        )
