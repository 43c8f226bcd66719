"""Copies an experiment, to be read, edited and submitted: `python -m qrpo.experiments NAME [DIR]`.

With it goes what it names: the launcher of training in several processes, and its file for accelerate.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from qrpo.errors import PipelineError

HERE = Path(__file__).parent
CONFIGS = HERE.parent / "configs" / "accelerate"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    names = sorted(file.stem for file in HERE.glob("*.yaml"))
    parser = argparse.ArgumentParser(prog="python -m qrpo.experiments", description=__doc__)
    parser.add_argument("name", choices=names, metavar="NAME", help=f"one of {', '.join(names)}")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="default: this one")
    options = parser.parse_args(argv)
    try:
        copied = copy(options.name, options.folder)
    except (PipelineError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write("".join(f"{path}\n" for path in copied))
    return 0


def copy(name: str, folder: Path) -> list[Path]:
    """Copies an experiment and what it names; the copies, itself first.

    Raises:
        PipelineError: a file of that name is there, and another.
    """
    file = HERE / f"{name}.yaml"
    text = file.read_text(encoding="utf-8")
    named = [path for path in (HERE / "launch.sh", *sorted(CONFIGS.glob("*.yaml"))) if path.name in text]
    places = {path: folder / path.name for path in (file, *named)}
    for path, place in places.items():
        if place.exists() and place.read_bytes() != path.read_bytes():
            raise PipelineError(f"{place} is there, and another; move it away, or name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for path, place in places.items():
        shutil.copyfile(path, place)
    return list(places.values())


if __name__ == "__main__":
    sys.exit(main())
