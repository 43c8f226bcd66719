"""The pipeline as a command: `python -m qrpo.train_code [--config FILE] [--any-option value]`.

generate -> score -> train -> evaluate -> report, each in a folder of its own below --output_dir. A stage that is done
is skipped, one that was interrupted goes on, and a folder made with other options is refused. `--stage NAME` runs one
stage alone; with `--num_shards N --shard K` one part of it, for a job array. `--stage train` also runs in several
processes: `accelerate launch --config_file FILE -m qrpo.train_code --stage train ...`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from qrpo import processes
from qrpo.interrupts import MESSAGE, Interrupts

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from qrpo.artifacts import Stage
    from qrpo.config import PipelineConfig
    from qrpo.display import Display

_INTERRUPTED = 130
"""Exit status of a program that Ctrl-C ended: 128 + SIGINT."""
_PATIENCE_S = 5.0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""

    def work(arguments: Sequence[str], display: Display, interrupts: Interrupts) -> None:
        from qrpo.config import parse

        run(parse(arguments), display, interrupts)

    return as_command(work, argv)


def as_command(work: Callable[[Sequence[str], Display, Interrupts], None], argv: Sequence[str] | None = None) -> int:
    """Runs what a command does; errors of the user or the host become one line, Ctrl-C another.

    Args:
        work: gets the arguments; imports what is slow itself.
        argv: None: those of the process.

    Returns:
        The exit status.
    """
    interrupts = Interrupts()
    interrupts.install()
    _prepare_environment()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        # Slow imports (torch, transformers: seconds) stand behind `install`, so that Ctrl-C ends them quietly too.
        from qrpo.display import Display
        from qrpo.errors import PipelineError
        from sandbox import SandboxError

        try:
            work(arguments, Display(quiet=not processes.is_main()), interrupts)
        except (PipelineError, SandboxError, OSError) as error:
            _tell(error)
            return 1
    except KeyboardInterrupt:
        if processes.is_main():
            sys.stderr.write(f"\n{MESSAGE}\n")
        else:
            time.sleep(_PATIENCE_S)  # see `_tell`: the first may still be at it
        return _INTERRUPTED
    return 0


def _tell(error: Exception) -> None:
    """Writes what went wrong; once, where it does so in all processes."""
    from qrpo.errors import ConfigError, ToldError

    if processes.is_main():
        sys.stderr.write(f"error: {error}\n")
        return
    # Most errors are those of all processes. The launcher ends the others when one has ended: that should be the first,
    # which says why; where it goes on, this one does.
    time.sleep(_PATIENCE_S)
    if not isinstance(error, ConfigError | ToldError):
        sys.stderr.write(f"error in process {processes.index()}: {error}\n")
        sys.stderr.flush()


def run(config: PipelineConfig, display: Display, interrupts: Interrupts) -> None:
    """Runs the stages that the configuration asks for.

    Raises:
        PipelineError: a folder was made with other options, or an input is missing.
        SandboxError: the sandbox cannot start, or failed.
        KeyboardInterrupt: the user asked to stop.
    """
    from qrpo.artifacts import Stage
    from qrpo.checkpoints import check_kept
    from qrpo.display import duration
    from qrpo.problems import load_all
    from qrpo.run_options import STAGES
    from qrpo.shards import has_shards, merge

    _quieten_libraries()
    if config.run.stage != "train":
        processes.refuse_several(f"--stage {config.run.stage}")
    with display.wait("reading problems"):
        load_all(config.data)
    check_kept(config)
    with (
        display.wait("looking at the run's files"),
        processes.entered(lambda: _prepared(config), lambda: _plan(config)) as (wanted, borrowed),
    ):
        pass
    for name in wanted:
        number = STAGES.index(name) + 1
        path = config.paths.stage(name)
        if name in borrowed:
            display.stage(number, len(STAGES), name, "[green]done[/green] by another run")
            display.note(str(path))
            continue
        with ExitStack() as block:
            with display.wait(f"looking at what {name} is made from"):
                stage = block.enter_context(
                    processes.entered(partial(_opened, config, name), partial(Stage.seen, path))
                )
            if stage.done:
                state = f"[green]done[/green] before, in {duration(stage.seconds)}"
            else:
                state = f"continuing after {duration(stage.seconds)}" if stage.seconds > 1 else ""
            part = "" if config.paths.shard is None else f" {config.paths.shard}"
            display.stage(number, len(STAGES), f"{name}{part}", state)
            if not stage.done and has_shards(config.paths, name):
                merge(config, name, stage, display)
            elif not stage.done or name == "report":  # which also prints its table again
                _run_stage(name, config, stage, display, interrupts)


class _Plan(NamedTuple):
    """What a command has to do."""

    wanted: Sequence[str]
    """The stages, in order."""
    borrowed: Sequence[str]
    """Those that are another run's."""


def _plan(config: PipelineConfig) -> _Plan:
    from qrpo.borrowed import borrowed_stages
    from qrpo.shards import stages_to_run

    borrowed = borrowed_stages(config)
    return _Plan(stages_to_run(config), borrowed)


@contextmanager
def _prepared(config: PipelineConfig) -> Iterator[_Plan]:
    """The run's folder, with its options. Refuses before any work: an hour of sampling should not end in a refusal."""
    from qrpo.artifacts import check_folder
    from qrpo.borrowed import check_borrowed
    from qrpo.files import write_atomically

    wanted, borrowed = plan = _plan(config)
    if wanted != ("train",):
        processes.refuse_several(f"--stage {wanted[0]}")
    for name in borrowed:
        check_borrowed(config, name, _inputs(config, name))
    for name in wanted:
        if name not in borrowed:
            check_folder(config.paths.stage(name), stage=name, config=config.stage_options(name))
    config.paths.root.mkdir(parents=True, exist_ok=True)
    write_atomically(config.paths.config, config.to_yaml())
    yield plan


def _opened(config: PipelineConfig, name: str) -> AbstractContextManager[Stage]:
    from qrpo.artifacts import open_stage

    return open_stage(
        config.paths.stage(name), stage=name, config=config.stage_options(name), inputs=_inputs(config, name)
    )


def _run_stage(name: str, config: PipelineConfig, stage: Stage, display: Display, interrupts: Interrupts) -> None:
    """Calls a stage; imported one by one, since the first needs no trainer and the last no model."""
    match name:
        case "generate":
            from qrpo.generate import generate

            with interrupts.raising():
                generate(config, stage, display)
        case "score":
            from qrpo.score import score

            with interrupts.raising():
                score(config, stage, display)
        case "train":
            from qrpo.train import train

            with interrupts.raising():
                train(config, stage, display, interrupts)
        case "evaluate":
            from qrpo.checkpoints import trained_models
            from qrpo.evaluate import evaluate

            with interrupts.raising():
                evaluate(config, stage, display, trained_models(config))
        case _:
            from qrpo.report import report

            with interrupts.raising():
                report(config, stage, display)


def _inputs(config: PipelineConfig, stage: str) -> Mapping[str, Path | str]:
    """What a stage is made from, beyond its options: files of earlier stages, problems, the model."""
    from qrpo.local_models import fingerprint
    from qrpo.problems import digest, load_answers, load_split

    paths = config.paths
    model: dict[str, Path | str] = {"model": fingerprint(config.model_name)}
    problems: dict[str, Path | str] = {"train problems": digest(load_split(config.data, "train"))}
    match stage:
        case "generate" if config.generate.generator == "answers":
            return {**model, **problems, "answers": json.dumps(load_answers(config.data))}
        case "generate":
            return {**model, **problems}
        case "score":
            return {**problems, "completions": paths.completions}
        case "train":
            return {**model, "scored completions": paths.scored}
        case "evaluate":
            heldout = digest(load_split(config.data, "heldout"))
            return {**model, **problems, "held-out problems": heldout, "trained model": paths.model}
    evaluation: dict[str, Path | str] = {"metrics": paths.metrics, "evaluation": paths.stage("evaluate")}
    return {"scored completions": paths.scored, "training log": paths.training_log, **evaluation}


def _quieten_libraries() -> None:
    """Leaves the terminal to the pipeline's own bars; warnings of our own modules still show."""
    import datasets
    import transformers

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    # Deprecations between transformers, TRL and accelerate are nothing that a user of this command can act on.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|trl|accelerate|peft)\b")


def _prepare_environment() -> None:
    """Settings of libraries that must stand before they are imported; the user's own are kept."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # the libraries' own bars; ours say more
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Threads that wait spin by default; beside any other load on the machine that costs tens of times the time.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


if __name__ == "__main__":
    processes.leave(main())
