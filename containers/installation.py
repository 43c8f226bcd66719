"""What is installed on this machine that runs or unpacks images, as it says itself; nothing is judged here.

Source: the admin guide of Apptainer 1.4, "Configuration Files" and "Security"; SingularityCE's has the same names.
"""

from __future__ import annotations

import re
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from containers import apptainer, enroot
from containers.output import output_of
from containers.runtime import ContainerError
from containers.unpacking import find_unsquashfs

_PRODUCTS = {"apptainer": "Apptainer", "singularity-ce": "SingularityCE", "singularity": "Singularity"}
_VERSION = re.compile(r"^(\S+) version (\S+)", re.MULTILINE)
_SETTING = re.compile(r"^([a-z][a-z -]*?) *= *(.*?) *$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApptainerInstallation:
    """Apptainer, or one of its kin."""

    command: str
    product: str
    """`Apptainer`, `SingularityCE` or `Singularity`, which both came from; empty where it does not say."""
    version: str
    starter: Path | None
    """The setuid part, where it is there and has its bits; None: it works by user namespaces alone."""
    configuration: Path | None
    """None: not known."""
    settings: Mapping[str, str]
    """Of the configuration, as far as users may read it."""

    def is_off(self, setting: str) -> bool:
        """Whether the administrator has switched something off that is on by default."""
        return self.settings.get(setting, "yes") == "no"

    @property
    def is_setuid(self) -> bool:
        """Whether it gains privileges when nobody asks for --userns."""
        return self.starter is not None and not self.is_off("allow setuid")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrootInstallation:
    """enroot."""

    command: str
    version: str
    """Empty where it does not say."""


def find_apptainer() -> ApptainerInstallation | None:
    """The one that images are run by; None where there is none."""
    try:
        command = apptainer.find_command()
    except ContainerError:
        return None
    product, version = product_of(output_of([command, "--version"]) or "")
    built = dict(line.split("=", 1) for line in (output_of([command, "buildcfg"]) or "").splitlines() if "=" in line)
    files = [Path(path) for name, path in built.items() if name.endswith("_CONF_FILE")]
    starters = [Path(built.get("LIBEXECDIR", "/usr/libexec"), name, "bin/starter-suid") for name in apptainer.COMMANDS]
    return ApptainerInstallation(
        command=command,
        product=product,
        version=version,
        starter=next((starter for starter in starters if has_setuid_bit(starter)), None),
        configuration=files[0] if files else None,
        settings=settings_of(_text(files[0])) if files else {},
    )


def find_enroot() -> EnrootInstallation | None:
    """None where there is none."""
    try:
        command = enroot.find_command()
    except ContainerError:
        return None
    return EnrootInstallation(command=command, version=(output_of([command, "version"]) or "").strip())


def has_unsquashfs() -> bool:
    """Whether SIF and squashfs can be unpacked."""
    try:
        find_unsquashfs()
    except ContainerError:
        return False
    return True


def find_fusermount() -> str | None:
    """What mounts by FUSE for ordinary users; None where there is none."""
    return shutil.which("fusermount3") or shutil.which("fusermount")


def product_of(said: str) -> tuple[str, str]:
    """Product and version, of what `--version` says; empty where it says something else."""
    found = _VERSION.search(said)
    return (_PRODUCTS.get(found[1], ""), found[2]) if found else ("", "")


def settings_of(text: str) -> dict[str, str]:
    """Of a configuration file: the last of each name counts."""
    return {found[1]: found[2] for found in _SETTING.finditer(text)}


def has_setuid_bit(file: Path) -> bool:
    """Whether it runs as root, whoever starts it."""
    try:
        found = file.stat()
    except OSError:
        return False
    return bool(found.st_mode & stat.S_ISUID) and found.st_uid == 0


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""  # not for users to read; what is not known to be off is taken to be on
