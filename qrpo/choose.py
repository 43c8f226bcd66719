"""The best of some runs by what it does on its training problems: `python -m qrpo.choose RUN_DIR... --out FILE.yaml`.

FILE is the chosen run's configuration, for `--config`. Held-out problems have no say in the choice, so that whatever is
told of them afterwards needs no allowance for it.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from qrpo.artifacts import Manifest
from qrpo.errors import PipelineError
from qrpo.files import write_atomically
from qrpo.finished_runs import finished_evaluation, read_options
from qrpo.paths import RunPaths
from qrpo.results import read_results

METRIC = "pass_fraction"
"""The mean reward."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m qrpo.choose", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR", help="output_dir of a run of the pipeline")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="where its configuration goes")
    options = parser.parse_args(argv)
    try:
        _check_alike(options.runs)
        rewards = {path: training_reward(path) for path in options.runs}
        best = max(rewards, key=rewards.__getitem__)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(options.out, RunPaths(best).config.read_text(encoding="utf-8"))
    except (PipelineError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    for path, reward in rewards.items():
        sys.stdout.write(f"{'*' if path == best else ' '} {100 * reward:5.2f}%  {path}\n")
    return 0


def training_reward(path: Path) -> float:
    """Mean reward of a run's trained model on its training problems.

    Raises:
        PipelineError: it was not evaluated on any, not to the end, or its results were changed since.
        OSError: its results cannot be read.
    """
    _evaluation(path)
    results = read_results(RunPaths(path).metrics)
    if "train" not in results:
        raise PipelineError(f"{path} was not evaluated on training problems; give it --eval_train_problems")
    found = results["train"].metrics.get(METRIC)
    if found is None or not math.isfinite(found.after):
        raise PipelineError(f"{RunPaths(path).metrics} has no {METRIC} of training problems; run the stage again")
    return found.after


def _check_alike(paths: Sequence[Path]) -> None:
    """Refuses runs that were not evaluated, in different ways, or of different algorithms.

    Raises:
        PipelineError: naming them.
    """
    wanted: dict[str, object] | None = None
    for path in paths:
        evaluated = _evaluation(path)
        wanted = evaluated.config if wanted is None else wanted
        differing = [name for name, value in wanted.items() if evaluated.config.get(name) != value]
        if differing:
            raise PipelineError(f"{paths[0]} and {path} were evaluated with different {', '.join(differing)}")
    algorithms = {path: read_options(path)["algorithm"] for path in paths}
    if len(set(algorithms.values())) > 1:
        named = ", ".join(f"{path} ({algorithm})" for path, algorithm in algorithms.items())
        raise PipelineError(f"these are of different algorithms, of which one is to be chosen at a time: {named}")


def _evaluation(path: Path) -> Manifest:
    try:
        return finished_evaluation(path)
    except PipelineError as error:
        raise PipelineError(f"{path}: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
