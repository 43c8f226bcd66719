"""The host itself as the place to run in: its own Python, under a root file system of read-only binds."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from containers.runtime import ContainerError, interpreter_environment, interpreter_options

_SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/alternatives")
_TOOL_FILES = ("java*",)
"""Patterns below /etc of what compilers and runtimes of other languages read there."""
_PACKAGES_INSIDE = "/packages"


class MissingPackageError(ContainerError):
    """A package that programs are to import is not installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRuntime:
    """Programs run under the interpreter this process runs under, without its environment's packages.

    Only the interpreter with its standard library, the system's libraries and the named packages are visible;
    site-packages are hidden, because they may hold problem sets.
    """

    packages: tuple[str, ...] = ()
    """Top-level packages that programs may import, from this environment."""
    preload: tuple[str, ...] = ()
    """Modules imported once, before any program: each run starts with them, and costs a little more."""

    def root(self) -> dict[str, object]:
        """What `sandbox.worker.root.build` takes, with the path the interpreter gets.

        Raises:
            MissingPackageError: a package is not installed.
        """
        binds: dict[str, str] = {}
        links: dict[str, str] = {}
        for folder in _SYSTEM_FOLDERS:
            if Path(folder).is_symlink():
                links[folder] = str(Path(folder).readlink())
            elif Path(folder).is_dir():
                binds[folder] = folder
        binds |= {path: os.path.realpath(path) for path in _SYSTEM_FILES if Path(path).exists()}
        binds |= {str(path): os.path.realpath(path) for pattern in _TOOL_FILES for path in Path("/etc").glob(pattern)}
        for prefix in {sys.base_prefix, sys.base_exec_prefix}:
            for path in {prefix, os.path.realpath(prefix)}:
                if not path.startswith("/usr"):
                    binds[path] = os.path.realpath(prefix)
        for name in self.packages:
            binds |= _package_binds(name)
        return {"binds": binds, "links": links, "hidden": _site_folders(), "path": [_PACKAGES_INSIDE]}

    def inside(self, folder: str) -> str:
        """See `Runtime.inside`: where it is."""
        return folder

    def start(
        self,
        program: Sequence[str],
        descriptor: int,
        log: IO[bytes],
        folders: Sequence[str],  # noqa: ARG002  # they are there
    ) -> subprocess.Popen[bytes]:
        """See `Runtime.start`.

        The environment is empty but for where the interpreter's own libraries lie; programs do not get that either.
        """
        environment = interpreter_environment()
        if "LD_LIBRARY_PATH" in os.environ:
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        python = getattr(sys, "_base_executable", None) or sys.executable
        return subprocess.Popen(
            [python, *interpreter_options(), *program, str(descriptor)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            pass_fds=(descriptor,),
            env=environment,
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the caller, who then closes the slot
        )


def _package_binds(name: str) -> dict[str, str]:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise MissingPackageError(f"package {name!r} is not installed here: {sys.executable} -m pip install {name}")
    origin = Path(spec.origin)
    found = origin.parent if origin.name == "__init__.py" else origin
    libraries = found.parent / f"{name}.libs"  # shared libraries that a wheel brings
    paths = [found, libraries] if libraries.is_dir() else [found]
    return {f"{_PACKAGES_INSIDE}/{path.name}": str(path.resolve()) for path in paths}


def _site_folders() -> list[str]:
    """Folders with third-party packages below what is bound: the base interpreter's and the distribution's."""
    base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    folders = {sysconfig.get_path(key, vars=base) for key in ("purelib", "platlib")}
    folders |= {str(Path(os.__file__).parent / name) for name in ("site-packages", "dist-packages")}
    folders |= {str(path) for path in Path("/usr/lib").glob("python3*/dist-packages")}
    folders |= {str(path) for path in Path("/usr/local/lib").glob("python3*/*-packages")}
    folders |= {str(path) for path in Path("/usr").glob("lib*/python3*/site-packages")}
    folders |= {str(Path(sys.base_prefix) / name) for name in ("envs", "pkgs")}  # conda's other environments
    return sorted(folder for folder in folders if Path(folder).is_dir())
