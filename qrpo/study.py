"""Methods with options fixed beforehand, side by side: `python -m qrpo.study METHOD_DIR... --out FILE.md`.

Each METHOD_DIR holds finished runs of one method, which differ in their seeds alone; its name is the method's. Nothing
is chosen here, unlike in `qrpo.collect`, so all problems report. FILE.md has the tables; figures and results.json lie
in a folder of its name beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from qrpo.contenders import SPLITS, Contender, contenders
from qrpo.errors import PipelineError
from qrpo.files import write_atomically
from qrpo.methods import Estimate
from qrpo.study_page import About, page
from qrpo.study_plots import gains, log_probabilities


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m qrpo.study", description=__doc__)
    parser.add_argument("methods", nargs="+", type=Path, metavar="METHOD_DIR", help="runs of one method, a folder each")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.md", help="where the tables go")
    parser.add_argument(
        "--tried", type=Path, metavar="DIR", help="METHOD/RUN of the grid that options were chosen from"
    )
    parser.add_argument("--title", default="Results", help="of the page")
    parser.add_argument("--made_with", type=Path, metavar="FILE", help="of qrpo.provenance, from where it was run")
    parser.add_argument("--command", default="", help="what made the runs, to be told")
    options = parser.parse_args(argv)
    if options.out.suffix != ".md":
        parser.error(f"--out is {options.out}; it must end in .md")
    try:
        made_with = {} if options.made_with is None else _made_with(options.made_with)
        found = contenders(options.methods, options.tried)
        about = About(options.title, options.command, made_with)
        _write(found, options.out, about)
    except (PipelineError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{sum(len(item.runs) for item in found)} runs: {options.out}\n")
    return 0


def _made_with(file: Path) -> dict[str, object]:
    try:
        found = json.loads(file.read_bytes())
    except ValueError as error:
        raise PipelineError(f"{file} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise PipelineError(f"{file} is not what qrpo.provenance writes")
    return found


def _write(found: Sequence[Contender], out: Path, about: About) -> None:
    folder = out.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    figures = {"gains.svg": gains(found), "log_probabilities.svg": log_probabilities(found)}
    for name, drawing in figures.items():
        write_atomically(folder / name, drawing)
    write_atomically(folder / "results.json", json.dumps(_plain(found, about), indent=1) + "\n")
    write_atomically(out, page(found, folder.name, about))


def _plain(found: Sequence[Contender], about: About) -> dict[str, object]:
    return {
        "command": about.command,
        "made_with": dict(about.made_with),
        "methods": [
            {
                "name": item.name,
                "seeds": [run.replicate.seed for run in item.runs],
                "beta": item.beta,
                "learning_rate": item.runs[0].learning_rate if item.runs else None,
                "kl_k3": dict(item.kl),
                "epochs": item.epochs,
                "tried": [tried._asdict() for tried in item.tried],
                **{
                    split: {
                        metric: {"level": _numbers(outcome.level), "gain": outcome.gain and _numbers(outcome.gain)}
                        for (of, metric), outcome in item.outcomes.items()
                        if of == split
                    }
                    for split in SPLITS
                },
            }
            for item in found
        ],
    }


def _numbers(value: Estimate) -> dict[str, object]:
    return {
        "mean": value.mean,
        "by_run": value.by_run.tolist(),
        "over_problems": list(value.over_problems),
        "over_seeds": None if value.over_seeds is None else list(value.over_seeds),
    }


if __name__ == "__main__":
    sys.exit(main())
