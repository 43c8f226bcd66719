"""What numbers were made with: `python -m qrpo.provenance --out FILE.json`.

A file that is there stays as it is: it tells with what they were begun.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from qrpo.files import write_atomically

_PACKAGES = ("torch", "transformers", "trl")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m qrpo.provenance", description=__doc__)
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="where it goes, as JSON")
    out = parser.parse_args(argv).out
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if not out.is_file():
            write_atomically(out, json.dumps(provenance(), indent=1) + "\n")
    except OSError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def provenance() -> dict[str, str | int]:
    """Commit, machine, versions and the day, UTC."""
    return {
        "commit": commit(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def commit() -> str:
    """Of the checkout that this package is in, `+` behind it where files were changed; else the package's version."""
    file = Path(__file__)
    try:
        _git(file.parent, "ls-files", "--error-unmatch", file.name)  # it may be installed within somebody's checkout
        return _git(file.parent, "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return f"version {metadata.version('qrpo-sandbox')}"


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
