"""Tables and figures of many runs: `python -m qrpo.collect RUN_DIR... --out DIR`.

Runs that differ in nothing but seeds are replicates. Of each algorithm the options and the checkpoint that are best
on the selection half of the held-out problems are chosen, and reported on the other half.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from qrpo.errors import PipelineError
from qrpo.files import write_atomically
from qrpo.finished_runs import FinishedRun, Replicate, check_comparable, model_name, read_run
from qrpo.method_plots import length_biases, log_ratios, rewards_by_method, verdict_mix
from qrpo.methods import INITIAL, Method, methods
from qrpo.plots import standalone
from qrpo.scaling import scaling
from qrpo.scaling_plot import rewards_by_references
from qrpo.tables import csv_text, latex, markdown, terminal

REFERENCES = "references.svg"
"""Only of runs that differ in the number of references."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m qrpo.collect", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR", help="output_dir of a run of the pipeline")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where tables and figures go")
    options = parser.parse_args(argv)
    try:
        collect(options.runs, options.out, Console())
    except (PipelineError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def collect(paths: Sequence[Path], out: Path, console: Console) -> None:
    """Writes results.csv, table.md, table.tex and the figures; shows the table.

    Args:
        paths: folders of runs; those that are missing or not finished are named and skipped.
        out: folder, made where missing.
        console: where the table and what is skipped are shown.

    Raises:
        PipelineError: no run is finished, or they cannot be compared.
    """
    runs = _read(paths, console)
    if not runs:
        raise PipelineError(f"none of the {len(paths)} folders holds a finished run; nothing was collected")
    check_comparable(runs)
    found = methods(runs)
    names, lines = _names(found), scaling(runs)
    contents = {
        "results.csv": csv_text(runs, found),
        "table.md": markdown(found),
        "table.tex": latex(found),
        "rewards.svg": standalone(rewards_by_method(found, names)),
        "log_ratios.svg": standalone(log_ratios(found, names)),
        "length_bias.svg": standalone(length_biases(found, names)),
        "verdicts.svg": standalone(verdict_mix(found, names)),
    }
    if lines:
        initial = [method for method in found if method.name == INITIAL]
        contents[REFERENCES] = standalone(rewards_by_references(lines, initial))
    out.mkdir(parents=True, exist_ok=True)
    (out / REFERENCES).unlink(missing_ok=True)  # of other runs
    for name, content in contents.items():
        write_atomically(out / name, content)
    console.print(terminal(found))
    console.print(f"{len(runs)} runs; {', '.join(contents)} in {out}", highlight=False, markup=False, soft_wrap=True)


def _read(paths: Sequence[Path], console: Console) -> list[FinishedRun]:
    """The finished ones, one of each set of options and seeds."""
    known: dict[tuple[str, str, Replicate], FinishedRun] = {}
    for path in paths:
        try:
            run = read_run(path)
            key = run.algorithm, run.hyperparameters, run.replicate
            if key in known:
                raise PipelineError(f"it has the options and the seeds of {known[key].path}")
        except PipelineError as error:
            console.print(f"skipped {path}: {error}", highlight=False, markup=False, soft_wrap=True)
            continue
        known[key] = run
    return list(known.values())


def _names(found: Sequence[Method]) -> list[str]:
    """Names for figures, with the initial model where there are several."""
    several = len({method.model for method in found}) > 1
    return [f"{method.name}, {model_name(method.model)}" if several else method.name for method in found]


if __name__ == "__main__":
    sys.exit(main())
