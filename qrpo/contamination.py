"""What could be copied instead of solved: `python -m qrpo.contamination --train_problems P --heldout_problems P`.

Counts tests that prompts show as examples, and training problems that are also held-out ones. The pipeline leaves them
out with `--drop_shown_tests` and `--drop_duplicates`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from qrpo.data_options import DataConfig
from qrpo.errors import PipelineError
from qrpo.problems import Split, load_split
from rewards.cases import count_tests
from rewards.contamination import Duplicate, duplicates, shown_tests
from sandbox import Problem, SandboxError
from sandbox.problem import Kind


class Shown(NamedTuple):
    """Tests of a set that its prompts show."""

    problems: int
    """Whose tests can be counted: not of kind `shared`."""
    tests: int
    problems_with_shown: int
    shown: int
    problems_all_shown: int
    """Whose prompt shows every test: a program of copied answers is AC."""


def count_shown(problems: Sequence[Problem]) -> Shown:
    """Counts over a set."""
    counted = [problem for problem in problems if problem.kind is not Kind.SHARED]
    pairs = [(count_tests(problem), len(shown_tests(problem))) for problem in counted]
    return Shown(
        problems=len(pairs),
        tests=sum(total for total, _ in pairs),
        problems_with_shown=sum(shown > 0 for _, shown in pairs),
        shown=sum(shown for _, shown in pairs),
        problems_all_shown=sum(shown == total for total, shown in pairs),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m qrpo.contamination", description=(__doc__ or "").split("\n\n")[1])
    defaults = {item.name: item.default for item in dataclasses.fields(DataConfig)}
    for name in (f"{split}_{part}" for split in ("train", "heldout") for part in ("problems", "split", "revision")):
        parser.add_argument(f"--{name}", default=defaults[name], help="as of python -m qrpo.train_code")
    parser.add_argument("--duplicate_overlap", type=float, default=defaults["duplicate_overlap"])
    parser.add_argument("--json", action="store_true", help="all that was found, as JSON")
    options = vars(parser.parse_args(argv))
    as_json = options.pop("json")
    try:
        data = DataConfig(**options)
        splits: tuple[Split, ...] = ("train", "heldout")
        problems = {split: load_split(data, split) for split in splits}
    except (PipelineError, SandboxError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    shown = {split: count_shown(found) for split, found in problems.items() if found}
    doubled = duplicates(problems["train"], problems["heldout"], least=data.duplicate_overlap)
    if as_json:
        found = {name: counts._asdict() for name, counts in shown.items()}
        sys.stdout.write(json.dumps({"shown": found, "duplicates": [pair._asdict() for pair in doubled]}) + "\n")
    else:
        _show(shown, doubled, Console())
    return 0


def _show(shown: Mapping[Split, Shown], doubled: Sequence[Duplicate], console: Console) -> None:
    table = Table("", "problems", "tests", "tests shown in prompts", "problems with shown tests", "all tests shown")
    for name, counts in shown.items():
        share = f"{counts.shown} ({counts.shown / max(1, counts.tests):.1%})"
        cells = (counts.problems, counts.tests, share, counts.problems_with_shown, counts.problems_all_shown)
        table.add_row(name, *map(str, cells))
    console.print(table)
    console.print(f"{len({pair.train_id for pair in doubled})} training problems are also among the held-out ones")
    for pair in sorted(doubled, key=lambda pair: -pair.overlap)[:20]:
        console.print(f"  {pair.overlap:.0%}  {pair.train_id}  {pair.heldout_id}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
