"""Whether folders of stages hold what their manifests say: `python -m qrpo.check [--reopen] DIR...`.

Exit code 0: each is done and unchanged. For jobs that look at what they have made, and at what was left before them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from qrpo.artifacts import MANIFEST, changed_outputs, check_outputs, read_manifest
from qrpo.errors import PipelineError
from qrpo.files import write_atomically


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m qrpo.check", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="of a stage, such as RUN/score")
    parser.add_argument(
        "--reopen",
        action="store_true",
        help="instead: removes outputs that were changed since their stage has ended, so that it makes them again",
    )
    options = parser.parse_args(argv)
    act = reopen if options.reopen else check
    try:
        for folder in options.folders:
            act(folder)
    except (PipelineError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def check(folder: Path) -> None:
    """Refuses a stage that is not done, or whose outputs are not what it has made.

    Raises:
        PipelineError: naming what is wrong.
    """
    manifest = read_manifest(folder)
    if manifest is None or not manifest.done:
        raise PipelineError(f"{folder}: the stage is not {'there' if manifest is None else 'done'}")
    check_outputs(folder, manifest)


def reopen(folder: Path) -> None:
    """Where outputs of a stage that is done are missing or changed, removes them, and has it be done no more.

    The stage then goes on from what is whole: what it made in between, its checkpoints.

    Raises:
        PipelineError: the manifest cannot be read, or what it names does not lie in the folder.
    """
    manifest = read_manifest(folder)
    changed = changed_outputs(folder, manifest) if manifest is not None else []
    if manifest is None or not changed:
        return
    for name in changed:
        if Path(name).is_absolute() or os.path.normpath(name).split("/")[0] in {".", ".."}:
            raise PipelineError(f"{folder / MANIFEST} names {name}, which does not lie in the folder")
    # First the manifest: what no manifest vouches for is no output.
    again = manifest.model_copy(update={"done": False, "outputs": {}})
    write_atomically(folder / MANIFEST, again.model_dump_json(indent=1) + "\n")
    for name in changed:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    sys.stderr.write(f"{folder}: {', '.join(changed)} missing or changed since the stage ended; made again\n")


if __name__ == "__main__":
    sys.exit(main())
