"""The command `qrpo-experiment`, from its first moment: what it needs takes a second to load."""

from __future__ import annotations

import sys

_INTERRUPTED = 130


def main() -> None:
    """Runs the command line; Ctrl-C ends it with a word, even before there is one."""
    try:
        from slurm.experiments.cli import app

        app()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        raise SystemExit(_INTERRUPTED) from None


if __name__ == "__main__":
    main()
